"""What can be wrong with a request for a review. Each arrives at the caller as the error of the tree that it is.

`detail["reason"]` tells them apart across the wire.
"""

from __future__ import annotations

from mesh.protocols.errors import BadPayload, Refused, Unavailable


class NotARepository(BadPayload):
    """The folder does not exist, or no git repository holds it."""

    def __init__(self, message: str) -> None:
        super().__init__(message, detail={"reason": "not-a-repository"})


class BadRange(BadPayload):
    """The range does not name commits of the repository."""

    def __init__(self, message: str) -> None:
        super().__init__(message, detail={"reason": "bad-range"})


class BadPatch(BadPayload):
    """The text is not a unified diff."""

    def __init__(self, message: str) -> None:
        super().__init__(message, detail={"reason": "bad-patch"})


class PatchNotReadable(Refused):
    """This host lacks what reads patches."""

    def __init__(self, message: str) -> None:
        super().__init__(message, detail={"reason": "patch-not-readable"})


class RepositoryNotAllowed(Refused):
    """The manifest of the host does not allow this repository to be named by jobs."""

    def __init__(self, message: str) -> None:
        super().__init__(message, detail={"reason": "repository-not-allowed"})


class GitFailed(Unavailable):
    """git is missing, too slow, or fails on a repository that should be readable."""

    def __init__(self, message: str) -> None:
        super().__init__(message, detail={"reason": "git-failed"})
