"""Which wire carries the messages: the fast one, unless it is not wanted, or nats-py is not what it was made for."""

from __future__ import annotations

import importlib
import inspect
import logging
from functools import cache
from pathlib import Path

from mesh.settings.choices import wire_choice
from mesh.transport.nats.library import Client
from mesh.transport.nats.wire import Told, Wire

log = logging.getLogger("mesh.transport")

TESTED = "2.16."
"""Releases of nats-py that the fast wire has been tested with begin like this."""
FAST = "mesh.transport.nats.fast"
_REPLACED = {
    "_attempt_reconnect": [],
    "_connect_to_server": ["s"],
    "_flush_pending": ["force_flush"],
    "_process_connect_init": [],
    "_process_info": ["info", "initial_connection"],
    "_process_op_err": ["e"],
    "_read_loop": [],
    "_send_ping": ["future"],
}
"""Methods of nats-py's client that the fast wire replaces or calls, with their parameters."""
_READ = (
    "_client_id",
    "_current_server",
    "_flusher_task",
    "_max_payload",
    "_ping_interval_task",
    "_pings_outstanding",
    "_ps",
    "_reconnection_task",
    "_server_info",
    "_server_pool",
    "_sid",
    "_subs",
    "_transport",
)
"""Attributes of it that the fast wire reads or writes."""


def make_wire(told: Told, wanted: str | None = None) -> Wire:
    """The wire that was asked for, by the caller or by `MESH_WIRE`; the plain one where the fast one cannot be trusted."""
    if (wanted or wire_choice()) == "plain":
        return _plain(told)
    found = objections()
    if found:
        _warn_once(found)
        return _plain(told)
    from mesh.transport.nats.fast import FastWire

    return FastWire(told)


def objections() -> str:
    """Why the fast wire cannot be used with this nats-py; empty when it can."""
    version = installed_version()
    if not version.startswith(TESTED):
        return f"nats-py {version} is not one that it was tested with ({TESTED}x)"
    held = vars(Client())
    missing = [name for name in _READ if name not in held]
    missing += [name for name, parameters in _REPLACED.items() if _parameters(name) != parameters]
    if missing:
        return f"nats-py {version} is not as it was: {', '.join(missing)}"
    try:
        importlib.import_module(FAST)
    except (ImportError, AttributeError) as error:
        return f"nats-py {version} is not as it was: {error}"
    return ""


def installed_version() -> str:
    """The release of nats-py, read from the name of its metadata's folder: asking for it properly takes 13 ms."""
    for folder in Path(inspect.getfile(Client)).parents[2].glob("nats_py-*.dist-info"):
        return folder.name.removeprefix("nats_py-").removesuffix(".dist-info")
    from importlib import metadata

    try:
        return metadata.version("nats-py")
    except metadata.PackageNotFoundError:
        return "of unknown version"


def _plain(told: Told) -> Wire:
    from mesh.transport.nats.plain import PlainWire

    return PlainWire(told)


def _parameters(method: str) -> list[str] | None:
    found = getattr(Client, method, None)
    return list(inspect.signature(found).parameters)[1:] if found is not None else None


@cache
def _warn_once(why: str) -> None:
    log.warning(
        "messages take the plain wire, which is slower: %s. MESH_WIRE=plain chooses it without this warning", why
    )
