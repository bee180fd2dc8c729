"""A review as JSON: every field, and the counts that a script asks for first."""

from __future__ import annotations

from mesh.agents.review.findings import Review, as_json
from mesh.agents.review.formats.escaping import json_text


def json(review: Review) -> str:
    """The review, indented."""
    return json_text(as_json(review)) + "\n"
