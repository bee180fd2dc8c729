"""What a review looks like, and that nothing in it reaches a terminal or a renderer as more than text."""

from __future__ import annotations

import json
import re

import pytest

from mesh.agents.review.findings import Conflict, Finding, Missing, Review, Skipped
from mesh.agents.review.formats import ReviewFormat, render
from mesh.protocols.artifacts import Confidence, Evidence

HOSTILE = (
    "\x1b[31mred\x1b[0m \x07 \u202eevil [bold]markup[/bold] [link=x]y[/] <script>alert(1)</script> `|` @everyone\r"
)


def review(text: str = "it is wrong", path: str = "pkg/a b.py") -> Review:
    grounds = (Evidence(source=path, method="bandit:B602", locator="3", excerpt=text, origin="bandit"),)
    finding = Finding(
        path=path, line=3, end_line=4, severity="high", category="security", rule="bandit:B602", topic="shell-injection",
        message=text, suggestion=text, evidence=grounds, confidence=Confidence(value=0.9, basis="rule"), found_by=("security",),
    )  # fmt: skip
    mild = Finding(
        path=path, line=1, severity="info", category="style", rule="ruff:I001", message=text, found_by=(text,)
    )
    return Review(
        repo="/r", base="a" * 40, head="b" * 40, files=2, added_lines=5, removed_lines=1, findings=(finding, mild),
        conflicts=(Conflict(path=path, line=3, about="severity", kept=text, dropped=text, reason=text),),
        missing=(Missing(capability="review.logic", reason=text),), skipped=(Skipped(path=path, reason=text),), notes=(text,),
    )  # fmt: skip


@pytest.mark.parametrize("form", list(ReviewFormat))
def test_every_format_says_what_where_how_bad_and_who(form: ReviewFormat) -> None:
    text = render(review(), form, width=200)
    for part in ("it is wrong", "high", "security", "review.logic", "bandit:B602"):
        assert part in text
    assert text.endswith("\n")


@pytest.mark.parametrize("form", [ReviewFormat.TABLE, ReviewFormat.MARKDOWN])
def test_control_and_direction_characters_become_visible(form: ReviewFormat) -> None:
    text = render(review(HOSTILE, path="\x1b]0;title\x07.py"), form)
    assert not [char for char in text if not char.isprintable() and char != "\n"]
    assert "\\x1b" in text


@pytest.mark.parametrize("form", [ReviewFormat.JSON, ReviewFormat.SARIF])
def test_what_a_terminal_would_obey_is_an_escape_for_parsers_too(form: ReviewFormat) -> None:
    """JSON itself asks that only of the oldest control characters: not of U+009B, which begins a command as ESC [ does."""
    hostile = "\x9b31mred \x7f \u202eevil \u2066 \u2028 é 漢"
    text = render(review(hostile), form)
    assert not [char for char in text if not char.isprintable() and char != "\n"]
    assert "é 漢" in text
    assert json.dumps(hostile) in json.dumps(json.loads(text))


def test_no_address_in_a_finding_becomes_a_link() -> None:
    text = render(review("see www.example.com and WWW.example.com, http://example.com"), ReviewFormat.MARKDOWN)
    outside = re.sub(r"^(`{3,}).*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE)
    outside = re.sub(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "", outside)
    assert not re.search(r"(?i)www\.|http:", outside)


def test_rich_markup_is_text_in_a_table() -> None:
    text = render(review("[bold]markup[/bold] [/] [link=x]y[/link]"), ReviewFormat.TABLE, width=300, colour=True)
    assert "[bold]markup[/bold]" in text


def test_a_table_without_colour_has_no_escapes() -> None:
    assert "\x1b" not in render(review(), ReviewFormat.TABLE)


def test_markdown_and_html_in_findings_stay_text() -> None:
    text = render(review("<script> [x](http://y) # head ```\nfence @everyone | a"), ReviewFormat.MARKDOWN)
    outside = re.sub(r"^(`{3,}).*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE)
    outside = re.sub(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "", outside)
    assert "<script>" not in outside
    assert "@everyone" not in outside
    assert "[x](" not in outside
    assert "````\n" in text


def test_json_has_stable_keys() -> None:
    body = json.loads(render(review(), ReviewFormat.JSON))
    assert body["counts"] == {"high": 1, "info": 1}
    assert body["complete"] is False
    assert {"path", "line", "severity", "category", "rule", "message", "evidence", "confidence", "found_by"} <= set(
        body["findings"][0]
    )


def test_an_empty_review_is_empty_in_every_format() -> None:
    assert json.loads(render(Review(), ReviewFormat.JSON))["findings"] == []
    assert json.loads(render(Review(), ReviewFormat.SARIF))["runs"][0]["results"] == []
    assert "Nothing was found" in render(Review(), ReviewFormat.MARKDOWN)
    assert "0 findings" in render(Review(), ReviewFormat.TABLE)


def test_sarif_has_what_the_standard_demands() -> None:
    log = json.loads(render(review(HOSTILE), ReviewFormat.SARIF))
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert run["tool"]["driver"]["name"]
    assert len({rule["id"] for rule in rules}) == len(rules)
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in {"none", "note", "warning", "error"}
        assert result["message"]["text"]
        (location,) = result["locations"]
        place = location["physicalLocation"]
        assert place["artifactLocation"]["uri"] == "pkg/a%20b.py"
        assert 1 <= place["region"]["startLine"] <= place["region"]["endLine"]
    assert run["invocations"][0]["executionSuccessful"] is False
