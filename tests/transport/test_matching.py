from __future__ import annotations

import pytest

from mesh.transport.matching import matches


@pytest.mark.parametrize(
    ("pattern", "subject", "does"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a.c", False),
        ("a.*", "a.b", True),
        ("a.*", "a", False),
        ("a.*", "a.b.c", False),
        ("*", "a", True),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        (">", "a.b", True),
        ("*.b.>", "a.b.c", True),
        ("*.b.>", "a.b", False),
    ],
)
def test_a_pattern_means_these_subjects(pattern: str, subject: str, does: bool) -> None:
    assert matches(pattern, subject) is does
