"""What operators decide while everything runs, as it stands in the bucket `policies`: one key a decision, JSON in it.

    kill.<what>.<name>                     Switch        nothing of that name is asked, started or handed work
    flag.<name>[.tenant.<t>][.agent.<a>]   Flag          what a handler gets for `ctx.flag(name)`
    limit.<what>.<name>[.<what>.<name>…]   RateLimit     so many calls and tokens a minute, over all processes together
    share.<tenant>                         TenantShare   a tenant's weight, how much of it runs at once, how much waits

The key alone says what an entry is about; what it repeats of that inside is for people. A character that a key cannot
have is written `=` and two hexadecimal digits, as in quoted-printable: `pay.*` is `pay.=2A`. In flags and limits, where
several names follow each other, a dot within a name is written so, too.
"""

from __future__ import annotations

import re
from typing import Literal, TypeVar, get_args

import msgspec

from mesh.protocols.errors import InvalidName, Killed

BUCKET = "policies"
LIMITS = "limits"
"""The bucket of what is left of each rate limit: `<key of the limit, each * a name>.calls` or `….tokens`."""
What = Literal["agent", "version", "instance", "capability", "tool", "tenant", "step-kind", "workflow"]
"""What can be killed. A version is named `agent@version`, an instance `agent.instance`, all others by their plain name."""
Scope = Literal["agent", "tool", "tenant", "capability"]
"""What a rate limit can be for, alone or together: `tenant` and `tool` are that tenant's use of that tool."""
Kind = Literal["calls", "tokens"]
Value = bool | int | float | str
KINDS: tuple[What, ...] = get_args(What)
SCOPES: tuple[Scope, ...] = get_args(Scope)
EACH = "*"
"""In a limit: each of them has one of its own. In a share: every tenant that has none of its own."""
E = TypeVar("E", bound="Entry")

_PLAIN = re.compile(r"[-_/A-Za-z0-9]")
_ESCAPED = re.compile(r"=([0-9A-Fa-f]{2})")
_FLAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What every decision carries: who made it (`user@host`), why, and when (Unix seconds)."""

    by: str = ""
    reason: str = ""
    at: float = 0.0


class Switch(Entry, frozen=True, kw_only=True, omit_defaults=True):
    """Something is killed, until `until` (Unix seconds) or until the key is deleted. `name` may end in `.*`, or be `*`.

    New work is refused; what runs goes on, unless `now` says that it is to be cancelled.
    """

    what: What = "agent"
    name: str = ""
    until: float | None = None
    now: bool = False

    @property
    def key(self) -> str:
        """Where it stands in the bucket."""
        return switch_key(self.what, self.name)

    def covers(self, name: str) -> bool:
        """Whether `name` is one of those that are meant."""
        if not self.name.endswith("*"):
            return name == self.name
        stem = self.name[:-1]
        return name.startswith(stem) or name == stem[:-1]

    def error(self) -> Killed:
        """What whoever wanted it is told."""
        why = f": {self.reason}" if self.reason else ""
        who = f" by {self.by}" if self.by else ""
        detail = {"what": self.what, "name": self.name, "by": self.by, "reason": self.reason, "at": self.at}
        if self.until is not None:
            detail["until"] = self.until
        return Killed(f"{self.what} {self.name} was killed{who}{why}", detail={**detail, "begun": False})


class Flag(Entry, frozen=True, kw_only=True, omit_defaults=True):
    """A named value for handlers. With `percent` only so many of all keys get it: the others get the handler's default."""

    name: str = ""
    value: Value = True
    percent: float | None = None
    tenant: str = ""
    agent: str = ""

    @property
    def key(self) -> str:
        """Where it stands in the bucket."""
        return _scoped(f"flag.{_escape(self.name, dots=True)}", tenant=self.tenant, agent=self.agent)


class RateLimit(Entry, frozen=True, kw_only=True, omit_defaults=True):
    """At most `calls` calls and `tokens` tokens a minute, over all processes together; None: no limit of that kind.

    In any `t` seconds there are at most `burst + calls / 60 × t` calls (`token_burst` for tokens). A scope of `*` gives
    each tenant (agent, …) a limit of its own.
    """

    agent: str = ""
    tool: str = ""
    tenant: str = ""
    capability: str = ""
    calls: float | None = None
    tokens: float | None = None
    burst: float | None = None
    token_burst: float | None = None

    @property
    def key(self) -> str:
        """Where it stands in the bucket."""
        return limit_key(**self.scopes)

    @property
    def scopes(self) -> dict[str, str]:
        """What it is for."""
        return {scope: name for scope in SCOPES if (name := getattr(self, scope))}

    @property
    def kinds(self) -> list[Kind]:
        """What it counts."""
        kinds: tuple[Kind, ...] = get_args(Kind)
        return [kind for kind in kinds if getattr(self, kind) is not None]

    def figures(self, kind: Kind) -> tuple[float, float | None]:
        """So many a minute, and the burst if one is given."""
        if kind == "calls":
            return self.calls or 0.0, self.burst
        return self.tokens or 0.0, self.token_burst


class LimitState(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a rate limit all processes together may still draw, as of this write. `at` (Unix seconds) is for people: no
    process goes by another one's clock."""

    left: float
    at: float = 0.0


class TenantShare(Entry, frozen=True, kw_only=True, omit_defaults=True):
    """What a tenant gets where there is not enough for all: its weight beside the others', how many calls or jobs of it
    run at once and how many wait, in each queue; None: as many as the queue allows anybody."""

    tenant: str = ""
    weight: float = 1.0
    at_once: int | None = None
    queue: int | None = None

    @property
    def key(self) -> str:
        """Where it stands in the bucket."""
        return f"share.{_escape(self.tenant, dots=True)}"


class Unreadable(ValueError):
    """An entry of the bucket that says nothing that could be obeyed. Its text says why."""


def switch_key(what: What, name: str) -> str:
    """Where the switch of that name stands.

    Raises:
        InvalidName: nothing of that kind can be named so.
    """
    if what not in KINDS:
        raise InvalidName(f"{what!r} cannot be killed: there are {', '.join(KINDS)}")
    parts = name.split(".")
    if not all(parts) or len(name) > 200 or "*" in name[:-1] or (name.endswith("*") and parts[-1] != "*"):
        raise InvalidName(
            f"{what} {name!r}: give a name such as 'pay.refund', 'pay.*' for all below 'pay', or '*' for all"
        )
    if what == "version" and name != "*" and not all(name.partition("@")):
        raise InvalidName(f"version {name!r}: say of which agent, such as 'reviewer@1.2.0' or 'reviewer@1.*'")
    return f"kill.{what}.{_escape(name)}"


def limit_key(**scopes: str) -> str:
    """Where the limit of these scopes stands.

    Raises:
        InvalidName: there is none, or one that no limit is for.
    """
    if not scopes or not set(scopes) <= set(SCOPES):
        raise InvalidName(
            f"a rate limit is for an agent, tool, tenant or capability, not for {', '.join(scopes) or 'nothing'}"
        )
    return _scoped("limit", **{scope: scopes[scope] for scope in SCOPES if scope in scopes})


def state_key(key: str, kind: Kind) -> str:
    """Where it stands in the bucket `limits` how much of a limit is left."""
    return f"{key}.{kind}"


def grants(key: str, tenant: str) -> bool:
    """Whether this key, of either bucket, is about that tenant, and no switch: its share, or a flag or limit of its own."""
    family, _, rest = key.partition(".")
    named = _escape(tenant, dots=True)
    if family == "share":
        return rest == named
    names = rest.split(".")[family == "flag" :]
    return family in ("flag", "limit") and ("tenant", named) in zip(names[::2], names[1::2], strict=False)


def flag_key(name: str, *, tenant: str = "", agent: str = "") -> str:
    """Where a flag stands.

    Raises:
        InvalidName: no flag can be named so.
    """
    if not _FLAG.match(name):
        raise InvalidName(f"flag {name!r}: use letters, digits, '.', '-' and '_', at most 128")
    return Flag(name=name, tenant=tenant, agent=agent).key


def entry_in(key: str, value: bytes) -> Entry:
    """What an entry of the bucket says.

    Raises:
        Unreadable: nothing. Where the key alone is that of a switch, `switch_in` still knows what is killed.
    """
    family, _, rest = key.partition(".")
    try:
        if family == "kill":
            what, _, name = rest.partition(".")
            named = _checked_switch(what, _plain(name))
            return _decoded(value, Switch, what=named.what, name=named.name)
        if family == "flag":
            name, scopes = _scopes(rest)
            return _decoded(value, Flag, name=name, tenant=scopes.get("tenant", ""), agent=scopes.get("agent", ""))
        if family == "limit":
            _, scopes = _scopes(f"_.{rest}")
            limit_key(**scopes)
            return _checked_limit(_decoded(value, RateLimit, **{scope: scopes.get(scope, "") for scope in SCOPES}))
        if family == "share":
            return _checked_share(_decoded(value, TenantShare, tenant=_plain(rest)))
    except InvalidName as error:
        raise Unreadable(error.message) from error
    raise Unreadable(f"{key!r} begins with none of kill, flag, limit and share")


def switch_in(key: str, why: str) -> Switch | None:
    """The switch that stands under a key whose value cannot be read: it holds. None: the key is no switch's."""
    family, _, rest = key.partition(".")
    what, _, name = rest.partition(".")
    try:
        return msgspec.structs.replace(_checked_switch(what, _plain(name)), reason=why) if family == "kill" else None
    except InvalidName:
        return None


def _checked_switch(what: str, name: str) -> Switch:
    switch_key(what, name)  # type: ignore[arg-type]
    return Switch(what=what, name=name)  # type: ignore[arg-type]


def _checked_limit(limit: RateLimit) -> RateLimit:
    if limit.calls is None and limit.tokens is None:
        raise Unreadable("a rate limit says calls, tokens, or both, a minute")
    if any(
        each is not None and not 0 < each < 1e12 for each in (limit.calls, limit.tokens, limit.burst, limit.token_burst)
    ):
        raise Unreadable(
            "the figures of a rate limit are greater than 0 and less than 1e12; `mesh kill` is for none at all"
        )
    return limit


def _checked_share(share: TenantShare) -> TenantShare:
    if not 0 < share.weight <= 1000:
        raise Unreadable(f"weight {share.weight:g}: more than 0, at most 1000")
    if any(each is not None and each < 1 for each in (share.at_once, share.queue)):
        raise Unreadable("at_once and queue are at least 1; `mesh kill tenant` is for none at all")
    return share


def _decoded(value: bytes, kind: type[E], **names: str) -> E:
    try:
        found = msgspec.json.decode(value or b"{}", type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Unreadable(f"its value is no {kind.__name__}: {error}") from None
    return msgspec.structs.replace(found, **names)


def _scoped(key: str, **scopes: str) -> str:
    return ".".join([key, *(f"{scope}.{_escape(name, dots=True)}" for scope, name in scopes.items() if name)])


def _scopes(rest: str) -> tuple[str, dict[str, str]]:
    first, *others = rest.split(".")
    if len(others) % 2 or not first or not all(others):
        raise InvalidName(f"{rest!r} does not come in pairs of what and name; a dot within a name is written =2E")
    return _plain(first), {what: _plain(name) for what, name in zip(others[::2], others[1::2], strict=True)}


def _escape(name: str, *, dots: bool = False) -> str:
    try:
        return "".join(
            each
            if _PLAIN.match(each) or (each == "." and not dots)
            else "".join(f"={byte:02X}" for byte in each.encode())
            for each in name
        )
    except UnicodeError:
        raise InvalidName(f"{name!r} is no name: it is not UTF-8") from None


def readable(key: str) -> str:
    """A key as people write the names in it; as it stands where it is none of ours."""
    try:
        return _plain(key)
    except InvalidName:
        return key


def _plain(escaped: str) -> str:
    """The name that was escaped.

    Raises:
        InvalidName: it is not one.
    """
    try:
        return _ESCAPED.sub(lambda hit: chr(int(hit[1], 16)), escaped).encode("latin-1").decode()
    except UnicodeError:
        raise InvalidName(f"{escaped[:200]!r} is not UTF-8 once its =XX are read") from None
