"""Claiming a name for a host: unique in its folder, and one host a manifest unless a name is asked for."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from mesh.host.host_name import free_names, machine_name
from mesh.host.host_record import HostRecord, clear_stale, live_hosts, remove_host, turn, write_host
from mesh.host.manifest import Manifest
from mesh.protocols.errors import Refused
from mesh.protocols.naming.names import check_name
from mesh.protocols.ports import Clock
from mesh.server.process_mark import mark_of
from mesh.settings.folder import MeshFolder


def claim_name(
    folder: MeshFolder, manifest: Manifest, *, asked: str | None, namespace: str, url: str, clock: Clock
) -> HostRecord:
    """Write the record of a new host, this process, under a name that no live host of the folder has.

    The name is `asked`, else the manifest's, else this machine's; the last two give way to `<name>-2` when they are taken.

    Raises:
        Refused: this manifest runs here already, or the name asked for is taken.
        InvalidName: the name cannot stand in a subject.
    """
    path = str(Path(manifest.path).resolve())
    with turn(folder):
        clear_stale(folder)
        live = live_hosts(folder)
        if asked is None:
            _refuse_twice(path, live)
        name = _choose(asked, manifest.host.name, {host.name for host in live})
        record = _record(name, path, namespace, url, clock)
        write_host(folder, record)
    return record


def claim_another(folder: MeshFolder, wanted: str, record: HostRecord) -> HostRecord:
    """Give up the name of `record`, which somebody elsewhere in the mesh has, for the next one that is free here: `wanted` with a
    number, which stays whole, for `node-1` must not become `node-2`, another machine's."""
    with turn(folder):
        taken = {host.name for host in live_hosts(folder)}
        name = next(each for each in free_names(wanted, taken) if _number(each, wanted) > _number(record.name, wanted))
        renamed = msgspec.structs.replace(record, name=name)
        write_host(folder, renamed)
        remove_host(folder, record.name)
    return renamed


def _number(name: str, base: str) -> int:
    return 1 if name == base else int(name.removeprefix(f"{base}-"))


def _refuse_twice(path: str, live: list[HostRecord]) -> None:
    same = next((host for host in live if host.manifest == path), None)
    if same is not None:
        raise Refused(
            f"{path} already runs here as host {same.name!r} (process {same.pid}): "
            "`mesh down` ends it, `mesh up --host-name NAME` starts another"
        )


def _choose(asked: str | None, configured: str | None, taken: set[str]) -> str:
    if asked is None:
        return next(free_names(configured or machine_name(), taken))
    if asked in taken:
        raise Refused(f"host {asked!r} already runs here: `mesh down --host {asked}` ends it, or choose another name")
    return check_name(asked, "host")


def _record(name: str, manifest: str, namespace: str, url: str, clock: Clock) -> HostRecord:
    mark = mark_of(os.getpid())
    assert mark is not None
    return HostRecord(
        name=name,
        pid=mark.pid,
        process_started=mark.started,
        manifest=manifest,
        namespace=namespace,
        url=url,
        started_at=clock.now(),
    )
