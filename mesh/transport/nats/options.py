"""From a `ServerTarget` to what nats-py wants to be told."""

from __future__ import annotations

import logging
import random
import ssl
from collections.abc import Callable
from typing import Any

from mesh.protocols.errors import Unavailable
from mesh.settings.target import ServerTarget
from mesh.transport.nats.credentials import BadLogin, CredentialsFile, check_seed
from mesh.transport.nats.library import Server

log = logging.getLogger("mesh.transport")

PING_INTERVAL = 5
"""Seconds; a hung server is noticed after three of them."""
RETRY_FIRST, RETRY_LONGEST = 0.05, 1.0

Choice = Callable[[list[Server], dict[str, Any]], tuple[Server, float]]


def connect_options(target: ServerTarget, name: str, source: random.Random) -> dict[str, Any]:
    """Options of `Client.connect`: credentials, TLS, and how to come back after a loss.

    Raises:
        Unavailable: a file that the target names cannot be used.
    """
    context = _tls(target)
    proof = {} if context is None else {"tls": context, "tls_handshake_first": target.tls_first}
    return {
        "servers": list(target.urls),
        "name": name or None,
        "ping_interval": PING_INTERVAL,
        "max_outstanding_pings": 2,
        "connect_timeout": 2,
        "reconnect_time_wait": 0.05,
        "max_reconnect_attempts": 1,
        "reconnect_to_server_handler": jittered(source, lambda: _read_again(context, target)),
        "inbox_prefix": target.inbox_prefix or "_INBOX",
        **_credentials(target),
        **proof,
    }


def jittered(source: random.Random, prepare: Callable[[], None]) -> Choice:
    """The server that failed least, after a random pause that doubles with its failures: nobody reconnects in step. `prepare` is
    called before each attempt."""

    def choose(servers: list[Server], _: dict[str, Any]) -> tuple[Server, float]:
        prepare()
        fewest = min(server.reconnects for server in servers)
        chosen = source.choice([server for server in servers if server.reconnects == fewest])
        longest = min(RETRY_LONGEST, RETRY_FIRST * 2 ** min(fewest, 10))
        return chosen, source.uniform(0.0, longest)

    return choose


def _credentials(target: ServerTarget) -> dict[str, Any]:
    found = {
        "user": target.user,
        "password": target.password,
        "token": target.token,
        "user_credentials": CredentialsFile(target.creds) if target.creds else None,
        "nkeys_seed": target.nkey_seed,
    }
    if target.creds or target.nkey_seed:
        _need_nkeys(target)
        _check_files(target)
    return {key: value for key, value in found.items() if value is not None}


def _check_files(target: ServerTarget) -> None:
    """nats-py reads them in the middle of a login, and is not prepared for what it may find."""
    try:
        if target.nkey_seed:
            check_seed(target.nkey_seed)
        if target.creds:
            CredentialsFile(target.creds).read()
    except (OSError, BadLogin) as error:
        raise Unavailable(f"cannot log in to {target.url} (from {target.source}): {error}") from error


def _need_nkeys(target: ServerTarget) -> None:
    try:
        import nkeys  # noqa: F401
    except ImportError as error:
        raise Unavailable(
            f"{target.source or target.url} logs in with an nkey or credentials file: install 'natsmesh[nkeys]'"
        ) from error


def _tls(target: ServerTarget) -> ssl.SSLContext | None:
    if not (target.tls_ca or target.tls_cert or any(url.startswith(("tls://", "wss://")) for url in target.urls)):
        return None
    try:
        context = ssl.create_default_context(cafile=target.tls_ca)
        _show(context, target)
    except OSError as error:
        raise Unavailable(f"cannot use the TLS files for {target.url} (from {target.source}): {error}") from error
    return context


def _show(context: ssl.SSLContext, target: ServerTarget) -> None:
    if target.tls_cert:
        context.load_cert_chain(target.tls_cert, target.tls_key)


def _read_again(context: ssl.SSLContext | None, target: ServerTarget) -> None:
    """Certificates are renewed while we run, and the one we began with expires: reconnects show, and trust, what is there now."""
    if context is None:
        return
    try:
        if target.tls_ca:
            context.load_verify_locations(cafile=target.tls_ca)
        _show(context, target)
    except OSError as error:
        log.warning("the TLS files for %s cannot be read now, those read before are used: %s", target.url, error)
