"""Exit codes say what kind of thing went wrong."""

from __future__ import annotations

import pytest

from mesh.cli.exits import BadInput, Exit, JobFailed, exit_for
from mesh.protocols import errors


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadInput("x"), Exit.BAD_INPUT),
        (errors.BadPayload(), Exit.BAD_INPUT),
        (errors.UnknownWorkflow(), Exit.BAD_INPUT),
        (errors.Unavailable(), Exit.NO_MESH),
        (errors.TimedOut(), Exit.TIMED_OUT),
        (errors.DeadlineExceeded(), Exit.TIMED_OUT),
        (errors.NoBids(), Exit.REFUSED),
        (errors.Overloaded(), Exit.REFUSED),
        (errors.RateLimited(), Exit.REFUSED),
        (errors.Killed(), Exit.REFUSED),
        (errors.Cancelled(), Exit.CANCELLED),
        (JobFailed(errors.TimedOut()), Exit.FAILED),
        (JobFailed(errors.Unavailable()), Exit.FAILED),
        (JobFailed(errors.Refused()), Exit.REFUSED),
        (KeyboardInterrupt(), Exit.INTERRUPTED),
        (errors.HandlerFailed(), Exit.FAILED),
        (ValueError(), Exit.FAILED),
    ],
)
def test_each_kind_of_error_has_its_exit_code(error: BaseException, code: Exit) -> None:
    assert exit_for(error) is code
