"""`Tokens`: who may act for whom. A token is known here by its digest alone.

    [tokens]
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" = ["acme", "globex"]

The file is read again when it has changed: a line that is taken out stops working at once.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from mesh.gateway.private_file import write_private
from mesh.protocols.errors import InvalidName
from mesh.protocols.naming.names import check_name
from mesh.server.file_lock import FileLock
from mesh.settings.errors import BadSettings

EVERY_TENANT = frozenset({"*"})
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")
_LONGEST = 512
"""Characters of a token: nothing longer is compared with any."""

logger = logging.getLogger("mesh.gateway")

_Mark = tuple[int, int, int, int]
_GONE: _Mark = (0, 0, 0, 0)


@dataclass(frozen=True)
class Bearer:
    """Who presented a token, known by its digest. `name` is the beginning of that, which may be logged."""

    digest: str = field(repr=False)
    tenants: frozenset[str]

    @property
    def name(self) -> str:
        """What it is called where somebody reads it."""
        return self.digest[7:15]

    def may_act_for(self, tenant: str) -> bool:
        """Whether the token is good for this tenant."""
        return self.tenants == EVERY_TENANT or tenant in self.tenants


def digest_of(token: str) -> str:
    """`sha256:<hex>` of a token: what `tokens.toml` has of it."""
    return "sha256:" + hashlib.sha256(token.encode()).hexdigest()


class Tokens:
    """The gateway's own `token`, good for every tenant, and those of the file `bound`, if there is one.

    Raises:
        BadSettings: the file cannot be used, or nobody could present the token.
    """

    def __init__(self, token: str, bound: Path | None = None) -> None:
        if not _presentable(token):
            raise BadSettings(
                f"the gateway's token must be one line of at most {_LONGEST} plain ASCII characters: write such a one into "
                "its file, or remove the file, and a new one is made"
            )
        self._own = {digest_of(token): EVERY_TENANT}
        self._path = bound
        self._mark = self._refused = _mark_of(bound)
        self._bound = read_bound(bound) if bound else {}

    def bearer(self, presented: str) -> Bearer | None:
        """Who that is, or None. Every token known is compared, each in constant time."""
        self._refresh()
        digest = digest_of(presented) if _presentable(presented) else ""
        found: Bearer | None = None
        for known, tenants in (*self._own.items(), *self._bound.items()):
            if hmac.compare_digest(known, digest):
                found = Bearer(known, tenants)
        return found

    def still(self, bearer: Bearer, tenant: str) -> bool:
        """Whether whoever was let in would be let in now, for this tenant."""
        self._refresh()
        tenants = self._own.get(bearer.digest) or self._bound.get(bearer.digest)
        return tenants is not None and Bearer(bearer.digest, tenants).may_act_for(tenant)

    def _refresh(self) -> None:
        """A file that has become unreadable changes nothing: the tokens that were known go on working, until it can be read."""
        mark = _mark_of(self._path)
        if self._path is None or mark == self._mark:
            return
        try:
            self._bound = read_bound(self._path)
        except BadSettings as error:
            if mark != self._refused:
                logger.error("the tokens known so far stay: %s", error)
            self._refused = mark
        else:
            self._mark = self._refused = mark


def _presentable(token: str) -> bool:
    """Whether it can come in a header."""
    return len(token) <= _LONGEST and token.isascii() and token.isprintable()


def read_bound(path: Path) -> dict[str, frozenset[str]]:
    """The tenants of each digest; none where there is no file.

    Raises:
        BadSettings: says which line is wrong and what to write.
    """
    try:
        if path.stat().st_mode & 0o022:
            raise BadSettings(f"{path} can be written by others: `chmod 600` it")
        tables = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadSettings(f"{path} cannot be read: {error}") from None
    unknown = set(tables) - {"tokens"}
    lines = tables.get("tokens", {})
    if unknown or not isinstance(lines, dict):
        raise BadSettings(f'{path}: only a table [tokens] may stand there, with lines such as "sha256:…" = ["acme"]')
    return {_digest(path, digest): _tenants(path, digest, tenants) for digest, tenants in lines.items()}


def bind(path: Path, token: str, tenants: tuple[str, ...]) -> None:
    """Add a token to the file. Again: its tenants are those given last.

    Raises:
        BadSettings · InvalidName: the file, or a tenant, is not what it should be, or it cannot be written.
    """
    mine = {digest_of(token): frozenset(check_name(each, "tenant") for each in tenants)}
    try:
        _add(path, mine)
    except OSError as error:
        raise BadSettings(f"{path} cannot be written: {error.strerror or error}") from None


def _add(path: Path, mine: dict[str, frozenset[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with FileLock(
        path.with_name(f".{path.name}.lock")
    ):  # whoever binds another one meanwhile waits: both stand there then
        body = "".join(f'"{digest}" = [{_listed(names)}]\n' for digest, names in {**read_bound(path), **mine}.items())
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        write_private(draft, f"# token digest = tenants; taking a line out ends the token\n[tokens]\n{body}")
        draft.replace(path)


def _listed(names: frozenset[str]) -> str:
    return ", ".join(f'"{each}"' for each in sorted(names))


def _digest(path: Path, digest: str) -> str:
    if not _DIGEST.match(digest):
        raise BadSettings(f"{path}: {digest!r} is no digest; `mesh gateway token --tenant T` writes such lines")
    return digest


def _tenants(path: Path, digest: str, tenants: object) -> frozenset[str]:
    if tenants == ["*"]:
        return EVERY_TENANT
    if not isinstance(tenants, list) or not tenants or not all(isinstance(each, str) for each in tenants):
        raise BadSettings(f'{path}: {digest[:15]}… must have a list of tenants such as ["acme"], or ["*"] for all')
    try:
        return frozenset(check_name(each, "tenant") for each in tenants)
    except InvalidName as error:
        raise BadSettings(f"{path}: {digest[:15]}…: {error}") from None


def _mark_of(path: Path | None) -> _Mark:
    try:
        found = path.stat() if path else None
    except OSError:
        return _GONE
    if found is None:
        return _GONE
    return (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)
