"""`mesh limit`: so many calls and tokens a minute, over all processes together."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from mesh.cli.deciding import By, common, decide, entries, remark
from mesh.cli.exits import BadInput
from mesh.cli.options import Options, shared_options
from mesh.cli.output import print_rows
from mesh.cli.running import connected, run
from mesh.protocols.errors import Refused
from mesh.protocols.naming.names import check_capability, check_name
from mesh.protocols.policies import EACH, LimitState, RateLimit, Unreadable, entry_in, limit_key, readable

if TYPE_CHECKING:
    from mesh.actors.deciding import Decided, Deciding
    from mesh.client.mesh import Mesh

app = typer.Typer(help="Rate limits over all processes: set, unset, ls.", no_args_is_help=True)

COLUMNS = {
    "limit": "LIMIT",
    "kind": "OF",
    "a_minute": "A MINUTE",
    "burst": "BURST",
    "left": "LEFT",
    "by": "BY",
    "reason": "REASON",
}
Scopes = Annotated[
    list[str],
    typer.Argument(metavar="WHAT NAME…", help="agent, tool, tenant or capability, and which; '*' for each its own."),
]
Why = Annotated[str, typer.Option("--reason", help="Why; it stays on record.")]
_RATE = re.compile(r"(\d+(?:\.\d+)?)(?:/(s|sec|min|m|h|hour))?\Z")
_A_MINUTE = {None: 1.0, "s": 60.0, "sec": 60.0, "m": 1.0, "min": 1.0, "h": 1 / 60, "hour": 1 / 60}


@app.callback()
def _group() -> None:
    """A limit for several things together (`tenant acme tool search.web`) counts what is of all of them."""


@app.command("set")
@shared_options
def set_limit(
    options: Options,
    scopes: Scopes,
    calls: Annotated[str | None, typer.Option(help="Calls, such as 60/min, 5/s, 1000/h.")] = None,
    tokens: Annotated[str | None, typer.Option(help="Tokens, such as 100000/min.")] = None,
    burst: Annotated[float | None, typer.Option(help="Calls at once at most (default: of ten seconds).")] = None,
    token_burst: Annotated[float | None, typer.Option(help="The same for tokens.")] = None,
    reason: Why = "",
    by: By = "",
) -> None:
    """Set a rate limit, in place of the one that stands there."""
    names = _scopes(scopes)
    limit = RateLimit(
        agent=names.get("agent", ""), tool=names.get("tool", ""), tenant=names.get("tenant", ""),
        capability=names.get("capability", ""), calls=_rate("--calls", calls), tokens=_rate("--tokens", tokens),
        burst=burst, token_burst=token_burst, reason=remark(reason),
    )  # fmt: skip
    _check(limit)

    async def work(mesh: Mesh, deciding: Deciding) -> Decided:
        return await deciding.decide(limit.key, limit)

    decide(options, by, work, f"the limit of {_words(limit)} is set")


@app.command("unset")
@shared_options
def unset_limit(options: Options, scopes: Scopes, reason: Why = "", by: By = "") -> None:
    """Unset a rate limit."""
    names = _scopes(scopes)
    key = limit_key(**names)

    async def work(mesh: Mesh, deciding: Deciding) -> Decided:
        try:
            return await deciding.lift(key, remark(reason))
        except Refused:
            raise BadInput(f"there is no limit of {' '.join(scopes)}; `mesh limit ls` lists those that are") from None

    decide(options, by, work, f"the limit of {' '.join(scopes)} is gone")


@app.command("ls")
@shared_options
def list_limits(options: Options) -> None:
    """List the rate limits, and what is left of each now: of one for each tenant (`*`), of everybody who has used it."""

    async def work() -> list[dict[str, Any]]:
        async with connected(options) as mesh:
            return await _rows(mesh)

    print_rows(run(work()), COLUMNS, options.output, empty="no rate limit is set")


async def _rows(mesh: Mesh) -> list[dict[str, Any]]:
    from mesh.policy.allowance import terms
    from mesh.policy.limiter import open_limits

    peer, rows = mesh.peer, []
    limits = [entry for _, entry, _ in await entries(mesh) if isinstance(entry, RateLimit)]
    states = await (await open_limits(peer.store, peer.subjects)).all() if limits else []
    for limit in limits:
        for kind in limit.kinds:
            a_minute, burst = limit.figures(kind)
            rules = terms(a_minute, burst)
            used = {
                key: _left(each.value or b"", rules, peer.clock.now())
                for each in states
                if each.key.endswith(f".{kind}") and (key := each.key.removesuffix(f".{kind}")) and _is_of(key, limit)
            }
            whole = rules.capacity + 2 * rules.rate * rules.life
            rows += [
                {
                    "limit": key, "kind": kind, "a_minute": a_minute, "burst": whole, "left": left, **common(limit),
                }
                for key, left in (used or {limit.key: rules.capacity}).items()
            ]  # fmt: skip
    return [{**row, "limit": readable(row["limit"].removeprefix("limit.").replace(".", " "))} for row in rows]


def _left(stored: bytes, rules: Any, now: float) -> float:
    """Roughly: by the clocks of whoever drew last and of this machine."""
    try:
        state = msgspec.json.decode(stored, type=LimitState)
    except msgspec.MsgspecError:
        return 0.0
    return float(min(rules.capacity, state.left + max(0.0, now - state.at) * rules.rate))


def _is_of(key: str, limit: RateLimit) -> bool:
    """Whether that is the level of this limit, or of somebody who has one of its own by it."""
    ours, theirs = limit.key.split("."), key.split(".")
    return len(ours) == len(theirs) and all(a in (b, "=2A") for a, b in zip(ours, theirs, strict=True))


def _scopes(words: list[str]) -> dict[str, str]:
    if len(words) % 2:
        raise BadInput(
            f"{' '.join(words)}: say what and which, such as: agent reviewer, or: tenant acme tool search.web"
        )
    scopes = dict(zip(words[::2], words[1::2], strict=True))
    if len(scopes) < len(words) // 2:
        raise BadInput(f"{' '.join(words)}: each kind of thing once; a limit for each of two is two limits")
    limit_key(**scopes)
    return scopes


def _rate(option: str, text: str | None) -> float | None:
    if text is None:
        return None
    match = _RATE.match(text.strip())
    if match is None or not float(match[1]):
        raise BadInput(f"{option} {text}: write 60/min, 5/s or 1000/h; for none at all there is `mesh kill`")
    return float(match[1]) * _A_MINUTE[match[2]]


def _check(limit: RateLimit) -> None:
    from mesh.policy.allowance import least_burst

    for scope, name in limit.scopes.items():
        _check_scope(scope, name)

    if not limit.kinds:
        raise BadInput("say --calls, --tokens, or both, such as --calls 60/min")
    for kind in limit.kinds:
        a_minute, burst = limit.figures(kind)
        if burst is not None and not least_burst(a_minute) <= burst < math.inf:
            raise BadInput(
                f"a burst of {burst:g} {kind} cannot be kept to by several processes at {a_minute:g} a minute: at least "
                f"{math.ceil(100 * least_burst(a_minute)) / 100:g}"
            )
    for option, burst, rate in (
        ("--burst", limit.burst, limit.calls),
        ("--token-burst", limit.token_burst, limit.tokens),
    ):
        if burst is not None and rate is None:
            raise BadInput(f"{option} says nothing without {'--calls' if option == '--burst' else '--tokens'}")
    try:
        entry_in(limit.key, msgspec.json.encode(limit))
    except Unreadable as error:
        raise BadInput(f"no process could go by that limit: {error}") from None


def _check_scope(scope: str, name: str) -> None:
    """What nothing can be called would limit nothing."""
    if name == EACH:
        return
    if "*" in name:
        raise BadInput(f"{scope} {name}: a limit is for one of that name, or with '*' for each {scope} its own")
    if scope == "capability":
        check_capability(name)
    elif scope != "tool":
        check_name(name, scope)


def _words(limit: RateLimit) -> str:
    return " and ".join(f"{scope} {name}" for scope, name in limit.scopes.items())
