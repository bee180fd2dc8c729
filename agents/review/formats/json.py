"""A review as JSON: every field, and the counts that a script asks for first. Non-ASCII text stays readable; control
characters are escapes, as JSON has them."""

from __future__ import annotations

import msgspec

from mesh.agents.review.findings import Review, as_json


def json(review: Review) -> str:
    """The review, indented."""
    return msgspec.json.format(msgspec.json.encode(as_json(review)), indent=2).decode() + "\n"
