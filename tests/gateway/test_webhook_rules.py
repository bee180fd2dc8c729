"""Where webhooks may go, how they are signed, and whose turn it is. No network here but loopback."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from types import SimpleNamespace

import msgspec
import pytest
from aiohttp import web

from mesh.clock import SystemClock
from mesh.gateway.webhooks import courier
from mesh.gateway.webhooks.courier import Courier
from mesh.gateway.webhooks.hook import Webhook, concerns
from mesh.gateway.webhooks.message import message_of
from mesh.gateway.webhooks.sender import AT_ONE_HOST, NeverTaken, NotTaken, Sender
from mesh.gateway.webhooks.signing import key_of, new_secret, signature
from mesh.gateway.webhooks.targets import Targets, read_pattern
from mesh.protocols.errors import Conflict, Refused
from mesh.protocols.job_events import Archived, JobHead, Value
from mesh.protocols.job_state import JobState
from mesh.protocols.references import Reference
from mesh.settings.errors import BadSettings
from mesh.testing.virtual_time import until
from tests.gateway.gate import listen

EVERYWHERE = Targets(["*:*"])


def test_the_signature_is_the_one_of_the_standard_webhooks_libraries() -> None:
    key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret", ["whsec_", "whsec_!!", "short", "whsec_" + "A" * 200])
def test_a_secret_that_is_none_is_refused(secret: str) -> None:
    with pytest.raises(BadSettings, match="whsec_"):
        key_of(secret)
    assert len(key_of(new_secret())) == 32


@pytest.mark.parametrize(
    ("pattern", "allowed", "refused"),
    [
        ("example.com", ("https://example.com/x", "https://EXAMPLE.com.:443/"), ("https://example.com:8443/", "https://a.example.com/", "https://example.com.evil.org/")),
        ("*.example.com", ("https://a.example.com/", "https://a.b.example.com/"), ("https://example.com/", "https://badexample.com/")),
        ("example.com:8443", ("https://example.com:8443/",), ("https://example.com/",)),
        ("example.com:*", ("https://example.com:1/", "https://example.com/"), ("https://example.org/",)),
        ("*", ("https://example.org/",), ("https://example.org:8443/",)),
    ],
)  # fmt: skip
def test_a_pattern_says_which_hosts_and_ports(pattern: str, allowed: tuple[str, ...], refused: tuple[str, ...]) -> None:
    targets = Targets([pattern])
    for each in allowed:
        targets.check(each)
    for each in refused:
        with pytest.raises(Refused, match="--webhook-allow"):
            targets.check(each)


@pytest.mark.parametrize(
    "pattern", ["", "https://example.com", "exa mple.com", "*example.com", "example.com:http", "a*b"]
)
def test_a_pattern_that_is_none_is_refused_at_the_start(pattern: str) -> None:
    with pytest.raises(BadSettings, match="--webhook-allow"):
        read_pattern(pattern)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/", "ftp://example.com/", "//example.com/", "example.com", "", "https://", "https:///x", "file:///etc/passwd",
        "https://user:secret@example.com/", "https://user@example.com/", "https://example.com/#part", "https://example.com:99999/",
        "https://ex\u00e4mple.com/", "https://example.com/\n", "https://example.com/" + "x" * 3000, "https://a..example.com/",
        f"https://{'a' * 64}.example.com/", "https://2130706433/", "https://127.1/", "https://0177.0.0.1/", "https://ex ample.com/",
    ],
)  # fmt: skip
def test_a_url_that_is_not_plainly_https_is_refused(url: str) -> None:
    with pytest.raises(Refused):
        EVERYWHERE.check(url)


INSIDE = [
    "127.0.0.1", "127.8.9.1", "10.0.0.1", "192.168.1.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
    "255.255.255.255", "::1", "::", "fe80::1", "fd00::1", "ff02::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::", "2001:db8::1",
]  # fmt: skip


@pytest.mark.parametrize("address", INSIDE)
def test_no_address_that_is_not_public_is_connected_to_however_it_is_written(address: str) -> None:
    with pytest.raises(Refused, match="no public address"):
        EVERYWHERE.check_address("name.example.com", ipaddress.ip_address(address), plain=False)
    literal = f"[{address}]" if ":" in address else address
    with pytest.raises(Refused):
        EVERYWHERE.check(f"https://{literal}/")


def test_a_public_address_may_be_connected_to() -> None:
    for address in ("93.184.215.14", "2606:2800:220:1:248:1893:25c8:1946", "64:ff9b::5db8:d70e"):
        EVERYWHERE.check_address("example.com", ipaddress.ip_address(address), plain=False)


def test_plain_http_goes_to_this_machine_only_and_only_with_the_flag() -> None:
    near = Targets(["*:*"], loopback=True, private=True)
    near.check("http://127.0.0.1:8080/hook")
    near.check("https://10.0.0.1/hook")
    with pytest.raises(Refused, match="loopback only"):
        near.check("http://10.0.0.1/hook")
    with pytest.raises(Refused, match="loopback only"):
        near.check_address("example.com", ipaddress.ip_address("93.184.215.14"), plain=True)
    with pytest.raises(Refused, match="https"):
        EVERYWHERE.check("http://127.0.0.1:8080/hook")


def test_without_a_pattern_nothing_is_sent_anywhere() -> None:
    with pytest.raises(Refused, match="started without"):
        Targets().check("https://example.com/")


def test_an_archived_job_is_told_of_by_its_tombstone() -> None:
    head = JobHead(workflow="w", version=2, tenant="acme", state="completed", submitted_at=1.0)
    tomb = Archived(
        state="completed", archive="2026-11", entries=9, digest="sha256:in", output=Value(inline=msgspec.Raw(b"7"))
    )
    state = JobState(job="j1", head=head, archived=tomb, output=tomb.output)
    hook = Webhook(
        id="w1",
        tenant="acme",
        job="j1",
        url="https://example.com/",
        workflow="w",
        digest="sha256:in",
        registered_at=0.0,
    )
    assert concerns(hook, state)
    assert not concerns(msgspec.structs.replace(hook, digest="sha256:other"), state)
    assert not concerns(hook, JobState())
    said = msgspec.json.decode(message_of(state))
    assert (said["type"], said["data"]["id"], said["data"]["result"]) == ("job.completed", "j1", 7)
    assert said["data"]["result_at"] is None


def test_a_result_that_is_not_in_the_message_is_not_taken_for_one_that_is() -> None:
    digest = f"sha256:{'0' * 64}"
    head = JobHead(workflow="w", version=2, tenant="acme", state="completed", submitted_at=1.0)
    state = JobState(job="j1", head=head, output=Value(ref=Reference(digest=digest, size=70_000)))
    data = msgspec.json.decode(message_of(state))["data"]
    assert data["result"] is None
    assert data["result_at"] == {"path": "/v1/acme/jobs/j1/result", "size": 70_000, "digest": digest}


async def test_who_waits_behind_receivers_that_hang_has_the_whole_time_for_itself() -> None:
    """Sending has not begun while it waits for its turn: that must not use up its attempts."""
    arrived: list[str] = []
    never = asyncio.Event()

    async def hang(request: web.Request) -> web.Response:
        arrived.append(request.path)
        if len(arrived) <= AT_ONE_HOST:
            await never.wait()
        return web.Response(status=204)

    runner, url = await listen(hang)
    async with Sender(b"k" * 32, Targets(["*:*"], loopback=True), SystemClock(), timeout=2.0) as sender:
        hooks = [SimpleNamespace(url=f"{url}/{one}", message=f"msg_{one}") for one in range(AT_ONE_HOST + 2)]
        ended = await asyncio.gather(*(sender.send(each, b"{}") for each in hooks), return_exceptions=True)  # type: ignore[arg-type]
    assert [type(each) for each in ended] == [NotTaken] * AT_ONE_HOST + [int, int]
    never.set()
    await runner.cleanup()


async def test_why_a_webhook_was_given_up_does_not_repeat_its_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is behind the host is often the receiver's secret, and the reason is logged and listed."""

    def refuse(*_: object, **__: object) -> list[object]:
        raise UnicodeError("label too long")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    async with Sender(b"k" * 32, EVERYWHERE, SystemClock()) as sender:
        hook = SimpleNamespace(url="https://example.com/hook/mango", message="msg")
        with pytest.raises(NeverTaken, match=r"example\.com cannot be looked up") as refused:
            await sender.send(hook, b"{}")  # type: ignore[arg-type]
    assert "mango" not in str(refused.value)


async def test_names_that_nobody_answers_for_leave_the_loops_own_threads_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """There the server's name is looked up when the connection to it is lost."""
    asked: list[object] = []
    may = threading.Event()

    def hang(host: object, *_: object, **__: object) -> list[object]:
        asked.append(host)
        may.wait(60)
        raise socket.gaierror("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    async with Sender(b"k" * 32, EVERYWHERE, SystemClock(), timeout=60.0) as sender:
        hooks = [SimpleNamespace(url=f"https://n{one}.example.com/", message="msg") for one in range(24)]
        sent = [asyncio.ensure_future(sender.send(each, b"{}")) for each in hooks]  # type: ignore[arg-type]
        await until(lambda: len(asked) == 24)
        async with asyncio.timeout(55):
            assert await asyncio.to_thread(lambda: "done") == "done"
        may.set()
        ended = await asyncio.gather(*sent, return_exceptions=True)
    assert {type(each) for each in ended} == {NotTaken}


def test_however_many_receivers_are_away_there_is_room_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier, "MOST", 8)
    monkeypatch.setattr(courier, "MOST_OF_ALL", 11)
    monkeypatch.setattr(courier, "MOST_AT_ONE_HOST", 4)
    monkeypatch.setattr(courier, "FEW_AT_ONE_HOST", 2)
    sending = Courier(SimpleNamespace(), SimpleNamespace(), SimpleNamespace())  # type: ignore[arg-type]

    def taken(number: int, host: str) -> bool:
        entry = SimpleNamespace(hook=SimpleNamespace(id=f"h{number}", url=f"https://{host}/"))
        room = sending.has_room(entry)  # type: ignore[arg-type]
        if room:
            sending._in_hand[entry.hook.id] = entry  # type: ignore[assignment]
            sending._at_host[host] += 1
        return room

    hosts = ["a.away"] * 5 + ["b.away"] * 5 + ["c.there"] * 3 + ["d.there"] * 2
    assert [taken(number, host) for number, host in enumerate(hosts)] == [
        *(True, True, True, True, False), *(True, True, True, True, False), *(True, True, False), *(True, False),
    ]  # fmt: skip


async def test_hosts_that_nothing_is_sent_to_any_more_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever registers chooses the host: there may be as many as there are jobs."""

    async def claimed_by_another(*_: object, **__: object) -> None:
        raise Conflict("somebody else has it")

    monkeypatch.setattr(courier, "message_of", lambda state: b"{}")
    sending = Courier(SimpleNamespace(change=claimed_by_another), SimpleNamespace(), SimpleNamespace(incarnation="i"))  # type: ignore[arg-type]
    for number in range(100):
        hook = SimpleNamespace(id=f"h{number}", url=f"https://t{number}.example.com/")
        await sending.take(SimpleNamespace(hook=hook), SimpleNamespace())  # type: ignore[arg-type]
    assert not sending._at_host
