"""What people and programs are shown of the registry. Pure: from listings and leases to rows and drawings.

The keys of `row` are stable: programs read them from `mesh registry ls -o json`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from mesh.registry.listing import Change, Listing
from mesh.registry.records import Lease

Row = dict[str, Any]

FIELDS = (
    "agent",
    "instance",
    "process",
    "version",
    "host",
    "pid",
    "state",
    "capabilities",
    "labels",
    "load",
    "queue",
    "latency_ms",
    "success",
    "bid",
    "age_s",
)
"""The keys of a row, in order."""


def row(listing: Listing, now: float) -> Row:
    """One instance. `load` is work waiting and running as a share of its capacity; `bid` holds its standing bids by
    capability; figures that were never heard are None. `now` is in Unix seconds."""
    record, figures = listing.record, listing.figures
    known = listing.seen_at is not None
    return {
        "agent": record.agent,
        "instance": record.instance,
        "process": record.process,
        "version": record.version,
        "host": record.host,
        "pid": record.pid,
        "state": listing.state,
        "capabilities": [each.name for each in record.capabilities],
        "labels": dict(record.labels),
        "load": round((figures.queue + figures.running) / max(1, figures.capacity), 3) if known else None,
        "queue": figures.queue if known else None,
        "latency_ms": round(figures.latency * 1000, 3) if known else None,
        "success": round(figures.success, 4) if known else None,
        "bid": {name: msgspec.structs.asdict(each) for name, each in sorted(figures.bids.items())} if known else None,
        "age_s": round(max(0.0, now - record.started_at), 1),
    }


def rows(listings: Iterable[Listing], now: float) -> list[Row]:
    """Every instance, sorted by agent, instance and process."""
    return [row(each, now) for each in sorted(listings, key=_order)]


def chosen(
    listings: Iterable[Listing],
    *,
    capability: str | None = None,
    labels: Mapping[str, str] | None = None,
    state: str | None = None,
) -> list[Listing]:
    """Those that offer the capability, have all these labels and are in this state."""
    fitting = (each for each in listings if each.fits(labels=labels, state=state))
    return [each for each in fitting if capability is None or each.record.offers(capability) is not None]


def named(listings: Iterable[Listing], name: str) -> list[Listing]:
    """Those whose agent, process, or key (`process.agent.instance`, `agent.instance`) is `name`."""
    return [
        each
        for each in listings
        if name in (each.agent, each.process, each.key, f"{each.agent}.{each.record.instance}")
    ]


def details(listing: Listing, lease: Lease | None, now: float) -> Row:
    """All that is known of one instance: the row, and what it declares (capabilities, and commands without
    one), how it does, and why it is suspected. `capacity` is how many calls it handles at once now, `ceiling` how many it
    may: they differ where it found out that more take longer."""
    record = listing.record
    return {
        **row(listing, now),
        "description": record.description,
        "declares": [msgspec.structs.asdict(each) for each in (*record.capabilities, *record.commands)],
        "events": list(record.events),
        "stamps": msgspec.structs.asdict(record.stamps),
        "handled": listing.figures.handled,
        "capacity": listing.figures.capacity,
        "ceiling": listing.figures.ceiling or listing.figures.capacity,
        "breakers": list(listing.figures.breakers),
        "suspicion": listing.suspicion,
        "incarnation": record.incarnation,
        "release": lease.release if lease else "",
        "connection": {"server_id": lease.server_id, "client_id": lease.client_id} if lease else None,
    }


def event(change: Change, at: float) -> Row:
    """One change, as `mesh registry watch` prints it. `at` is in Unix seconds."""
    record = None if change.listing is None else change.listing.record
    return {
        "at": at,
        "kind": change.kind,
        "process": change.process,
        "agent": record.agent if record else None,
        "instance": record.instance if record else None,
        "state": change.listing.state if change.listing else None,
        "why": change.why,
    }


def graph(listings: Iterable[Listing]) -> str:
    """Who offers what, as Mermaid source: hosts around their agents, agents pointing at capabilities."""
    groups: dict[str, dict[tuple[str, str], list[Listing]]] = {}
    for each in sorted(listings, key=_order):
        groups.setdefault(each.record.host, {}).setdefault((each.agent, each.record.version), []).append(each)
    offers = sorted({cap.name for agents in groups.values() for group in agents.values() for cap in _offered(group)})
    numbers = {name: f"c{number}" for number, name in enumerate(offers)}
    lines = ["flowchart LR", *(f'    {numbers[name]}(["{_quoted(name)}"])' for name in offers)]
    for number, (host, agents) in enumerate(sorted(groups.items())):
        lines += _host(f"h{number}", host, agents, numbers)
    return "\n".join(lines) + "\n"


def _host(
    node: str, host: str, agents: Mapping[tuple[str, str], Sequence[Listing]], numbers: Mapping[str, str]
) -> list[str]:
    inside = [f'    subgraph {node}["{_quoted(host)}"]']
    edges = []
    for number, ((agent, version), group) in enumerate(agents.items()):
        own = f"{node}a{number}"
        inside.append(f'        {own}["{_quoted(agent)} {_quoted(version)}{_count(group)}"]')
        edges += [f"    {own} --> {numbers[name]}" for name in sorted({each.name for each in _offered(group)})]
    return [*inside, "    end", *edges]


def _count(group: Sequence[Listing]) -> str:
    states: dict[str, int] = {}
    for each in group:
        states[each.state] = states.get(each.state, 0) + 1
    others = ", ".join(f"{count} {state}" for state, count in sorted(states.items()) if state != "ready")
    return (f" ×{len(group)}" if len(group) > 1 else "") + (f" ({others})" if others else "")


def _offered(group: Iterable[Listing]) -> list[Any]:
    return [each for listing in group for each in listing.record.capabilities]


def _quoted(text: str) -> str:
    """The text so that it can stand in quotes in Mermaid source."""
    entities = {'"': "#quot;", "<": "#lt;", ">": "#gt;", "#": "#35;", "`": "#96;"}
    return "".join(entities.get(char, char) if char.isprintable() else " " for char in text)


def _order(listing: Listing) -> tuple[str, str, str]:
    return (listing.agent, listing.record.instance, listing.process)
