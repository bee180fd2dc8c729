"""Nothing without a token, and with one nothing beyond its tenants. Secrets are in files that only their owner can read."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mesh.gateway.private_file import PrivateFile
from mesh.gateway.tokens import EVERY_TENANT, Tokens, bind, digest_of, read_bound
from mesh.protocols.errors import InvalidName
from mesh.settings.errors import BadSettings
from tests.gateway.gate import TOKEN, Gate

PATHS = ("/v1/openapi.json", "/v1/acme/jobs", "/v1/acme/jobs/j1", "/v1/acme/jobs/j1/events", "/v1/acme/jobs/j1/result")


@pytest.mark.server
async def test_every_path_but_health_needs_the_token(gate: Gate) -> None:
    for given in ("", f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer", f"Bearer {'x' * 5000}", "Bearer \u00e9"):
        for path in PATHS:
            status, problem = await gate.ask("GET", path, headers={"Authorization": given})
            assert (status, problem["code"]) == (401, "unauthorized")
        status, _ = await gate.ask("POST", "/v1/acme/jobs/shout", headers={"Authorization": given}, data=b"{}")
        assert status == 401
        assert (await gate.ask("GET", "/healthz", headers={"Authorization": given}))[0] == 200
    async with gate.client.get(gate.site.url + PATHS[0], headers={"Authorization": ""}) as answer:
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="mesh"'


@pytest.mark.server
async def test_a_token_that_is_no_text_is_no_token_and_no_news(gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
    """Bytes that are no UTF-8, from somebody who is not known: nobody is to be woken by them."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gate.site.port)
    writer.write(b"GET /v1/acme/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfe\r\n\r\n")
    async with asyncio.timeout(30):
        assert (await reader.readline()).startswith(b"HTTP/1.1 401 ")
    writer.close()
    assert [each for each in caplog.records if each.name.startswith(("aiohttp", "mesh.gateway"))] == []


@pytest.mark.server
async def test_a_bound_token_is_good_for_its_tenants_until_its_line_is_taken_out(gate: Gate) -> None:
    assert gate.bound is not None
    bind(gate.bound, "of-acme", ("acme", "globex"))
    mine = {"Authorization": "Bearer of-acme"}
    assert (await gate.ask("GET", "/v1/acme/jobs", headers=mine))[0] == 200
    assert (await gate.ask("GET", "/v1/globex/jobs", headers=mine))[0] == 200
    for method, path in (("GET", "/v1/other/jobs"), ("GET", "/v1/other/jobs/j1"), ("POST", "/v1/other/jobs/shout")):
        status, problem = await gate.ask(method, path, headers=mine)
        assert (status, problem["code"]) == (403, "forbidden")
    gate.bound.write_text("[tokens]\n")
    assert (await gate.ask("GET", "/v1/acme/jobs", headers=mine))[0] == 401
    assert (await gate.ask("GET", "/v1/acme/jobs"))[0] == 200


@pytest.mark.server
async def test_what_is_told_has_neither_token_nor_query(gate: Gate) -> None:
    before = len(gate.told)
    await gate.ask("GET", "/v1/acme/jobs?state=secret-word")
    await gate.ask("GET", "/v1/acme/jobs", headers={"Authorization": "Bearer wrong-token"})
    told = [fields for event, fields in gate.told[before:] if event == "http.request"]
    assert [each["status"] for each in told] == [200, 401]
    assert told[0]["route"] == "/v1/{tenant}/jobs"
    text = json.dumps(told)
    assert not [word for word in (TOKEN, "wrong-token", "secret-word") if word in text]


def test_a_file_that_has_become_unreadable_ends_no_token(tmp_path: Path) -> None:
    bind(tmp_path / "tokens.toml", "mine", ("acme",))
    tokens = Tokens("own", tmp_path / "tokens.toml")
    (tmp_path / "tokens.toml").write_text("nonsense")
    found = tokens.bearer("mine")
    assert found is not None
    assert found.may_act_for("acme")
    assert not found.may_act_for("globex")


def test_a_file_that_is_put_right_is_read_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What puts it right may change neither its time, nor its size, nor which file it is."""
    path = tmp_path / "tokens.toml"
    bind(path, "mine", ("acme",))
    tokens = Tokens("own", path)
    path.write_text("[tokens]\n")
    path.chmod(0o664)
    for _ in range(3):
        assert tokens.bearer("mine") is not None
    assert [each.levelname for each in caplog.records] == ["ERROR"]
    path.chmod(0o600)
    assert tokens.bearer("mine") is None


def test_a_file_that_could_not_be_read_for_a_moment_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tokens.toml"
    bind(path, "mine", ("acme",))
    tokens = Tokens("own", path)
    path.write_text("[tokens]\n")

    def no_descriptor_left(*_: object) -> str:
        raise OSError(errno.EMFILE, "too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_text", no_descriptor_left)
        assert tokens.bearer("mine") is not None
    assert tokens.bearer("mine") is None


@pytest.mark.parametrize("token", ["x" * 513, "ma\u00f1ana", "one\ntwo"])
def test_a_token_that_nobody_could_present_is_refused_at_the_start(token: str) -> None:
    with pytest.raises(BadSettings, match="remove the file, and a new one is made") as refused:
        Tokens(token)
    assert token not in str(refused.value)


def test_tokens_that_are_bound_at_the_same_time_all_stand_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    with ThreadPoolExecutor(8) as several:
        for _ in several.map(lambda number: bind(path, f"token-{number}", ("acme",)), range(32)):
            pass
    assert len(read_bound(path)) == 32


def test_binding_again_changes_the_tenants_and_keeps_the_others(tmp_path: Path) -> None:
    path = tmp_path / "gateway" / "tokens.toml"
    bind(path, "one", ("acme",))
    bind(path, "two", ("globex",))
    bind(path, "one", ("acme", "initech"))
    assert read_bound(path) == {digest_of("one"): {"acme", "initech"}, digest_of("two"): {"globex"}}
    assert path.stat().st_mode & 0o077 == 0
    assert "one" not in path.read_text().replace(digest_of("one"), "")
    with pytest.raises(InvalidName):
        bind(path, "three", ("Not A Tenant",))


def test_a_folder_that_cannot_be_written_to_is_said(tmp_path: Path) -> None:
    (tmp_path / "gateway").write_text("a file stands here")
    with pytest.raises(BadSettings, match=r"tokens\.toml cannot be written"):
        bind(tmp_path / "gateway" / "tokens.toml", "one", ("acme",))


@pytest.mark.parametrize(
    "text",
    ["[tokens]\nabc = ['acme']", "[other]", "tokens = 1", f"[tokens]\n'{digest_of('x')}' = []", f"[tokens]\n'{digest_of('x')}' = ['A B']", "["],
)  # fmt: skip
def test_lines_that_make_no_sense_say_what_to_write(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(text)
    with pytest.raises(BadSettings, match=str(path)):
        read_bound(path)


def test_a_star_means_every_tenant(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(f"[tokens]\n'{digest_of('x')}' = ['*']")
    assert read_bound(path) == {digest_of("x"): EVERY_TENANT}


def test_a_secret_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    made = iter(["first", "second"])
    file = PrivateFile(tmp_path / "deep" / "token", lambda: next(made))
    assert (file.read(), PrivateFile(file.path, lambda: "other").read()) == ("first", "first")
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in file.path.parent.iterdir()] == ["token"]


@pytest.mark.parametrize(("mode", "text", "says"), [(0o644, "x", "chmod 600"), (0o600, " \n", "empty")])
def test_a_secret_that_others_can_read_is_not_used(tmp_path: Path, mode: int, text: str, says: str) -> None:
    path = tmp_path / "token"
    path.write_text(text)
    os.chmod(path, mode)
    with pytest.raises(BadSettings, match=says):
        PrivateFile(path, lambda: "new").read()
