"""A process that has nothing left says so, once that is no passing need."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable

import pytest

from mesh.host.reserves import TIMES, Reserves


def failing(*errors: Exception | None) -> Callable[[], None]:
    """Raises these one after the other; None: that time there is something left."""
    left = list(errors)

    def take() -> None:
        error = left.pop(0)
        if error is not None:
            raise error

    return take


NO_FILES = OSError(errno.EMFILE, os.strerror(errno.EMFILE))


@pytest.mark.parametrize(
    ("error", "why"), [(NO_FILES, "no file descriptors left: Too many open files"), (MemoryError(), "no memory left")]
)
def test_it_ends_when_there_was_nothing_left_several_times_in_a_row(error: Exception, why: str) -> None:
    reserves = Reserves(failing(*[error] * TIMES))
    assert [reserves.look() for _ in range(TIMES)] == [""] * (TIMES - 1) + [why]


def test_a_need_that_passes_is_no_reason() -> None:
    reserves = Reserves(failing(*([NO_FILES] * (TIMES - 1) + [None]) * 2))
    assert [reserves.look() for _ in range(2 * TIMES)] == [""] * 2 * TIMES


def test_other_trouble_is_not_hidden() -> None:
    with pytest.raises(PermissionError):
        Reserves(failing(PermissionError(errno.EACCES, "no"))).look()


def test_it_really_looks() -> None:
    reserves = Reserves()
    assert reserves.look() == ""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        assert "no file descriptors left" in [reserves.look() for _ in range(TIMES)][-1]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
