"""How a review is shown: one file a format, each a function from a review to text. Nothing is decided here.

Everything in a review comes from a repository that may be hostile, or from a model that has read it; each format escapes
it for whoever reads the text next: a terminal, a Markdown renderer, a parser.
"""

from __future__ import annotations

from enum import StrEnum

from mesh.agents.review.findings import Review


class ReviewFormat(StrEnum):
    """The formats of `mesh review --format`."""

    TABLE = "table"
    MARKDOWN = "markdown"
    JSON = "json"
    SARIF = "sarif"


def render(review: Review, form: ReviewFormat, *, width: int = 120, colour: bool = False) -> str:
    """The review as text that ends with a newline. `width` and `colour` are for the table alone."""
    if form is ReviewFormat.TABLE:
        from mesh.agents.review.formats.table import table

        return table(review, width=width, colour=colour)
    if form is ReviewFormat.MARKDOWN:
        from mesh.agents.review.formats.markdown import markdown

        return markdown(review)
    if form is ReviewFormat.SARIF:
        from mesh.agents.review.formats.sarif import sarif

        return sarif(review)
    from mesh.agents.review.formats.json import json

    return json(review)
