"""`exhausted`: whether what a handler raised says that its process has nothing left: no memory, no file descriptor.

Then it is not the handler that failed, nor the message that was bad: the work was interrupted, as by a death, and another
process may do it.
"""

from __future__ import annotations

import errno

NOTHING_LEFT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


def exhausted(error: BaseException) -> bool:
    """Whether it is the process that ran out of something."""
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in NOTHING_LEFT)
