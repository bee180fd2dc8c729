"""Finding the server: the order in which settings win."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from mesh.settings.contexts import expanded, read_context, selected_context
from mesh.settings.errors import BadSettings, NoServer
from mesh.settings.folder import FOLDER, MeshFolder
from mesh.settings.target import DEFAULT_PORT, ServerTarget, target_of


def find_server(
    server: str | None = None,
    context: str | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    manifest_url: str | None = None,
    manifest_context: str | None = None,
    manifest: str = "the manifest",
    start: Path | None = None,
) -> ServerTarget:
    """The server to use: `--server`, `--context`, NATS_URL or NATS_CONTEXT, the manifest, the nearest `.mesh/server.json`.

    A URL and a context on the same level go together: the URL says where, the context as whom. NATS_CREDS, NATS_USER and
    the other variables are added to URLs, never to a context, which says it all. The NATS command line's selected context
    is not taken without being asked for: a folder without settings must not end up in somebody's production.

    Raises:
        NoServer: none of them says anything.
        BadSettings: one of them makes no sense.
    """
    env = os.environ if environ is None else environ
    levels = (
        (server, "--server", context, "--context"),
        (env.get("NATS_URL"), "NATS_URL", env.get("NATS_CONTEXT"), "NATS_CONTEXT"),
        (manifest_url, manifest, manifest_context, manifest),
    )
    for url, url_source, name, name_source in levels:
        if url or name:
            return _level(url, url_source, name, name_source, env)
    folder = MeshFolder.nearest(start)
    if folder is not None:
        return _recorded(folder)
    raise NoServer(_nothing_found(env))


def _level(
    url: str | None, url_source: str, name: str | None, name_source: str, env: Mapping[str, str]
) -> ServerTarget:
    if not name:
        assert url
        return target_of(url, url_source, **_environment(env))
    base = read_context(name, name_source, env)
    if not url:
        return base
    named = target_of(url, f"{url_source} with {base.source}")
    kept = {field: value for field, value in msgspec.structs.asdict(named).items() if value}
    return msgspec.structs.replace(base, **kept)


def _environment(env: Mapping[str, str]) -> dict[str, Any]:
    return {
        "user": env.get("NATS_USER"),
        "password": env.get("NATS_PASSWORD"),
        "token": env.get("NATS_TOKEN"),
        "creds": expanded(env.get("NATS_CREDS"), env),
        "nkey_seed": expanded(env.get("NATS_NKEY"), env),
        "tls_ca": expanded(env.get("NATS_CA"), env),
        "tls_cert": expanded(env.get("NATS_CERT"), env),
        "tls_key": expanded(env.get("NATS_KEY"), env),
        "inbox_prefix": env.get("NATS_INBOX_PREFIX"),
    }


def _recorded(folder: MeshFolder) -> ServerTarget:
    where = str(folder.server_file)
    try:
        record = msgspec.json.decode(folder.server_file.read_bytes(), type=dict[str, Any])
        url = record["url"]
    except (OSError, msgspec.MsgspecError, KeyError) as error:
        raise BadSettings(f"{where} cannot be read ({error}); run `mesh server start` to write it anew") from error
    return target_of(str(url), where, server_name=str(record.get("server_name", "")))


def _nothing_found(env: Mapping[str, str]) -> str:
    selected = selected_context(env)
    hint = f", --context {selected} (the NATS command line's selected context)" if selected else ", --context NAME"
    return (
        "no mesh server is configured: there is no --server, --context, NATS_URL, NATS_CONTEXT, server in the manifest, "
        f"and no {FOLDER}/server.json here or above. Start one with `mesh up` or `mesh server start`, "
        f"or name one with --server nats://host:{DEFAULT_PORT}{hint}"
    )
