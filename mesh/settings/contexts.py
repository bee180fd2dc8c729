"""The contexts of the NATS command line: files that say which server, and as whom."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from mesh.settings.errors import BadSettings
from mesh.settings.target import DEFAULT_PORT, ServerTarget, target_of

_CONTEXT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
_UNSUPPORTED = ("nsc", "socks_proxy", "user_jwt", "user_seed", "jetstream_domain", "jetstream_api_prefix", "cert_store")


def contexts_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Where the NATS command line keeps its settings: `$XDG_CONFIG_HOME/nats`, else `~/.config/nats`."""
    env = os.environ if environ is None else environ
    root = env.get("XDG_CONFIG_HOME") or str(_home(env) / ".config")
    return Path(root) / "nats"


def selected_context(environ: Mapping[str, str] | None = None) -> str | None:
    """The context chosen with `nats context select`, if any."""
    try:
        return (contexts_folder(environ) / "context.txt").read_text("utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def read_context(name: str, source: str = "--context", environ: Mapping[str, str] | None = None) -> ServerTarget:
    """The target a context file of the NATS command line stands for.

    Raises:
        BadSettings: no such context, not readable, or one that needs what this client cannot do.
    """
    env = os.environ if environ is None else environ
    folder = contexts_folder(env) / "context"
    if not _CONTEXT_NAME.match(name):
        raise BadSettings(f"{source}: {name!r} is not a context's name; `nats context ls` lists them")
    path = folder / f"{name}.json"
    try:
        values = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except FileNotFoundError:
        raise BadSettings(f"{source}: there is no context {name!r}; known here: {_known(folder)}") from None
    except (OSError, msgspec.MsgspecError) as error:
        raise BadSettings(f"{source}: {path} cannot be read: {error}") from error
    return _context_target(values, f"context {name}", path, env)


def _context_target(values: dict[str, Any], source: str, path: Path, env: Mapping[str, str]) -> ServerTarget:
    for field in _UNSUPPORTED:
        if values.get(field):
            raise BadSettings(f"{path}: {field!r} is not supported here; use a context with creds, nkey, user or token")
    if str(values.get("creds") or "").startswith("op://"):
        raise BadSettings(f"{path}: credentials in 1Password are not supported here; save them to a file and set creds")
    return target_of(
        str(values.get("url") or f"nats://127.0.0.1:{DEFAULT_PORT}"),
        source,
        user=values.get("user"),
        password=values.get("password"),
        token=values.get("token"),
        creds=expanded(values.get("creds"), env),
        nkey_seed=expanded(values.get("nkey"), env),
        tls_ca=expanded(values.get("ca"), env),
        tls_cert=expanded(values.get("cert"), env),
        tls_key=expanded(values.get("key"), env),
        tls_first=bool(values.get("tls_first")),
        inbox_prefix=values.get("inbox_prefix"),
    )


def _known(folder: Path) -> str:
    names = sorted(path.stem for path in folder.glob("*.json"))
    return ", ".join(names) or f"none (looked in {folder})"


def _home(env: Mapping[str, str]) -> Path:
    return Path(env.get("HOME") or Path.home())


def expanded(value: str | None, env: Mapping[str, str]) -> str | None:
    """A path with its `~/` written out; None for nothing."""
    if not value:
        return None
    return str(_home(env) / value[2:]) if value.startswith("~/") else value
