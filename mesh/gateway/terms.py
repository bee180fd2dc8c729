"""What stands beside the input of a job, out of the headers of a request.

`Idempotency-Key` is the mesh's `Mesh-Key`; `Mesh-Deadline`, `-Budget`, `-Boundary`, `-Priority`, `-Labels`,
`-Correlation`, `-Causation` and `traceparent` are as on NATS (`protocols/submission.py`). Everything else is not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping

from mesh.gateway.problems import BadHeader
from mesh.protocols.errors import BadPayload
from mesh.protocols.submission import Terms, terms_of

KEY = "Idempotency-Key"
WEBHOOK = "Mesh-Webhook"
TAKEN = (
    "Mesh-Deadline",
    "Mesh-Budget",
    "Mesh-Boundary",
    "Mesh-Priority",
    "Mesh-Labels",
    "Mesh-Correlation",
    "Mesh-Causation",
    "traceparent",
)


def read_terms(headers: Mapping[str, str]) -> Terms:
    """The terms that a request's headers say; the key is empty where none is given.

    Raises:
        BadHeader: names the header and what it may hold.
    """
    said = {name: headers[name] for name in TAKEN if name in headers}
    try:
        return terms_of({**said, "Mesh-Key": _key(headers)})
    except BadPayload as error:
        raise BadHeader(error.message, detail=error.detail) from None


def _key(headers: Mapping[str, str]) -> str:
    """As a structured field (in quotes) or bare; `Mesh-Key` means the same."""
    given = {_bare(headers[name]) for name in (KEY, "Mesh-Key") if name in headers}
    if len(given) > 1:
        raise BadHeader(f"{KEY} and Mesh-Key are two names of the same thing: give one of them")
    key = given.pop() if given else ""
    if KEY in headers and not key:
        raise BadHeader(f"{KEY} is empty: leave it out, and one is made")
    return key


def _bare(text: str) -> str:
    text = text.strip()
    return text[1:-1] if len(text) >= 2 and text[0] == text[-1] == '"' else text
