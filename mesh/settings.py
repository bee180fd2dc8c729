"""Where the server is, and where this folder keeps its things.

Below: only the standard library and `protocols`. Above: `server` starts what is found missing here, `transport` connects
to a `ServerTarget`. Settings follow the NATS command line: context files, NATS_URL, NATS_CONTEXT, NATS_CREDS and the rest.
Reading is all that happens here; nothing is connected to, and nothing but `MeshFolder.create` writes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import msgspec

from mesh.protocols.errors import Semantic, Unavailable

FOLDER = ".mesh"
DEFAULT_PORT = 4222
_SCHEMES = ("nats", "tls", "ws", "wss")
_CONTEXT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
_UNSUPPORTED = ("nsc", "socks_proxy", "user_jwt", "user_seed", "jetstream_domain", "jetstream_api_prefix", "cert_store")


class NoServer(Unavailable):
    """No setting names a server. The message says which places were looked at and what to do."""

    code = "no-server"


class BadSettings(Semantic):
    """A setting is there, but makes no sense. The message says where it stands and what to write instead."""

    code = "bad-settings"
    blame = "caller"


class ServerTarget(msgspec.Struct, frozen=True, kw_only=True):
    """Which server, and as whom. `source` says for people where the setting came from.

    `url` may name several servers of one cluster, joined by commas: `urls` splits them. `creds`, `nkey_seed` and the `tls_…`
    are paths of files; passwords and tokens that stood in the URL have been moved to their own fields.
    """

    url: str
    user: str | None = None
    password: str | None = None
    token: str | None = None
    creds: str | None = None
    nkey_seed: str | None = None
    tls_ca: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    tls_first: bool = False
    inbox_prefix: str | None = None
    source: str = ""

    def __repr__(self) -> str:
        """Without secrets: targets end up in logs."""
        return f"ServerTarget(url={self.url!r}, source={self.source!r})"

    @property
    def urls(self) -> tuple[str, ...]:
        """Every server named."""
        return tuple(self.url.split(","))


def target_of(url: str, source: str, **credentials: Any) -> ServerTarget:
    """The target a URL stands for: scheme and port filled in, user, password or token taken out of it.

    Raises:
        BadSettings: not a URL of a NATS server.
    """
    found: dict[str, Any] = {name: value for name, value in credentials.items() if value}
    urls = [_plain_url(part, source, found) for part in url.split(",") if part.strip()]
    if not urls:
        raise BadSettings(f"{source} names no server; write something like nats://127.0.0.1:{DEFAULT_PORT}")
    return ServerTarget(url=",".join(urls), source=source, **found)


def _plain_url(url: str, source: str, found: dict[str, Any]) -> str:
    url = url.strip()
    try:
        parts = urlsplit(url if "://" in url else f"nats://{url}")
        port = parts.port or DEFAULT_PORT
    except ValueError as error:
        raise BadSettings(f"{source}: {url!r} is not a URL ({error}); write something like nats://host:4222") from error
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise BadSettings(
            f"{source}: {url!r} does not name a NATS server; write something like nats://host:4222 (or {', '.join(_SCHEMES[1:])})"
        )
    if parts.username and parts.password:
        found.update(user=unquote(parts.username), password=unquote(parts.password))
    elif parts.username:
        found.update(token=unquote(parts.username))
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return urlunsplit((parts.scheme, f"{host}:{port}", parts.path, "", ""))


# -- how messages travel


def wire_choice(environ: Mapping[str, str] | None = None) -> str:
    """`MESH_WIRE`: `fast` (also when nothing is said) for our own message path, `plain` for nothing but nats-py's.

    Both do the same; `plain` is for finding out whether something odd is our doing, and for releases of nats-py that the
    fast path does not know, where it is taken anyway.

    Raises:
        BadSettings: it is neither.
    """
    env = os.environ if environ is None else environ
    found = env.get("MESH_WIRE") or "fast"
    if found not in ("fast", "plain"):
        raise BadSettings(f"MESH_WIRE: {found!r} is no wire; write fast or plain")
    return found


def batches_choice(environ: Mapping[str, str] | None = None) -> bool:
    """`MESH_EVENT_BATCHES`: `on` (also when nothing is said): unstored events that follow one another leave together; `off`:
    each is a message of its own. Both do the same.

    Raises:
        BadSettings: it is neither.
    """
    return _on_or_off("MESH_EVENT_BATCHES", environ)


def quiet_awards_choice(environ: Mapping[str, str] | None = None) -> bool:
    """`MESH_QUIET_AWARDS`: `on` (also when nothing is said): an award that goes well makes no auction; `off`: each does. Both
    do the same.

    Raises:
        BadSettings: it is neither.
    """
    return _on_or_off("MESH_QUIET_AWARDS", environ)


def replicas_choice(environ: Mapping[str, str] | None = None) -> int | None:
    """`MESH_REPLICAS`: on how many servers of a cluster each stream and bucket is kept, 1 to 5. None (`auto`, also when
    nothing is said): on 3 where the server belongs to a cluster, on 1 where it stands alone.

    Raises:
        BadSettings: it is no such number.
    """
    found = (os.environ if environ is None else environ).get("MESH_REPLICAS") or "auto"
    if found == "auto":
        return None
    if found not in ("1", "2", "3", "4", "5"):
        raise BadSettings(f"MESH_REPLICAS: {found!r} is no number of replicas; write 1, 3 or 5, or auto")
    return int(found)


def _on_or_off(name: str, environ: Mapping[str, str] | None) -> bool:
    found = (os.environ if environ is None else environ).get(name) or "on"
    if found not in ("on", "off"):
        raise BadSettings(f"{name}: {found!r} is neither on nor off")
    return found == "on"


# -- the order in which settings win


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
        "creds": _path(env.get("NATS_CREDS"), env),
        "nkey_seed": _path(env.get("NATS_NKEY"), env),
        "tls_ca": _path(env.get("NATS_CA"), env),
        "tls_cert": _path(env.get("NATS_CERT"), env),
        "tls_key": _path(env.get("NATS_KEY"), env),
        "inbox_prefix": env.get("NATS_INBOX_PREFIX"),
    }


def _recorded(folder: MeshFolder) -> ServerTarget:
    where = str(folder.server_file)
    try:
        record = msgspec.json.decode(folder.server_file.read_bytes(), type=dict[str, Any])
        url = record["url"]
    except (OSError, msgspec.MsgspecError, KeyError) as error:
        raise BadSettings(f"{where} cannot be read ({error}); run `mesh server start` to write it anew") from error
    return target_of(str(url), where)


def _nothing_found(env: Mapping[str, str]) -> str:
    selected = selected_context(env)
    hint = f", --context {selected} (the NATS command line's selected context)" if selected else ", --context NAME"
    return (
        "no mesh server is configured: there is no --server, --context, NATS_URL, NATS_CONTEXT, server in the manifest, "
        f"and no {FOLDER}/server.json here or above. Start one with `mesh up` or `mesh server start`, "
        f"or name one with --server nats://host:{DEFAULT_PORT}{hint}"
    )


# -- the NATS command line's contexts


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
        creds=_path(values.get("creds"), env),
        nkey_seed=_path(values.get("nkey"), env),
        tls_ca=_path(values.get("ca"), env),
        tls_cert=_path(values.get("cert"), env),
        tls_key=_path(values.get("key"), env),
        tls_first=bool(values.get("tls_first")),
        inbox_prefix=values.get("inbox_prefix"),
    )


def _known(folder: Path) -> str:
    names = sorted(path.stem for path in folder.glob("*.json"))
    return ", ".join(names) or f"none (looked in {folder})"


def _home(env: Mapping[str, str]) -> Path:
    return Path(env.get("HOME") or Path.home())


def _path(value: str | None, env: Mapping[str, str]) -> str | None:
    if not value:
        return None
    return str(_home(env) / value[2:]) if value.startswith("~/") else value


# -- what a folder keeps


@dataclass(frozen=True)
class MeshFolder:
    """The `.mesh/` of one working folder: the embedded server's record and store, the hosts' records, their logs."""

    path: Path

    @classmethod
    def of(cls, folder: Path | None = None) -> MeshFolder:
        """The `.mesh/` of a working folder (default: the current one), which need not exist yet."""
        return cls((folder or Path.cwd()).absolute() / FOLDER)

    @classmethod
    def nearest(cls, start: Path | None = None) -> MeshFolder | None:
        """The nearest one upward that has a `server.json`."""
        here = (start or Path.cwd()).absolute()
        for folder in (here, *here.parents):
            if (folder / FOLDER / "server.json").is_file():
                return cls(folder / FOLDER)
        return None

    @classmethod
    def working(cls, start: Path | None = None) -> MeshFolder:
        """The one that commands work on: the nearest upward with a server or a host in it, else that of `start` itself."""
        here = (start or Path.cwd()).absolute()
        for folder in (here, *here.parents):
            mesh = cls(folder / FOLDER)
            if mesh.server_file.is_file() or any(mesh.hosts.glob("*.json")):
                return mesh
        return cls.of(here)

    def create(self) -> MeshFolder:
        """Make the folder, kept out of version control by itself. Again: nothing happens."""
        for part in (self.path, self.hosts, self.logs, self.server):
            part.mkdir(parents=True, exist_ok=True)
        ignore = self.path / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", "utf-8")
        return self

    @property
    def server_file(self) -> Path:
        """The record of the embedded server; there only while it is thought to run."""
        return self.path / "server.json"

    @property
    def server(self) -> Path:
        """The embedded server's configuration, log, lock and remembered port."""
        return self.path / "server"

    @property
    def store(self) -> Path:
        """The embedded server's JetStream store."""
        return self.path / "store"

    @property
    def hosts(self) -> Path:
        """One record a host."""
        return self.path / "hosts"

    @property
    def logs(self) -> Path:
        """One log a process."""
        return self.path / "logs"
