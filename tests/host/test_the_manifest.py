"""The manifest: what it means, and how it complains."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.cli.options import Options
from mesh.cli.running import whereabouts
from mesh.host.manifest import Manifest, parse_size
from mesh.host.manifest_reading import BadManifest, parse_manifest, read_manifest
from mesh.host.mesh_table import mesh_table
from mesh.host.plan import name_of, plan
from mesh.settings.errors import BadSettings

WHOLE = """
[mesh]
namespace = "team"
server = "nats://mesh.example:4222"

[host]
name = "blue"
labels = { zone = "a" }
environment = { LEVEL = "info" }
repositories = [".", "../other"]
hung_after = 5.0

[host.restarts]
crashes = 2

[[agents]]
use = "shop.agents:PriceWatcher"
instances = 5
processes = 2
capacity = 4
labels = { zone = "b", gpu = "yes" }
environment = { LEVEL = "debug" }

[agents.limits]
memory = "512MB"
nice = 5
open_files = 256

[[agents]]
use = "local/echo.py"

[[workflows]]
use = "shop.flows:restock"
versions = [1, 2]
"""


def complaint(text: str) -> str:
    with pytest.raises(BadManifest) as caught:
        parse_manifest(text)
    return str(caught.value)


def test_a_whole_manifest_is_read() -> None:
    manifest = parse_manifest(WHOLE, "/srv/team/mesh.toml")
    assert manifest.mesh.namespace == "team"
    assert manifest.repositories == ("/srv/team", "/srv/other")
    assert manifest.agents[0].limits.memory_bytes == 512 * 1024 * 1024
    assert manifest.host.restarts.crashes == 2


def test_instances_are_dealt_over_processes_with_stable_tokens() -> None:
    planned = plan(parse_manifest(WHOLE), "blue")
    assert [(each.token, each.instances) for each in planned] == [
        ("blue-price-watcher-1", ("1", "3", "5")),
        ("blue-price-watcher-2", ("2", "4")),
        ("blue-echo-1", ("1",)),
        ("blue-restock-1", ()),
    ]
    assert planned == plan(parse_manifest(WHOLE), "blue")


def test_processes_alone_say_how_many_instances_there_are() -> None:
    planned = plan(parse_manifest('[[agents]]\nuse = "a:B"\nprocesses = 2'), "h")
    assert [(each.token, each.instances) for each in planned] == [("h-b-1", ("1",)), ("h-b-2", ("2",))]


def test_an_agents_labels_and_environment_win_over_the_hosts() -> None:
    first = plan(parse_manifest(WHOLE), "blue")[0]
    assert first.labels == {"zone": "b", "gpu": "yes"}
    assert first.environment == {"LEVEL": "debug"}


def test_two_entries_of_one_agent_get_different_tokens_and_instances() -> None:
    planned = plan(parse_manifest('[[agents]]\nuse="a:B"\n[[agents]]\nuse="a:B"\nlabels={gpu="yes"}'), "h")
    assert [(each.token, each.instances) for each in planned] == [("h-b-1", ("1",)), ("h-b-2", ("2",))]


@pytest.mark.parametrize(
    ("use", "name"),
    [
        ("pkg.mod:PriceWatcher", "price-watcher"),
        ("pkg.mod:LLMReviewer", "llm-reviewer"),
        ("pkg.mod:restock_shelf", "restock-shelf"),
        ("some/echo_agent.py", "echo-agent"),
        ("some/echo.py:Echo2", "echo2"),
        ("Größe.py", "gr-e"),
    ],
)
def test_a_process_is_named_before_its_code_is_loaded(use: str, name: str) -> None:
    assert name_of(use) == name


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "mesh.toml: nothing to launch: add an [[agents]] table"),
        ("[mesh\n", "mesh.toml is not TOML: Expected ']'"),
        ('[[agents]]\nuse = "a:B"\ninstnces = 3', "mesh.toml:3: agents[0].instnces: unknown key: did you mean 'instances'?"),
        ('[[agent]]\nuse = "a:B"', "mesh.toml:1: agent: unknown key: did you mean 'agents'?"),
        ('x = 1\n[[agents]]\nuse = "a:B"', "mesh.toml:1: x: unknown key; known here: mesh, host, agents, workflows"),
        ('path = "x"\n[[agents]]\nuse = "a:B"', "mesh.toml:1: path: unknown key"),
        ('[[agents]]\nuse = "a:B"\n[[agents]]\nuse = "c:D"\ninstances = "3"', "mesh.toml:5: agents[1].instances: Expected int, got str"),
        ('[[agents]]\nname = "x"', "mesh.toml:1: agents[0]: 'use' is missing: write use ="),
        ('[[agents]]\nuse = "not this"', "mesh.toml:2: agents[0].use: 'not this' names nothing"),
        ('[[agents]]\nuse = "a:B"\ninstances = 0', "mesh.toml:3: agents[0].instances: must be at least 1"),
        ('[[agents]]\nuse = "a:B"\ninstances = 1\nprocesses = 2', "mesh.toml:4: agents[0].processes: 2 processes for 1 instances"),
        ('[[agents]]\nuse = "a:B"\nlabels = { n = 1 }', 'agents[0].labels: Expected str, got int: write it in quotes'),
        ('[[agents]]\nuse = "a:B"\n[agents.limits]\nmemory = "lots"', "mesh.toml:4: agents[0].limits.memory: 'lots' is not a size"),
        ('[[agents]]\nuse = "a:B"\n[agents.limits]\nnice = -5', "mesh.toml:4: agents[0].limits.nice: must be from 0"),
        ('[mesh]\nnamespace = "A B"\n[[agents]]\nuse = "a:B"', "mesh.toml:2: mesh.namespace: name 'A B' is not allowed"),
        ('[host]\nhung_after = 0\n[[agents]]\nuse = "a:B"', "mesh.toml:2: host.hung_after: must be more than 0 seconds"),
        ('[host.restarts]\nbasis = 1\n[[agents]]\nuse = "a:B"', "mesh.toml:2: host.restarts.basis: unknown key: did you mean 'base'?"),
        ('[[workflows]]\nuse = "a:b"\nprocesses = 0', "mesh.toml:3: workflows[0].processes: must be at least 1"),
    ],
)  # fmt: skip
def test_a_complaint_names_the_file_the_line_the_key_and_the_cure(text: str, says: str) -> None:
    assert says in complaint(text)


def test_a_missing_manifest_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(BadManifest, match="mesh new agent"):
        read_manifest(tmp_path / "mesh.toml")


def test_a_manifest_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mesh.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadManifest, match="cannot be read"):
        read_manifest(tmp_path / "mesh.toml")


@pytest.mark.parametrize(("size", "expected"), [("1k", 1024), ("2 GB", 2 * 1024**3), (77, 77), ("0", 0)])
def test_sizes_are_read(size: str | int, expected: int) -> None:
    assert parse_size(size) == expected


def test_the_repositories_are_the_manifests_folder_unless_said(tmp_path: Path) -> None:
    assert Manifest(path=str(tmp_path / "mesh.toml")).repositories == (str(tmp_path),)


@pytest.mark.parametrize("text", ["[mesh\n", "[mesh]\nserver = 5\n", "[mesh]\nnamespaec = 'shop'\n"])
def test_a_command_does_not_guess_which_mesh_a_broken_manifest_means(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    (tmp_path / "mesh.toml").write_text(text, "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NATS_URL", "nats://somewhere.else:4222")
    with pytest.raises(BadSettings, match="does not say which mesh it means"):
        whereabouts(Options())
    target, namespace = whereabouts(Options(server="nats://here:4222", namespace="shop"))
    assert (target.url, namespace) == ("nats://here:4222", "shop")


def test_what_is_wrong_with_other_tables_is_no_business_of_a_command(tmp_path: Path) -> None:
    (tmp_path / "mesh.toml").write_text("[mesh]\nnamespace = 'shop'\n[host]\nplanet = 3\n", "utf-8")
    assert mesh_table(tmp_path).namespace == "shop"
    assert mesh_table(tmp_path / "nowhere").namespace == "default"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[host]\ngrace = nan\n', "host.grace: must be more than 0 seconds"),
        ('[host]\nstart_timeout = inf\n', "at most a day"),
        ('[host.environment]\n"A=B" = "x"\n', "'A=B' cannot be a variable"),
        ('[agents.limits]\nmemory = "1MB"\n', "at least \"64MB\""),
        ('[agents.limits]\nmemory = "99999999999999GB"\n', "agents[0].limits.memory"),
        ('[agents.limits]\nopen_files = 99999999999999999999\n', "agents[0].limits.open_files"),
        ('[agents.environment]\nA = "\\u0000"\n', "agents[0].environment"),
    ],
)  # fmt: skip
def test_what_no_process_could_be_started_with_is_said_before_any_is(text: str, says: str) -> None:
    with pytest.raises(BadManifest) as refused:
        parse_manifest(f'[[agents]]\nuse = "a.py:A"\n{text}')
    assert says in str(refused.value)
