"""The real tools over real files: what they see, and that they run nothing and read nothing that is not theirs."""

from __future__ import annotations

import ast
import asyncio
import errno
import os
import sys
import threading
from pathlib import Path

import pytest

from mesh.agents.review import inspection
from mesh.agents.review.analysers import ruff
from mesh.agents.review.analysers.bandit import bandit
from mesh.agents.review.analysers.radon import radon
from mesh.agents.review.analysers.secrets import secrets
from mesh.agents.review.analysers.tool import IN_ALL, SHORTEST, ToolCrashed, ToolFailed, ToolSlow, installed, run_tool
from mesh.agents.review.analysers.types import types
from mesh.agents.review.analysers.vulture import vulture
from mesh.agents.review.changes import ChangeSet, Hunk, SettingsFile, digest_of
from mesh.agents.review.findings import Finding
from mesh.agents.review.inspection import BUILTIN, THOROUGH, Inspected, inspect
from mesh.agents.review.observation import Analyser, Analysis, Observation
from mesh.agents.review.processes import Ended, TooMuchOutput, TooSlow, bare_environment, run
from mesh.agents.review.workspace import Workspace, workspace
from tests.review.repositories import change_set, changed

import msgspec  # isort: skip


async def found(analyser: Analyser, after: str, *, before: str | None = None, path: str = "a.py") -> list[str]:
    """The rules that one analyser names in one file."""
    result = await inspect(*change_set(changed(path, before, after)), [analyser])
    return sorted(finding.rule for finding in result.findings)


async def test_bandit_sees_danger() -> None:
    assert await found(bandit, "import subprocess\nsubprocess.call('x', shell=True)\n") == ["bandit:B602"]


async def test_no_name_keeps_a_file_from_bandit() -> None:
    """It passes over a path in which `CVS` or `.git` stands anywhere, and says nothing."""
    names = ("CVSx.py", "a.git.py", "a.hg/x.py", "__pycache__/x.py", "a.eggs/b.py", "plain.py")
    changes, blobs = change_set(*(changed(name, None, "eval(input())\n") for name in names))
    assert {finding.path for finding in (await inspect(changes, blobs, [bandit])).findings} == set(names)


async def test_a_file_about_swagger_is_searched_for_secrets() -> None:
    fake = "-".join(["zK91", "harbour", "mango", "77"])
    names = ("swagger_keys.py", "docs/my-swagger.yaml")
    changes, blobs = change_set(*(changed(name, None, f'password: "{fake}"\n') for name in names))
    assert {finding.path for finding in (await inspect(changes, blobs, [secrets])).findings} == set(names)


async def test_detect_secrets_sees_secrets_in_any_kind_of_file_and_never_shows_them() -> None:
    fake = "-".join(["zK91", "harbour", "mango", "77"])
    result = await inspect(*change_set(changed("settings.yaml", None, f'password: "{fake}"\n')), [secrets])
    (finding,) = result.findings
    assert finding.rule == "detect-secrets:secret-keyword"
    assert fake not in repr(result)


async def test_a_password_in_python_is_not_repeated_by_bandit() -> None:
    fake = "-".join(["zK91", "harbour", "mango", "77"])
    result = await inspect(*change_set(changed("a.py", None, f'password = "{fake}"\n')), [bandit])
    assert [finding.rule for finding in result.findings] == ["bandit:B105"]
    assert fake not in repr(result)


@pytest.mark.usefixtures("without_mypy")
async def test_whatever_else_is_wrong_with_a_line_its_secret_is_not_repeated() -> None:
    """Nor by the checks of style and logic, which know nothing of secrets; nor that of a value of several lines."""
    fake = "-".join(["zK91", "mango", "7"])
    one = (
        f'password = "{fake}"   \n\n\ndef f(password="{fake}", other=[]):\n    return missing(other, token="{fake}")\n'
    )
    several = f'password = """{fake}\nmore-{fake}\n"""\n'
    changes, blobs = change_set(
        changed("one.py", None, one),
        changed("several.py", None, several),
        changed("a.yaml", None, f'password: {fake}  # the "old" one\n'),
    )
    for analysers in (*THOROUGH.values(), *BUILTIN.values()):
        result = await inspect(changes, blobs, analysers)
        assert result.findings or analysers in (THOROUGH["review.complexity"], BUILTIN["review.complexity"])
        assert fake not in repr(result)


async def test_words_that_only_sound_like_a_secret_are_doubted() -> None:
    result = await inspect(*change_set(changed("a.py", None, 'password_hint = "Your password hint"\n')), [bandit])
    assert {(finding.severity, finding.confidence.value < 0.5) for finding in result.findings} <= {("low", True)}


async def test_the_agent_goes_on_listening_while_much_is_sorted_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else its process is taken for dead in the middle of a large review."""
    where: list[threading.Thread] = []

    def sorted_out(place: Workspace, observations: list[Observation]) -> list[Finding]:
        where.append(threading.current_thread())
        return []

    async def nothing(place: Workspace) -> Analysis:
        return Analysis()

    monkeypatch.setattr(inspection, "attributed", sorted_out)
    await inspect(*change_set(changed("a.py", None, "x = 1\n")), [nothing])
    assert where
    assert where != [threading.current_thread()]


async def test_the_agent_goes_on_listening_while_copies_are_made_for_the_search_for_secrets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    where: list[threading.Thread] = []

    class Spaces:
        def sub(self, by: bytes, line: bytes) -> bytes:
            where.append(threading.current_thread())
            return line

    monkeypatch.setattr("mesh.agents.review.analysers.secrets._SPACES", Spaces())
    await inspect(*change_set(changed("a.py", None, "x = 1\n")), [secrets])
    assert where
    assert threading.current_thread() not in where


async def test_pyflakes_and_bugbear_see_mistakes() -> None:
    text = "import os\n\n\ndef f(items=[]):\n    return missing\n"
    assert await found(ruff.logic, text) == ["ruff:B006", "ruff:F401", "ruff:F821"]


async def test_imports_of_a_package_are_taken_for_reexports() -> None:
    assert await found(ruff.logic, "from .a import b\n", path="pkg/__init__.py") == []


async def test_vulture_sees_dead_code_and_leaves_public_names_alone() -> None:
    text = "def used(size):\n    return 1\n    print(2)\n\n\ndef _never():\n    return 2\n"
    assert await found(vulture, text) == ["vulture:unreachable-code", "vulture:unused-function"]


async def test_radon_counts_what_grew() -> None:
    branches = "".join(f"    if x == {n}:\n        return {n}\n" for n in range(12))
    grown = f"def f(x):\n{branches}    return -1\n"
    assert await found(radon, grown) == ["radon:complexity"]
    file, blobs = changed("a.py", grown, grown.replace("return -1", "return -2"), Hunk(26, 1, 26, 1))
    assert (await inspect(ChangeSet(files=(file,)), blobs, [radon])).findings == []


@pytest.mark.skipif(not installed("mypy"), reason="mypy is not installed")
async def test_mypy_sees_wrong_types_and_minds_its_own_files() -> None:
    text = (
        "import yaml\nfrom shop import elsewhere\n\n\ndef f(x: int) -> str:\n    elsewhere.call(yaml)\n    return x\n"
    )
    assert await found(types, text, path="shop/a.py") == ["mypy:return-value"]


async def test_a_file_that_does_not_parse_is_the_worst_finding_and_breaks_no_tool() -> None:
    changes, blobs = change_set(changed("a.py", None, "def broken(:\n"), changed("b.py", None, "eval(input())\n"))
    every = [await inspect(changes, blobs, THOROUGH[part]) for part in sorted(THOROUGH)]
    found_ = [finding for result in every for finding in result.findings]
    assert any(finding.path == "a.py" and finding.severity == "critical" for finding in found_)
    assert any(finding.path == "b.py" and finding.topic == "code-execution" for finding in found_)


STRANGE = {
    "parentheses": "x = " + "(" * 5000 + ")" * 5000 + "\n",
    "signs": "x = " + "-" * 20000 + "1\n",
    "lists": "x = [" * 3000 + "]" * 3000 + "\n",
    "indents": "if x:\n" * 1 + "".join("    " * n + "if x:\n" for n in range(1, 99)) + "    " * 99 + "y = 1\n",
    "bom": "\ufeffx = 1\r\ny = 2\r\n",
    "passwords": "password" * 3000 + "\n",
    "nul": "x = 1\x0c\ny = '\x00'\n",
    "surrogate": "x = '\ud800'.encode()\n".encode("utf-8", "surrogatepass").decode("latin-1"),
    "empty": "",
}


ALONE = (("parentheses",), ("signs",), ("lists",), tuple(STRANGE)[3:])
"""What may exhaust a parser is read alone; whatever is left, in one go."""


@pytest.mark.usefixtures("without_mypy")
@pytest.mark.parametrize("kinds", ALONE, ids=",".join)
async def test_strange_files_end_in_findings_or_notes(kinds: tuple[str, ...]) -> None:
    strange = [changed(f"{kind}.py", None, STRANGE[kind]) for kind in kinds]
    changes, blobs = change_set(*strange, changed("b.py", None, "import os\n"))
    for part, analysers in THOROUGH.items():
        result = await tolerant(changes, blobs, analysers)
        if part == "review.logic":
            assert any(finding.path == "b.py" for finding in result.findings), result.notes


@pytest.mark.skipif(not installed("mypy"), reason="mypy is not installed")
@pytest.mark.parametrize("kinds", ALONE, ids=",".join)
async def test_mypy_ends_on_strange_files_in_findings_or_notes(kinds: tuple[str, ...]) -> None:
    strange = [changed(f"{kind}.py", None, STRANGE[kind]) for kind in kinds]
    await tolerant(*change_set(*strange, changed("b.py", None, "x: int = ''\n")), (types,))


async def tolerant(changes: ChangeSet, blobs: dict[str, bytes], analysers: tuple[Analyser, ...]) -> Inspected:
    try:
        return await inspect(changes, blobs, analysers)
    except ToolFailed as error:
        return Inspected([], (str(error),))


async def test_no_code_of_the_reviewed_repository_is_run(tmp_path: Path) -> None:
    mark = tmp_path / "run"
    evil = f"open({str(mark)!r}, 'w').write('run')\n"
    names = ["bandit.py", "ruff.py", "vulture.py", "radon.py", "mypy.py", "detect_secrets.py", "sitecustomize.py"]
    names += [
        "usercustomize.py",
        "conftest.py",
        "setup.py",
        "json.py",
        "bandit/__init__.py",
        "mypy/__main__.py",
        "a.pth",
    ]
    parts = [changed(name, None, evil) for name in names if name not in {"bandit.py", "mypy.py"}]
    settings = {
        "pyproject.toml": f"[tool.mypy]\nplugins = ['{tmp_path}/evil.py']\n[tool.bandit]\n[tool.ruff]\nline-length = 77\n",
        "ruff.toml": "line-length = 77\n",
    }
    changes, blobs = change_set(*parts)
    blobs |= {digest_of(text.encode()): text.encode() for text in settings.values()}
    files = tuple(SettingsFile(path=name, digest=digest_of(text.encode())) for name, text in settings.items())
    (tmp_path / "evil.py").write_text(evil)
    changes = msgspec.structs.replace(changes, settings=files)
    for analysers in THOROUGH.values():
        await inspect(changes, blobs, analysers)
    assert not mark.exists()


@pytest.mark.skipif(not installed("mypy"), reason="mypy is not installed")
async def test_a_file_named_like_a_list_of_arguments_gives_no_tool_any(tmp_path: Path) -> None:
    """`@args.py` among the arguments of mypy means: more of them stand in `args.py`; a plugin is code that it runs."""
    mark = tmp_path / "run"
    files = {
        "@args.py": "x = 1\n",
        "args.py": "--config-file=config.py\nother.py\n",
        "config.py": "[mypy]\nplugins = ./plugin.py\n",
        "plugin.py": f"open({str(mark)!r}, 'w').write('run')\n",
        "other.py": "x: int = 1\n",
    }
    await inspect(*change_set(*(changed(name, None, text) for name, text in files.items())), [types])
    assert not mark.exists()


async def test_no_settings_of_this_user_have_a_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ruff").mkdir()
    (tmp_path / "ruff" / "ruff.toml").write_text('lint.ignore = ["F", "I"]\n')
    (tmp_path / ".radon.cfg").write_text("[radon]\nexclude = *\n")
    for name in ("HOME", "XDG_CONFIG_HOME", "PYTHONPATH", "MYPYPATH"):
        monkeypatch.setenv(name, str(tmp_path))
    assert await found(ruff.logic, "import os\n") == ["ruff:F401"]
    assert await found(ruff.style, "import sys\nimport os\n") == ["ruff:I001"]


async def test_a_tool_that_is_missing_is_a_note_and_the_others_go_on() -> None:
    async def missing(place: object) -> object:
        raise ToolFailed("vulture is not installed here")

    changes, blobs = change_set(changed("a.py", None, "import os\n"))
    result = await inspect(changes, blobs, [ruff.logic, missing])  # type: ignore[list-item]
    assert [finding.rule for finding in result.findings] == ["ruff:F401"]
    assert result.notes == ("vulture is not installed here",)
    with pytest.raises(ToolFailed):
        await inspect(changes, blobs, [missing])  # type: ignore[list-item]


PRINTED = (
    b"",
    b"Traceback (most recent call last)",
    b"{}",
    b"[]",
    b'{"results": 7, "code": null}',
    b"[null]",
    b'[{"x": 1}]',
)


@pytest.mark.usefixtures("without_mypy")
@pytest.mark.parametrize("printed", PRINTED)
@pytest.mark.parametrize("part", THOROUGH)
async def test_a_tool_that_prints_something_else_is_a_note_and_the_others_go_on(
    part: str, printed: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of another version, or one that broke off."""

    async def strange(place: object, module: str, arguments: object, **options: object) -> Ended:
        return Ended(0, printed, "")

    async def other(place: object) -> Analysis:
        return Analysis(notes=("the others went on",))

    monkeypatch.setattr("mesh.agents.review.analysers.tool.run_tool", strange)
    changes, blobs = change_set(changed("a.py", None, "import os\n"))
    result = await inspect(changes, blobs, [*THOROUGH[part], other])
    assert result.findings == []
    assert "the others went on" in result.notes


async def test_a_file_that_ruff_cannot_read_is_said_by_name() -> None:
    file, blobs = changed("a.py", None, "eval(x)\n")
    latin = "# -*- coding: latin-1 -*-\n# \xfc\nimport os\n".encode("latin-1")
    blobs = {digest_of(latin): latin}
    changes = ChangeSet(files=(msgspec.structs.replace(file, after=digest_of(latin)),))
    for analyser in (ruff.logic, ruff.style, ruff.security):
        result = await inspect(changes, blobs, [analyser])
        assert result.findings == []
        assert any("ruff could not read a.py" in note for note in result.notes)


async def test_a_file_that_a_tool_never_ends_on_is_left_out_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.agents.review.analysers.tool.TIMEOUT", 6.0)
    monkeypatch.setattr("mesh.agents.review.analysers.tool.run_tool", endless_on("a.py"))
    changes, blobs = change_set(*(changed(f"{name}.py", None, "import os\n") for name in "abcdef"))
    result = await inspect(changes, blobs, [ruff.logic])
    assert {finding.path for finding in result.findings} == {"b.py", "c.py", "d.py", "e.py", "f.py"}
    assert result.notes == ("ruff could not read a.py",)


async def test_a_tool_that_the_system_will_not_start_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    """No memory, or no process left for it: what the built-in checks would find, say, is a review all the same."""

    async def refused(*_: object, **__: object) -> Ended:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr("mesh.agents.review.analysers.tool.run", refused)
    with pytest.raises(ToolFailed, match="bandit could not be started"):
        await inspect(*change_set(changed("a.py", None, "import os\n")), [bandit])


async def test_a_tool_that_breaks_on_every_file_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(place: object, module: str, *_: object, **__: object) -> Ended:
        raise ToolCrashed(f"{module} failed (exit 1): No module named 'yaml'")

    monkeypatch.setattr("mesh.agents.review.analysers.tool.run_tool", broken)
    changes, blobs = change_set(*(changed(f"{name}.py", None, "import os\n") for name in "ab"))
    with pytest.raises(ToolFailed, match="No module named 'yaml'"):
        await inspect(changes, blobs, [bandit])


@pytest.mark.virtual
@pytest.mark.usefixtures("with_mypy")
async def test_both_sides_of_types_together_take_no_longer_than_any_other_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the part is given up for its sake, and what the other tools had found with it."""
    row = {"file": "a.py", "line": 1, "message": "wrong", "code": "misc-error", "severity": "error"}

    async def slow(place: object, module: str, arguments: list[str], *, timeout: float, **options: object) -> Ended:
        if "slow.py" in arguments:
            await asyncio.sleep(timeout)
            raise ToolSlow(f"{module} did not finish")
        return Ended(1, msgspec.json.encode(row), "")

    monkeypatch.setattr("mesh.agents.review.analysers.tool.run_tool", slow)
    unchanged = Hunk(2, 1, 2, 1)
    changes, blobs = change_set(
        *(changed(f"{name}.py", "x = 1\ny = 2\n", "x = 1\ny = 3\n", unchanged) for name in ("a", "slow"))
    )
    began = asyncio.get_running_loop().time()
    with workspace(changes, blobs) as place:
        seen = await types(place)
    assert asyncio.get_running_loop().time() - began <= IN_ALL + SHORTEST
    assert seen.observations == ()
    assert any("types were checked on changed lines alone" in note for note in seen.notes)


def endless_on(name: str) -> object:
    """`run_tool`, but slow as soon as it is given a file of this name."""

    async def slow(place: object, module: str, arguments: list[str], **options: object) -> object:
        if any(each.endswith(f"/{name}") for each in arguments):
            raise ToolSlow("too slow")
        return await run_tool(place, module, arguments, **options)  # type: ignore[arg-type]

    return slow


async def test_a_bug_in_one_analyser_ends_the_others_before_the_folder_goes() -> None:
    ended: list[str] = []

    async def broken(place: object) -> object:
        raise KeyError("bug")

    async def slow(place: Workspace) -> object:
        try:
            return await run_tool(place, "ruff", ["check", "--watch", "."])
        finally:
            ended.append("slow" if place.root.exists() else "too late")

    changes, blobs = change_set(changed("a.py", None, "import os\n"))
    with pytest.raises(KeyError):
        await inspect(changes, blobs, [broken, slow])  # type: ignore[list-item]
    assert ended in ([], ["slow"])


async def test_a_module_that_is_not_installed_is_said_by_name() -> None:
    changes, blobs = change_set(changed("a.py", None, "x = 1\n"))
    with workspace(changes, blobs) as place, pytest.raises(ToolFailed, match=r"natsmesh\[review\]"):
        await run_tool(place, "no_such_tool_here", [])


async def test_of_a_patch_alone_only_changed_lines_are_believed() -> None:
    text = "import os\nx = undefined\ny = eval(z)\n"
    file, blobs = changed("a.py", text, text, Hunk(3, 1, 3, 1), partial=True)
    result = await inspect(ChangeSet(files=(file,)), blobs, [ruff.logic, bandit])
    assert [finding.rule for finding in result.findings] == ["bandit:B307"]


async def test_a_finding_on_an_unchanged_line_counts_only_if_it_is_new() -> None:
    before = "import os\nimport sys\n\nprint(os.name)\nprint(old)\n"
    after = "import sys\n\nprint(os.name)\nprint(old)\n"
    file, blobs = changed("a.py", before, after, Hunk(1, 1, 0, 0))
    found_: list[Finding] = (await inspect(ChangeSet(files=(file,)), blobs, [ruff.logic])).findings
    assert [(finding.line, finding.message) for finding in found_] == [(3, "Undefined name `os`")]


async def test_a_program_that_does_not_end_is_killed_with_its_children(tmp_path: Path) -> None:
    script = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    with pytest.raises(TooSlow):
        await run([sys.executable, "-c", script], cwd=tmp_path, env=bare_environment(tmp_path), timeout=0.5)


LIMITED = """
import resource, time
while resource.getrlimit(resource.{})[0] == resource.RLIM_INFINITY:
    time.sleep(0.01)
"""
"""A program that waits until it has been given that limit: that is done once it runs."""


@pytest.mark.skipif(sys.platform != "linux", reason="limits are set with prlimit")
async def test_a_program_that_wants_all_memory_gets_an_error(tmp_path: Path) -> None:
    script = LIMITED.format("RLIMIT_AS") + "bytearray(6 * 1024**3)"
    ended = await run([sys.executable, "-c", script], cwd=tmp_path, env=bare_environment(tmp_path), timeout=20)
    assert "MemoryError" in ended.errors


@pytest.mark.skipif(sys.platform != "linux", reason="limits are set with prlimit")
async def test_a_program_that_outlives_us_does_not_compute_for_ever(tmp_path: Path) -> None:
    """Whoever started it may be killed, and it is in a session of its own: nobody else ends it."""
    script = LIMITED.format("RLIMIT_CPU") + "print(resource.getrlimit(resource.RLIMIT_CPU))"
    ended = await run([sys.executable, "-c", script], cwd=tmp_path, env=bare_environment(tmp_path), timeout=20)
    soft, _ = ast.literal_eval(ended.output.decode())
    assert 20 <= soft <= 20 * ((os.cpu_count() or 1) + 1)


async def test_a_program_that_says_too_much_is_killed(tmp_path: Path) -> None:
    script = "while True: print('x' * 1000)"
    with pytest.raises(TooMuchOutput):
        await run(
            [sys.executable, "-c", script], cwd=tmp_path, env=bare_environment(tmp_path), timeout=20, max_output=10_000
        )


async def test_a_program_gets_its_input_and_nothing_of_our_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_SECRET", "x")
    script = "import os, sys; print(sorted(os.environ), len(sys.stdin.read()))"
    ended = await run(
        [sys.executable, "-I", "-c", script],
        cwd=tmp_path,
        env=bare_environment(tmp_path),
        timeout=20,
        stdin=b"y" * 300_000,
    )
    assert ended.code == 0
    assert b"A_SECRET" not in ended.output
    assert b"300000" in ended.output
