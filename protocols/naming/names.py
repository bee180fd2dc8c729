"""What may be a name: every token that reaches a subject has been through one of these checks.

nats-py would let a client publish to a wildcard, and a dot in a name would shift every token behind it.
"""

from __future__ import annotations

import re

from mesh.protocols.errors import InvalidName

_TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}\Z")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\Z")
_CAPABILITY = re.compile(r"[a-z0-9][a-z0-9-]*(\.[a-z0-9][a-z0-9-]*)*\Z")
_EVENT_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*(\.[A-Za-z0-9][A-Za-z0-9-]*)*\Z")


def check_token(token: str, what: str = "token") -> str:
    """The token itself, if it can stand in a subject: letters, digits, `-` and `_`, at most 128.

    Raises:
        InvalidName: says which name and what is allowed.
    """
    if not _TOKEN.match(token):
        raise InvalidName(
            f"{what} {token!r} cannot be used in a subject: use letters, digits, '-' and '_', at most 128, "
            "starting with a letter or digit"
        )
    return token


def is_token(token: str) -> bool:
    """Whether `check_token` has nothing against it."""
    return _TOKEN.match(token) is not None


def check_name(name: str, what: str = "name") -> str:
    """The name itself, if it can name an agent, workflow, tenant, host or namespace: lower case, digits and `-`."""
    if not _NAME.match(name):
        raise InvalidName(f"{what} {name!r} is not allowed: use lower-case letters, digits and '-', at most 63")
    return name


def check_capability(capability: str) -> str:
    """The capability itself, if it is a dotted name such as `review.security`.

    No underscores: on the wire the dots become underscores, and both must not mean the same.
    """
    if len(capability) > 128 or not _CAPABILITY.match(capability):
        raise InvalidName(
            f"capability {capability!r} is not allowed: use lower-case letters, digits and '-', in parts joined by '.', "
            "such as 'review.security'"
        )
    return capability


def check_event_type(event_type: str) -> str:
    """The event type itself, if it is a dotted name such as `review.finished`."""
    if len(event_type) > 128 or not _EVENT_TYPE.match(event_type):
        raise InvalidName(
            f"event type {event_type!r} is not allowed: use letters, digits and '-', in parts joined by '.'"
        )
    return event_type
