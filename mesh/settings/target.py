"""`ServerTarget`: which server, and as whom."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import msgspec

from mesh.settings.errors import BadSettings

DEFAULT_PORT = 4222
_LOGIN = re.compile(r"[^/@]*@")
_SCHEMES = ("nats", "tls", "ws", "wss")


class ServerTarget(msgspec.Struct, frozen=True, kw_only=True):
    """Which server, and as whom. `source` says for people where the setting came from.

    `url` may name several servers of one cluster, joined by commas: `urls` splits them. `creds`, `nkey_seed` and the `tls_…`
    are paths of files; passwords and tokens that stood in the URL have been moved to their own fields. `server_name`: the server must
    show it, or it is somebody else's that has taken the port; empty where any will do.
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
    server_name: str = ""
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
        raise BadSettings(
            f"{source}: {_shown(url)!r} is not a URL ({error}); write something like nats://host:4222"
        ) from None
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise BadSettings(
            f"{source}: {_shown(url)!r} does not name a NATS server; write something like nats://host:4222 (or {', '.join(_SCHEMES[1:])})"
        )
    if parts.username and parts.password:
        found.update(user=unquote(parts.username), password=unquote(parts.password))
    elif parts.username:
        found.update(token=unquote(parts.username))
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return urlunsplit((parts.scheme, f"{host}:{port}", parts.path, "", ""))


def _shown(url: str) -> str:
    """A URL without its login: complaints end up in logs."""
    return _LOGIN.sub("…@", url)
