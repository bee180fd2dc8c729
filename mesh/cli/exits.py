"""What an exit code says, and which error gives which.

0 done · 1 failed · 2 bad input · 3 no mesh reachable · 4 timed out · 5 refused, overloaded, killed or no bids ·
6 waiting for a person · 7 cancelled · 130 interrupted
"""

from __future__ import annotations

from enum import IntEnum

from mesh.protocols import errors
from mesh.protocols.errors import MeshError
from mesh.settings.errors import BadSettings


class Exit(IntEnum):
    """The exit codes of every command."""

    DONE = 0
    FAILED = 1
    BAD_INPUT = 2
    NO_MESH = 3
    TIMED_OUT = 4
    REFUSED = 5
    WAITING = 6
    CANCELLED = 7
    INTERRUPTED = 130


class Awaited(Exception):
    """The job waits for a person. The message says for what, and the command that answers."""


class JobFailed(Exception):
    """A job is over, and failed with this error."""

    def __init__(self, error: MeshError) -> None:
        super().__init__(str(error))
        self.error = error


class BadInput(Exception):
    """What the user typed cannot be used. The message says what to type instead."""


_BY_ERROR: tuple[tuple[tuple[type[BaseException], ...], Exit], ...] = (
    (
        (
            BadInput,
            BadSettings,
            errors.BadPayload,
            errors.InvalidName,
            errors.TooLarge,
            errors.UnknownAgent,
            errors.UnknownCommand,
            errors.UnknownCapability,
            errors.UnknownWorkflow,
            errors.UnknownJob,
            errors.UnknownLetter,
            errors.KeyReused,
        ),
        Exit.BAD_INPUT,
    ),
    ((errors.Unavailable,), Exit.NO_MESH),
    ((errors.TimedOut, errors.DeadlineExceeded, errors.WaitExpired), Exit.TIMED_OUT),
    (
        (
            errors.Refused,
            errors.Denied,
            errors.Overloaded,
            errors.NoBids,
            errors.BreakerOpen,
            errors.Draining,
            errors.Killed,
        ),
        Exit.REFUSED,
    ),
    ((errors.Cancelled,), Exit.CANCELLED),
    ((Awaited,), Exit.WAITING),
    ((KeyboardInterrupt,), Exit.INTERRUPTED),
)


def exit_for(error: BaseException) -> Exit:
    """The exit code of an error; `FAILED` for everything that has no code of its own.

    "Timed out" and "no mesh" are said of the command, after which it may be given again, and never of a job that is over.
    """
    if isinstance(error, JobFailed):
        code = exit_for(error.error)
        return Exit.FAILED if code in (Exit.TIMED_OUT, Exit.NO_MESH) else code
    return next((code for kinds, code in _BY_ERROR if isinstance(error, kinds)), Exit.FAILED)
