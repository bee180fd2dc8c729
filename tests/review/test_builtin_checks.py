"""The checks that come with the mesh: what they see, what they rightly leave alone, and who uses them when."""

from __future__ import annotations

import ast
import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.actors.declaring.definition import Agent
from mesh.agents.review import specialists, team
from mesh.agents.review.analysers.builtin import builtin
from mesh.agents.review.builtin import secrets, security
from mesh.agents.review.calibration import BUILTIN as BUILTIN_BIDS
from mesh.agents.review.calibration import QUICK as QUICK_BIDS
from mesh.agents.review.changes import ChangeSet, Hunk, ReviewRequest
from mesh.agents.review.findings import Category, Review
from mesh.agents.review.inspection import BUILTIN, inspect
from mesh.agents.review.repository import Repository
from mesh.agents.review.sample import make_sample, planted, score
from mesh.agents.review.specialists import (
    ComplexityReviewer,
    LogicReviewer,
    QuickReviewer,
    SecurityReviewer,
    StyleReviewer,
)
from mesh.agents.review.synthesiser import Synthesiser
from mesh.agents.review.workflow import code_review
from mesh.client.mesh import Mesh
from mesh.protocols.errors import Refused
from mesh.testing import local_mesh
from tests.review.repositories import change_set, changed

FAKE = "-".join(["zK91", "harbour", "mango", "77"])
TOOLS = set(team.TOOLS)


async def found(part: Category, text: str, path: str = "a.py") -> list[str]:
    result = await inspect(*change_set(changed(path, None, text)), [builtin(part)])
    return sorted(finding.rule.removeprefix("builtin:") for finding in result.findings)


async def seen_in(part: Category, texts: list[str], path: str = "{}.py") -> dict[str, list[str]]:
    """The rules that are named in each text; one run for all of them."""
    names = {path.format(f"m{number}"): text for number, text in enumerate(texts)}
    result = await inspect(*change_set(*(changed(name, None, text) for name, text in names.items())), [builtin(part)])
    rules: dict[str, list[str]] = {text: [] for text in texts}
    for finding in result.findings:
        rules[names[finding.path]].append(finding.rule.removeprefix("builtin:"))
    return rules


SECURITY = {
    "import subprocess\nsubprocess.run(f'ls {x}', shell=True)\n": "shell-injection",
    "from os import system as run\nrun(command)\n": "shell-injection",
    "eval(text)\n": "code-execution",
    "import pickle as p\np.loads(data)\n": "unsafe-deserialisation",
    "import yaml\nyaml.load(text, Loader=yaml.Loader)\n": "unsafe-deserialisation",
    "import hashlib\nhashlib.new('md5', data)\n": "weak-hash",
    "db.execute(f'SELECT a FROM b WHERE c = {d}')\n": "sql-injection",
    "db.execute('SELECT a FROM b WHERE c = ' + d + ' LIMIT 1')\n": "sql-injection",
    "db.execute('DELETE FROM b WHERE c = %s' % d)\n": "sql-injection",
    "db.execute('UPDATE b SET c = {}'.format(d))\n": "sql-injection",
    "import requests\nrequests.get(url)\n": "no-timeout",
    "client.get(url, verify=False)\n": "unverified-tls",
    "app.run(debug=True)\n": "debug-mode",
    "server.bind(('0.0.0.0', 80))\n": "bind-all",
    "import tempfile\ntempfile.mktemp()\n": "insecure-temporary-file",
    "try:\n    f()\nexcept Exception:\n    pass\n": "swallowed-exception",
    f"db_password = '{FAKE}'\n": "hardcoded-secret",
    f"connect(api_key='{FAKE}')\n": "hardcoded-secret",
    f"settings = {{'token': '{FAKE}'}}\n": "hardcoded-secret",
    f"def f(user, secret='{FAKE}'): pass\n": "hardcoded-secret",
    f"url = 'postgres://shop:{FAKE}@db/shop'\n": "hardcoded-secret",
}
HARMLESS = [
    "import subprocess\nsubprocess.run(['ls', x])\n",
    "import yaml\nyaml.load(text, Loader=yaml.SafeLoader)\nyaml.safe_load(text)\n",
    "import hashlib\nhashlib.md5(data, usedforsecurity=False)\nhashlib.sha256(data)\n",
    "db.execute('SELECT a FROM b WHERE c = ?', (d,))\nlog('You selected one from these: ' + names)\n",
    "import requests\nrequests.get(url, timeout=3)\nrequests.get(url, **options)\n",
    "try:\n    f()\nexcept (OSError, ValueError):\n    pass\n",
    "password = os.environ['PASSWORD']\npassword_hint = 'Your password hint'\ntoken_name = 'SESSION_TOKEN'\n",
    "reasons = {'max_tokens': 'length'}\npassword = ''\nsecret = '${SECRET}'\n",
    "subprocess.run(command, shell=True)  # nosec\n",
]
LOGIC = {
    "def broken(:\n": "syntax-error",
    "def f(items=[]):\n    return items\n": "mutable-default",
    "def f(*, items=dict()):\n    return items\n": "mutable-default",
    "try:\n    f = 1\nexcept:\n    f = 2\n": "bare-except",
    "x = 1\nif x is 'a':\n    print(x)\n": "is-literal",
    "x = 1\nif x == None:\n    print(x)\n": "comparison-to-none",
    "assert (1, 'always')\n": "assert-on-tuple",
    "x = {'a': 1, 'a': 2}\n": "repeated-key",
    "kept = []\nfor x in range(3):\n    kept.append(lambda: x)\n": "late-binding",
    "kept = [lambda: x for x in range(3)]\n": "late-binding",
    "def f():\n    return 1\n    print(2)\n": "unreachable-code",
    "def f():\n    x = 1\n    return 2\n": "unused-variable",
    "def f():\n    try:\n        return 1\n    except OSError as error:\n        return 2\n": "unused-variable",
    "print(undefined)\n": "undefined-name",
    "import os\n": "unused-import",
    "from os import *\n": "star-import",
    "for x in range(3):\n    print()\n": "unused-loop-variable",
    "try:\n    x = 1\nexcept OSError:\n    raise ValueError('no')\n": "raise-without-from",
}
CORRECT = [
    "def f(items=None, *, size=3, names=()):\n    return items, size, names\n",
    "try:\n    x = 1\nexcept:\n    print('no')\n    raise\n",
    "kept = []\nfor x in range(3):\n    kept.append(lambda x=x: x)\n    print(sorted([3, 1], key=lambda y: y - x))\n",
    "def f():\n    raise NotImplementedError\n    yield\n",
    "def f():\n    x = 1\n    def g():\n        return x\n    return g\n",
    "def f():\n    total = 0\n    total += 1\n    _ = total\n    return locals()\n",
    "from __future__ import annotations\nimport os\nimport typing as t\nx: os.PathLike\ny: t.Any\n",
    "import os as os\nimport json\n__all__ = ['json']\n",
    "import re\ndef f(x: 're.Pattern[str] | None') -> None: ...\n",
    "try:\n    import json\nexcept ImportError:\n    json = None\n",
    "import os  # noqa: F401\n",
    "match [1, 2]:\n    case [first, *rest]:\n        print(first, rest)\n    case {'a': a, **more}:\n        print(a, more)\n",
    "class A:\n    def f(self):\n        return __class__\nprint(__file__, __name__)\n",
    "from os import *  # noqa\nprint(getcwd())\n",
    "def f():\n    global x\n    x = 1\ndef g():\n    return x\n",
    "try:\n    x = 1\nexcept OSError as error:\n    raise ValueError('no') from error\n",
]
STYLE = {
    "x = '" + "y" * 130 + "'\n": "line-too-long",
    "x = 1 \n": "trailing-whitespace",
    "x = 1": "no-newline-at-end",
    "def parcelLabel(): ...\n": "function-name",
    "def f(parcelLabel): ...\n": "argument-name",
    "class parcel_label: ...\n": "class-name",
    "class Label(object): ...\n": "needless-object",
    "from typing import List\n": "old-typing",
    "import textwrap\nimport json\n": "import-order",
    "import json, textwrap\n": "multiple-imports",
    "def f(x):\n    if x:\n        return True\n    else:\n        return False\n": "needless-bool",
    "f(x == True)\n": "comparison-to-bool",
    "f(not x in y)\n": "not-in",
    "f = lambda: 1\n": "lambda-assignment",
    "def f():\n    x = 1; return x\n": "several-statements",
    "def f():\n    pass\n    return 1\n": "needless-pass",
}
NEAT = [
    "import json\nimport textwrap\n\nimport aiohttp\n\n\nclass HTTPServer:\n    def visit_Name(self, MAX=1): ...\n",
    "import os\nfrom collections import abc\nimport sys\n",
    "# see https://example.org/" + "x" * 130 + "\n",
    "def f(x):\n    if x:\n        return True\n    return x is not None\n",
]


@pytest.mark.parametrize(("part", "faults"), [("security", SECURITY), ("logic", LOGIC), ("style", STYLE)])
async def test_each_fault_is_seen_by_its_name(part: Category, faults: dict[str, str]) -> None:
    seen = await seen_in(part, list(faults))
    assert {text: rule for text, rule in faults.items() if rule not in seen[text]} == {}


@pytest.mark.parametrize(("part", "texts"), [("security", HARMLESS), ("logic", CORRECT), ("style", NEAT)])
async def test_what_is_right_is_left_alone(part: Category, texts: list[str]) -> None:
    assert {text: rules for text, rules in (await seen_in(part, texts)).items() if rules} == {}


@pytest.mark.parametrize(
    "line",
    [
        f"password: {FAKE}",
        f'  "api_key": "{FAKE}",',
        f"export DB_PASSWORD='{FAKE}'",
        f"- secret_key = {FAKE}",
        "aws: AKIA" + "ABCDEFGHIJKLMNOP",
        "key = -----BEGIN RSA PRIVATE " + "KEY-----",
        f"dsn: postgres://shop:{FAKE}@db.internal/shop",
    ],
)
async def test_secrets_are_seen_in_any_kind_of_file_and_never_shown(line: str) -> None:
    result = await inspect(*change_set(changed("deploy.yaml", None, f"{line}\n")), [builtin("security")])
    assert [finding.topic for finding in result.findings] == ["hardcoded-secret"]
    assert FAKE not in repr(result)


def test_a_line_of_telling_words_without_a_value_takes_no_time() -> None:
    assert list(secrets.check_text(("token" * 400 + "\n") * 600, python=False)) == []


def test_a_long_sum_is_walked_through_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once for each of its terms is a minute and a half for two hundred kilobytes."""
    tree, walk, walked = ast.parse("x = " + "a + " * 500 + "a\n"), ast.walk, 0

    def counted(node: ast.AST) -> Iterator[ast.AST]:
        nonlocal walked
        for each in walk(node):
            walked += 1
            yield each

    monkeypatch.setattr(security.ast, "walk", counted)  # type: ignore[attr-defined]
    assert list(security.check(tree)) == []
    assert walked < 20_000


async def test_a_line_ends_where_python_has_it_end() -> None:
    """A lone carriage return does, too: what is behind a remark then is code, though nobody sees it."""
    assert await found("logic", "import sys  # used below\rimport os\rprint(sys)\r") == ["unused-import"]


@pytest.mark.parametrize(
    "line",
    [
        "password: ${DB_PASSWORD}",
        "password: <your password>",
        "token: null",
        "The secret: patience and 3 eggs",
        "password:",
        "url: https://example.org:8080/a@b",
    ],
)
async def test_what_is_no_secret_is_left_alone(line: str) -> None:
    assert await found("security", f"{line}\n", "deploy.yaml") == []


async def test_complexity_is_counted_as_radon_counts_it() -> None:
    text = (Path(asyncio.__file__).parent / "base_events.py").read_text()
    pytest.importorskip("radon")
    from radon.complexity import cc_visit

    theirs = {(block.lineno, block.complexity) for block in cc_visit(text, no_assert=True) if block.complexity > 10}
    theirs |= {
        (method.lineno, method.complexity)
        for block in cc_visit(text, no_assert=True)
        for method in getattr(block, "methods", [])
        if method.complexity > 10
    }
    theirs -= {(block.lineno, block.complexity) for block in cc_visit(text) if hasattr(block, "methods")}
    result = await inspect(*change_set(changed("a.py", None, text)), [builtin("complexity")])
    ours = {(finding.line, int(finding.message.split(" of ")[1].split(";")[0])) for finding in result.findings}
    assert ours == theirs


async def test_complexity_counts_only_where_it_grew() -> None:
    branches = "".join(f"    if x == {n}:\n        return {n}\n" for n in range(12))
    grown = f"def f(x):\n{branches}    return -1\n"
    assert await found("complexity", grown) == ["complex-function"]
    file, blobs = changed("a.py", grown, grown.replace("return -1", "return -2"), Hunk(26, 1, 26, 1))
    assert (await inspect(ChangeSet(files=(file,)), blobs, BUILTIN["review.complexity"])).findings == []


@pytest.mark.parametrize("part", ["security", "logic", "complexity", "style"])
@pytest.mark.parametrize(
    "text",
    [
        "x = " + "(" * 5000 + ")" * 5000 + "\n",
        "x = " + "-" * 20000 + "1\n",
        "x = 1\x0c\ny = '\x00'\n",
        "\ufeffx = 1\r\ny = 2\r\n",
        "password = " * 3000 + "\n",
        "",
        "\n" * 100_000,
    ],
    ids=["parentheses", "signs", "nul", "bom", "long", "empty", "lines"],
)
async def test_strange_files_end_in_findings_or_notes_and_keep_no_other_from_being_read(
    part: Category, text: str
) -> None:
    other = f"import os\ndef f(items=[]):\n    eval(items) \n    password = '{FAKE}'\n"
    result = await inspect(*change_set(changed("a.py", None, text), changed("b.py", None, other)), [builtin(part)])
    assert part == "complexity" or any(finding.path == "b.py" for finding in result.findings)
    if "((" in text:
        assert result.notes or any(finding.rule == "builtin:syntax-error" for finding in result.findings)


async def test_of_a_patch_alone_nothing_is_said_that_needs_the_whole_file() -> None:
    text = "import os\nprint(undefined)\neval(text)\n"
    file, blobs = changed("a.py", text, text, Hunk(1, 3, 1, 3), partial=True)
    for part in ("logic", "complexity", "style"):
        assert (await inspect(ChangeSet(files=(file,)), blobs, BUILTIN[f"review.{part}"])).findings == []
    assert len((await inspect(ChangeSet(files=(file,)), blobs, BUILTIN["review.security"])).findings) == 1


# -- the team without its tools


@pytest.fixture
def no_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a plain install."""

    def installed(module: str) -> bool:
        return module not in TOOLS

    monkeypatch.setattr(specialists, "installed", installed)
    monkeypatch.setattr(team, "installed", installed)


async def reviewed(mesh: Mesh, folder: Path, *agents: type[Agent]) -> Review:
    repo = make_sample(folder / "shop")
    for each in (Repository([folder]), Synthesiser, *agents):
        await mesh.host(each)
    await mesh.host_workflow(code_review)
    handle = await mesh.submit("code-review", ReviewRequest(repo=str(repo)))
    review: Review = await handle.result(timeout=50, returns=Review)
    return review


TEAM = (SecurityReviewer, LogicReviewer, ComplexityReviewer, StyleReviewer, QuickReviewer)


async def test_without_tools_the_generalist_does_every_part_and_says_what_to_install(
    tmp_path: Path, no_tools: None
) -> None:
    async with local_mesh() as mesh:
        review = await reviewed(mesh, tmp_path, *TEAM)
    assert review.complete
    assert set(review.agents.values()) == {"quick-reviewer"}
    assert [note for note in review.notes if "pip install 'natsmesh[review]'" in note] == list(review.notes)
    result = score(review, planted())
    assert result.recall >= 0.9, result.missed
    assert result.precision == 1.0, result.wrong


async def test_where_a_tool_is_missing_the_generalist_does_its_part_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(specialists, "installed", lambda module: module != "radon")
    async with local_mesh() as mesh:
        review = await reviewed(mesh, tmp_path, *TEAM)
    assert review.agents["review.complexity"] == "quick-reviewer"
    assert review.agents["review.security"] == "security-reviewer"


def test_the_shortage_is_said_in_words(no_tools: None) -> None:
    assert team.shortage() == (
        "not installed: bandit, detect-secrets, radon, ruff, vulture; Python's own parser finds less than they do "
        "(pip install 'natsmesh[review]')"
    )


def test_with_every_tool_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team, "installed", lambda _: True)
    assert team.shortage() == ""


def test_they_bid_less_than_whoever_has_a_tool() -> None:
    assert all(BUILTIN_BIDS[capability].coverage < QUICK_BIDS[capability].coverage for capability in QUICK_BIDS)


async def test_a_patch_alone_needs_a_package_and_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mesh.agents.review.patch", None)
    async with local_mesh() as mesh:
        await mesh.host(Repository([tmp_path]))
        with pytest.raises(Refused, match=r"needs unidiff on this host: pip install 'natsmesh\[review\]'"):
            await mesh.ask("repository", ReviewRequest(diff="x"), command="collect")
