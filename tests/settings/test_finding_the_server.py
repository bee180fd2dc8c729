"""Which setting names the server: the first that says anything wins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mesh.settings.errors import BadSettings, NoServer
from mesh.settings.finding import find_server
from mesh.settings.folder import MeshFolder
from mesh.settings.target import target_of


@pytest.fixture
def home(tmp_path: Path) -> Path:
    contexts = tmp_path / ".config" / "nats" / "context"
    contexts.mkdir(parents=True)
    prod = {"url": "tls://prod:4443", "creds": "~/prod.creds", "ca": "/etc/ca.pem", "inbox_prefix": "_IN.me"}
    (contexts / "prod.json").write_text(json.dumps(prod))
    (contexts / "plain.json").write_text(json.dumps({"url": "nats://plain", "user": "ada", "password": "pw"}))
    return tmp_path


@pytest.fixture
def env(home: Path) -> dict[str, str]:
    return {"HOME": str(home)}


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    folder = tmp_path / "work" / "deep" / "er"
    folder.mkdir(parents=True)
    mesh = MeshFolder.of(tmp_path / "work").create()
    mesh.server_file.write_text(json.dumps({"url": "nats://127.0.0.1:5555"}))
    return folder


def test_an_explicit_server_wins_over_everything(env: dict[str, str], recorded: Path) -> None:
    env |= {"NATS_URL": "nats://env"}
    found = find_server("nats://flag", environ=env, manifest_url="nats://manifest", start=recorded)
    assert (found.url, found.source) == ("nats://flag:4222", "--server")


def test_a_context_wins_over_the_environment(env: dict[str, str], recorded: Path) -> None:
    env |= {"NATS_URL": "nats://env"}
    found = find_server(context="plain", environ=env, start=recorded)
    assert (found.url, found.user, found.password) == ("nats://plain:4222", "ada", "pw")


def test_the_environment_wins_over_the_manifest(env: dict[str, str], recorded: Path) -> None:
    env |= {"NATS_URL": "nats://env", "NATS_CREDS": "~/me.creds", "NATS_CA": "/ca.pem"}
    found = find_server(environ=env, manifest_url="nats://manifest", start=recorded)
    assert found.url == "nats://env:4222"
    assert (found.creds, found.tls_ca) == (f"{env['HOME']}/me.creds", "/ca.pem")


def test_the_environment_can_name_a_context(env: dict[str, str], recorded: Path) -> None:
    found = find_server(environ=env | {"NATS_CONTEXT": "prod"}, start=recorded)
    assert (found.url, found.creds) == ("tls://prod:4443", f"{env['HOME']}/prod.creds")
    assert (found.tls_ca, found.inbox_prefix) == ("/etc/ca.pem", "_IN.me")


def test_the_manifest_wins_over_a_recorded_server(env: dict[str, str], recorded: Path) -> None:
    found = find_server(environ=env, manifest_url="nats://manifest", manifest="mesh.toml", start=recorded)
    assert (found.url, found.source) == ("nats://manifest:4222", "mesh.toml")


def test_the_nearest_recorded_server_is_found_from_a_folder_below(env: dict[str, str], recorded: Path) -> None:
    assert find_server(environ=env, start=recorded).url == "nats://127.0.0.1:5555"


def test_nothing_configured_says_what_to_do(env: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(NoServer, match=r"mesh up.*--server"):
        find_server(environ=env, start=tmp_path)


def test_the_selected_context_is_offered_but_never_taken(env: dict[str, str], home: Path, tmp_path: Path) -> None:
    (home / ".config" / "nats" / "context.txt").write_text("prod\n")
    with pytest.raises(NoServer, match="--context prod"):
        find_server(environ=env, start=tmp_path)


def test_a_server_and_a_context_go_together(env: dict[str, str]) -> None:
    found = find_server("nats://other", "plain", environ=env)
    assert (found.url, found.user) == ("nats://other:4222", "ada")


def test_an_unknown_context_names_the_known_ones(env: dict[str, str]) -> None:
    with pytest.raises(BadSettings, match="plain, prod"):
        find_server(context="nope", environ=env)


def test_a_contexts_name_cannot_leave_its_folder(env: dict[str, str]) -> None:
    with pytest.raises(BadSettings, match="not a context's name"):
        find_server(context="../../etc/passwd", environ=env)


def test_a_context_that_needs_more_than_we_can_do_is_refused(env: dict[str, str], home: Path) -> None:
    path = home / ".config" / "nats" / "context" / "odd.json"
    path.write_text(json.dumps({"url": "nats://x", "nsc": "nsc://op/acc/user"}))
    with pytest.raises(BadSettings, match="'nsc' is not supported"):
        find_server(context="odd", environ=env)


def test_a_broken_record_says_how_to_mend_it(env: dict[str, str], tmp_path: Path) -> None:
    MeshFolder.of(tmp_path).create().server_file.write_text("{")
    with pytest.raises(BadSettings, match="mesh server start"):
        find_server(environ=env, start=tmp_path)


@pytest.mark.parametrize("url", ["http://x", "nats://", "nats://x:notaport", ",", "nats://x:99999"])
def test_what_is_no_server_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(BadSettings, match="nats://"):
        target_of(url, "--server")


def test_credentials_in_a_url_move_to_their_fields_and_stay_out_of_logs() -> None:
    target = target_of("nats://ada:p%40ss@one,two:5000", "--server")
    assert (target.urls, target.user, target.password) == (("nats://one:4222", "nats://two:5000"), "ada", "p@ss")
    assert "p@ss" not in repr(target)
    assert target_of("secret@host", "--server").token == "secret"


def test_the_folder_keeps_itself_out_of_version_control(tmp_path: Path) -> None:
    folder = MeshFolder.of(tmp_path).create().create()
    assert (folder.path / ".gitignore").read_text() == "*\n"


@pytest.mark.parametrize("url", ["nats://ada:secret@host:99999", "http://ada:secret@host", "nats://secret@[::1"])
def test_what_is_wrong_with_a_url_is_said_without_its_login(url: str) -> None:
    with pytest.raises(BadSettings, match=r"host|::1") as refused:
        target_of(url, "NATS_URL")
    assert "secret" not in str(refused.value)
