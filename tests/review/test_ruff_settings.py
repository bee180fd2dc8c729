"""The reviewed repository's ruff settings: honoured where they only declare, refused where they reach out."""

from __future__ import annotations

import threading
from typing import Any

import msgspec
import pytest

from mesh.agents.review.analysers import ruff
from mesh.agents.review.changes import SettingsFile, digest_of
from mesh.agents.review.inspection import Inspected, inspect
from tests.review.repositories import change_set, changed

CODE = "import sys\nimport os\n\nthisName = 'x' + \"" + "y" * 90 + '"\n'


async def styled(settings: dict[str, str], *, path: str = "pkg/a.py", text: str = CODE) -> Inspected:
    changes, blobs = change_set(changed(path, None, text))
    blobs |= {digest_of(each.encode()): each.encode() for each in settings.values()}
    files = tuple(SettingsFile(path=name, digest=digest_of(each.encode())) for name, each in settings.items())
    return await inspect(msgspec.structs.replace(changes, settings=files), blobs, [ruff.style])


def rules(result: Inspected) -> set[str]:
    return {finding.rule.removeprefix("ruff:") for finding in result.findings}


async def test_without_settings_ours_apply() -> None:
    result = await styled({})
    assert "I001" in rules(result)
    assert "E501" not in rules(result)
    assert result.notes == ()


async def test_the_repositorys_selection_and_line_length_apply() -> None:
    result = await styled(
        {"pyproject.toml": '[tool.ruff]\nline-length = 60\n[tool.ruff.lint]\nselect = ["E501", "N"]\n'}
    )
    assert rules(result) == {"E501", "N816"}


async def test_a_pyproject_without_ruff_leaves_ours() -> None:
    assert "I001" in rules(await styled({"pyproject.toml": "[project]\nname = 'x'\n"}))


async def test_the_nearest_settings_win() -> None:
    outer, inner = 'lint.select = ["I"]\n', 'lint.select = ["E501"]\nline-length = 60\n'
    assert rules(await styled({"ruff.toml": outer, "pkg/.ruff.toml": inner})) == {"E501"}


async def test_settings_may_extend_others_of_the_repository() -> None:
    inner = 'extend = "../ruff.toml"\nline-length = 60\n'
    assert "E501" in rules(await styled({"ruff.toml": 'lint.select = ["E501"]\n', "pkg/ruff.toml": inner}))


@pytest.mark.parametrize(
    "target",
    ["/etc/ruff.toml", "~/ruff.toml", "$HOME/ruff.toml", "../../../../tmp/ruff.toml", "../other.toml", "ruff.toml", 7],
)
async def test_settings_that_extend_anything_else_are_refused_with_a_note(target: object) -> None:
    text = f"extend = {target!r}\nlint.select = ['E501']\nline-length = 20\n".replace("'", '"')
    result = await styled({"pkg/ruff.toml": text})
    assert "E501" not in rules(result)
    assert any("pkg/ruff.toml was not honoured" in note for note in result.notes)


@pytest.mark.parametrize(
    "text", ["lint.select = [", "\xff\xfe", "lint.select = ['NOPE999']\n", 'required-version = "==0.0.1"\n']
)
async def test_settings_that_ruff_cannot_use_are_a_note_and_ours_apply(text: str) -> None:
    result = await styled({"ruff.toml": text})
    assert "I001" in rules(result)
    assert any("not honoured" in note for note in result.notes)


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("tool = 5\n", False),
        ("x = " + "9" * 5000 + "\n", True),
        (".".join(["a"] * 60_000) + " = 1\n", True),
    ],
    ids=["no-table", "long-number", "deep-key"],
)
async def test_settings_made_to_break_or_to_hold_up_whoever_reads_them_leave_ours(text: str, refused: bool) -> None:
    result = await styled({"pyproject.toml": text, "odd_0.py/ruff.toml": "line-length = 60\n"}, path="é.py")
    assert "I001" in rules(result)
    assert any("pyproject.toml was not honoured" in note for note in result.notes) == refused


async def test_the_agent_goes_on_listening_while_settings_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parser is slow, and there may be some megabytes of them."""
    where: list[threading.Thread] = []

    def loads(text: str) -> dict[str, Any]:
        where.append(threading.current_thread())
        return {}

    monkeypatch.setattr("mesh.agents.review.analysers.ruff_settings.tomllib.loads", loads)
    await styled({"ruff.toml": "line-length = 60\n"})
    assert where
    assert threading.current_thread() not in where


async def test_files_that_the_repository_excludes_are_not_styled() -> None:
    assert rules(await styled({"ruff.toml": 'extend-exclude = ["pkg"]\nlint.select = ["I"]\n'})) == set()


async def test_mistakes_are_not_reported_as_style() -> None:
    result = await styled({"ruff.toml": 'lint.select = ["ALL"]\n'})
    assert not {rule for rule in rules(result) if rule.startswith(("F", "B0", "S1"))} - {"FBT"}
