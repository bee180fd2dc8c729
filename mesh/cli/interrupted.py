"""What a person is told whose waiting ends before what they wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from mesh.cli.output import note


@contextmanager
def interrupted(words: str, *also: type[Exception]) -> Iterator[None]:
    """Say this where Ctrl-C, or one of these errors, ends what is inside."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, (asyncio.CancelledError, *also)):
            note(words)
        raise
