"""What `mesh doctor` looks at on the server: who named it, whether it answers, its age, JetStream, advisories, durability."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from mesh.cli.doctor_finding import Finding, broken, fine, weak
from mesh.cli.doctor_storage import limit_of, storage_finding, stream_checks, writes_finding
from mesh.cli.options import Options
from mesh.cli.running import whereabouts
from mesh.protocols.errors import MeshError
from mesh.protocols.naming.presence import DISCONNECTS
from mesh.protocols.ports import Message
from mesh.server.binary import too_old, too_old_message
from mesh.server.configuration import FILE, LOG
from mesh.server.greeting import Greeting, NotNats, greet_async
from mesh.settings.errors import BadSettings, NoServer
from mesh.settings.folder import MeshFolder
from mesh.settings.target import ServerTarget

if TYPE_CHECKING:
    from mesh.transport.connection import Connection

_TIMEOUT = 2.0
_ADVISORY_WITHIN = 1.0


async def server_checks(options: Options) -> list[Finding]:
    """Everything that needs a server, as far as it can be reached."""
    try:
        target, namespace = whereabouts(options)
    except NoServer as error:
        return [weak("server", "none is configured", str(error))]
    except BadSettings as error:
        return [broken("server", "the settings make no sense", str(error))]
    found = [fine("server", f"{target.url} ({target.source})")]
    greeting, reached = await _reach(target)
    found.append(reached)
    if greeting is None and reached.state == "fail":
        return found
    if greeting is not None:
        found.append(_version(greeting, target))
    return [*found, *await _connected(target, namespace, options.timeout or _TIMEOUT), _durability(target)]


async def _reach(target: ServerTarget) -> tuple[Greeting | None, Finding]:
    if target.tls_first or not target.url.startswith(("nats://", "tls://")):
        return None, weak("reachable", "its greeting cannot be read without TLS or a websocket", "see 'login' below")
    problems = []
    for url in target.urls:
        parts = urlsplit(url)
        try:
            greeting = await greet_async(parts.hostname or "", parts.port or 0, _TIMEOUT)
            return greeting, fine("reachable", f"{url} is {greeting.server_name}")
        except (OSError, TimeoutError, NotNats) as error:
            problems.append(f"{url}: {error or 'no answer'}")
    return None, broken(
        "reachable", "; ".join(problems), "start it (`mesh server start` for the embedded one), or name another"
    )


def _version(greeting: Greeting, target: ServerTarget) -> Finding:
    if too_old(greeting.version):
        return broken("server version", greeting.version, too_old_message(greeting.version, target.url))
    return fine("server version", greeting.version)


async def _connected(target: ServerTarget, namespace: str, timeout: float) -> list[Finding]:
    from mesh.transport.connection import connect

    try:
        connection = await connect(target, name="mesh doctor", timeout=timeout)
    except MeshError as error:
        return [broken("login", "refused", str(error))]
    try:
        return [
            fine("login", "accepted"),
            *await _jetstream(connection, target, namespace, timeout),
            await _advisories(connection, target),
        ]
    finally:
        await connection.close()


async def _jetstream(connection: Connection, target: ServerTarget, namespace: str, timeout: float) -> list[Finding]:
    cure = "enable JetStream on the server and for this account; deploy/nats-server.conf shows how"
    try:
        answer = await connection.bus.request("$JS.API.INFO", b"", timeout=timeout)
    except MeshError as error:
        return [broken("jetstream", f"off for this account ({error})", cure)]
    info = msgspec.json.decode(answer.data, type=dict[str, Any])
    if "error" in info:
        return [broken("jetstream", str(info["error"].get("description", info["error"])), cure)]
    folder = MeshFolder.nearest() if _is_embedded(target) else None
    limit = limit_of(info, folder)
    writes = None if folder is None else writes_finding(folder.server / LOG)
    return [
        fine("jetstream", f"{info.get('streams', 0)} streams, {info.get('consumers', 0)} consumers"),
        storage_finding(info.get("storage", 0), limit),
        *([writes] if writes else []),
        *await stream_checks(connection, namespace),
    ]


def _is_embedded(target: ServerTarget) -> bool:
    """Whether it is the embedded server of the nearest folder."""
    folder = MeshFolder.nearest()
    return folder is not None and target.source == str(folder.server_file)


async def _advisories(connection: Connection, target: ServerTarget) -> Finding:
    from mesh.transport.connection import connect

    heard = asyncio.Event()
    probe = await connect(target, name="mesh doctor's probe")
    needle = f'"id":{probe.bus.client[1]},'.encode()

    def listen(message: Message) -> None:
        if needle in message.data.replace(b" ", b""):
            heard.set()

    subscription = await connection.bus.subscribe(DISCONNECTS, listen)
    await probe.close()
    try:
        async with asyncio.timeout(_ADVISORY_WITHIN):
            await heard.wait()
    except TimeoutError:
        return weak(
            "crash advisories",
            "the account does not hear of disconnects: a crash is noticed when its lease runs out, in seconds",
            "export $SYS.ACCOUNT.*.DISCONNECT to the account; deploy/nats-server.conf shows how",
        )
    finally:
        await subscription.close()
    return fine("crash advisories", "heard at once")


def _durability(target: ServerTarget) -> Finding:
    folder = MeshFolder.nearest()
    if folder is None or not _is_embedded(target):
        return weak(
            "sync_interval",
            "cannot be seen from here",
            "make sure that the server has `sync_interval: always` in its jetstream block",
        )
    text = (folder.server / FILE).read_text("utf-8") if (folder.server / FILE).exists() else ""
    found = re.search(r"sync_interval:\s*(\S+)", text)
    if found and found[1] == "always":
        return fine("sync_interval", "always: what is acknowledged survives a power cut")
    return broken("sync_interval", found[1] if found else "not set", "`mesh server stop`, then `mesh server start`")
