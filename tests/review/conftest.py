"""What the tests of the review team share."""

from __future__ import annotations

import pytest


@pytest.fixture
def without_mypy(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine without mypy: a review takes a second less."""
    monkeypatch.setattr("mesh.agents.review.analysers.types.installed", lambda module: False)


@pytest.fixture
def with_mypy(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine with mypy; what it says is the test's to say."""
    monkeypatch.setattr("mesh.agents.review.analysers.types.installed", lambda module: True)
