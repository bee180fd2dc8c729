"""`mesh up`: from a request to a host that runs until it is told to stop. The same code runs detached."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from mesh.clock import SystemClock
from mesh.host.claim import claim_another, claim_name
from mesh.host.console import Console
from mesh.host.host import Host, HostOptions
from mesh.host.host_name import machine_name
from mesh.host.host_record import HostRecord, remove_own
from mesh.host.joining import joined
from mesh.host.manifest import Manifest
from mesh.host.manifest_reading import read_manifest
from mesh.host.notify import notify
from mesh.host.supervisor import NotReady
from mesh.protocols.errors import Unavailable
from mesh.server.binary import too_old, too_old_message
from mesh.server.embedded import start_server
from mesh.server.greeting import NotNats, greet
from mesh.settings.errors import NoServer
from mesh.settings.finding import find_server
from mesh.settings.folder import MeshFolder
from mesh.settings.target import ServerTarget, target_of

_REACH = 5.0


class UpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What `mesh up` was asked for. `folder` is where `.mesh/` is; `timeout` how many seconds until all must be ready."""

    manifest: str
    folder: str
    host_name: str | None = None
    namespace: str | None = None
    server: str | None = None
    context: str | None = None
    health: str | None = None
    reload: bool = False
    timeout: float | None = None
    must_be_ready: bool = False


def run_host(
    request: UpRequest, console: Callable[[HostRecord], Console], on_ready: Callable[[HostRecord], None]
) -> int:
    """Run a host until SIGTERM or Ctrl-C: 0 after it has drained, 1 when every process had to be given up.

    `on_ready` is called once all instances are ready. With `must_be_ready`, a host that does not get there drains and raises.

    Raises:
        BadManifest · BadSettings · Refused · Unavailable: it cannot start; the message says what to do.
        NotReady: only with `must_be_ready`.
    """
    manifest = read_manifest(Path(request.manifest))
    folder = MeshFolder(Path(request.folder))
    target, embedded = choose_server(request, manifest, folder)
    record = claim_name(
        folder,
        manifest,
        asked=request.host_name,
        namespace=request.namespace or manifest.mesh.namespace,
        url=target.url,
        clock=SystemClock(),
    )
    options = HostOptions(health=request.health, reload=request.reload, embedded=embedded)
    try:
        return asyncio.run(_live(manifest, record, target, folder, options, console, on_ready, request))
    finally:
        remove_own(folder)


def choose_server(request: UpRequest, manifest: Manifest, folder: MeshFolder) -> tuple[ServerTarget, bool]:
    """The server to use, and whether it is the folder's own, which is started if it does not run.

    Raises:
        Unavailable: the server that is configured does not answer, or is too old; the embedded one cannot be started.
    """
    try:
        target = find_server(
            request.server,
            request.context,
            manifest_url=manifest.mesh.server,
            manifest_context=manifest.mesh.context,
            manifest=manifest.path,
            start=folder.path.parent,
        )
    except NoServer:
        target = None
    if target is None or target.source == str(folder.server_file):
        started = start_server(folder)
        return target_of(started.url, str(folder.server_file), server_name=started.server_name), True
    check_reachable(target)
    return target, False


def check_reachable(target: ServerTarget) -> None:
    """Whether a server answers at one of the target's URLs, and is new enough.

    Raises:
        Unavailable: none does, or it is too old; the message says who named it.
    """
    problems = []
    for url in target.urls:
        parts = urlsplit(url)
        if target.tls_first or parts.scheme not in ("nats", "tls"):
            return
        try:
            greeting = greet(parts.hostname or "", parts.port or 0, _REACH)
        except (OSError, NotNats) as error:
            problems.append(f"{url}: {error}")
            continue
        if too_old(greeting.version):
            raise Unavailable(too_old_message(greeting.version, f"the server at {url} ({target.source})"))
        return
    raise Unavailable(
        f"no server answers ({'; '.join(problems)}), which {target.source} names: start it, or name another"
    )


async def _live(
    manifest: Manifest,
    claimed: HostRecord,
    target: ServerTarget,
    folder: MeshFolder,
    options: HostOptions,
    console: Callable[[HostRecord], Console],
    on_ready: Callable[[HostRecord], None],
    request: UpRequest,
) -> int:
    rename = None if request.host_name else partial(claim_another, folder, manifest.host.name or machine_name())
    async with joined(claimed, target, rename) as (mesh, record):
        shown = console(record)
        host = Host(manifest, record, target=target, folder=folder, options=options, console=shown, mesh=mesh)
        return await _run(host, shown, on_ready, request)


async def _run(host: Host, console: Console, on_ready: Callable[[HostRecord], None], request: UpRequest) -> int:
    record = host.record
    _heed_signals(host, console)
    console.say(f"mesh: host {record.name} on {record.url}, namespace {record.namespace}, manifest {record.manifest}")
    try:
        await host.start()
        getting_ready = asyncio.create_task(_get_ready(host, console, on_ready, request))
        return await _until_the_end(host, getting_ready)
    finally:
        notify("STOPPING=1")
        await host.drain()
        console.say(f"mesh: host {record.name} has drained")


async def _get_ready(host: Host, console: Console, on_ready: Callable[[HostRecord], None], request: UpRequest) -> None:
    try:
        await host.until_ready(request.timeout)
    except NotReady as error:
        if request.must_be_ready:
            raise NotReady(f"{error} (logs: {host.logs})") from None
        console.say(f"mesh: not everything is ready: {error}", loud=True)
        notify(f"READY=1\nSTATUS=not everything is ready: {error}")
        return
    on_ready(host.record)
    notify(f"READY=1\nSTATUS={len(host.record.processes)} processes are ready")
    console.say(f"mesh: host {host.record.name} is ready; Ctrl-C drains it")


async def _until_the_end(host: Host, getting_ready: asyncio.Task[None]) -> int:
    stopping = asyncio.create_task(host.asked_to_drain.wait())
    hopeless = asyncio.create_task(host.supervisor.until_hopeless())
    waiting: set[asyncio.Task[object]] = {stopping, getting_ready}
    if not host.reloads:
        waiting.add(hopeless)
    try:
        while True:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if getting_ready in done:
                getting_ready.result()
                waiting.discard(getting_ready)
            if stopping in done:
                return 0
            if hopeless in done:
                return 1
    finally:
        for task in (stopping, hopeless, getting_ready):
            task.cancel()


def _heed_signals(host: Host, console: Console) -> None:
    def asked() -> None:
        if host.asked_to_drain.is_set():
            console.say("mesh: asked again: killing what has not drained yet", loud=True)
            host.kill()
        else:
            console.say("mesh: draining; once more kills")
        host.ask_to_drain()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked)
