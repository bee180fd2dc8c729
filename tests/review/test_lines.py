"""Which lines changed, and where unchanged ones stood before: against difflib, for any pair of files."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from mesh.agents.review.changes import FileChange, Hunk

LINES = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=30)


def hunks_between(before: Sequence[str], after: Sequence[str]) -> tuple[Hunk, ...]:
    """Hunks as `git diff -U0` counts them."""
    codes = difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    return tuple(
        Hunk(i1 + (i2 > i1), i2 - i1, j1 + (j2 > j1), j2 - j1) for tag, i1, i2, j1, j2 in codes if tag != "equal"
    )


@given(LINES, LINES)
def test_every_unchanged_line_is_traced_to_the_same_text_before(before: list[str], after: list[str]) -> None:
    file = FileChange(path="x", status="modified", hunks=hunks_between(before, after))
    for number, text in enumerate(after, 1):
        old = file.line_before(number)
        assert file.changed(number) == (old is None)
        if old is not None:
            assert before[old - 1] == text


@given(LINES, LINES)
def test_a_stretch_is_changed_when_any_of_its_lines_is(before: list[str], after: list[str]) -> None:
    file = FileChange(path="x", status="modified", hunks=hunks_between(before, after))
    for first in range(1, len(after) + 1):
        for last in range(first, min(first + 4, len(after)) + 1):
            assert file.changed(first, last) == any(file.changed(line) for line in range(first, last + 1))
    assert file.added_lines == sum(file.changed(line) for line in range(1, len(after) + 1))
