"""`Effects`: what must happen once out there: a payment, a mail, a ticket. Each has a key, which the target is handed, too.

*Begun* is stored before the target is called, the outcome after. Whoever comes again with the key, in whatever process,
gets the outcome and calls nobody. Between the two a crash leaves a doubt, which the effect's class decides: `idempotent`
calls the target again with the same key, which it must honour; `at_most_once` raises InDoubt until a person has looked.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

import msgspec

from mesh.actors.declaring.contract import Contract, encode_payload
from mesh.actors.keeping.effects_hold import Hold, encoded, read
from mesh.actors.keeping.effects_record import EffectClass, EffectRecord, definite, doubt, never_happened, what_next
from mesh.actors.keeping.state_kind import contract_of
from mesh.actors.keeping.state_shelf import NOTHING, Found, Shelf, token
from mesh.protocols.errors import BadResult, Conflict, MeshError, Refused, from_fault
from mesh.protocols.naming.names import check_name
from mesh.protocols.ports import Clock

T = TypeVar("T")

LEASE = 3.0
"""Seconds of silence after which whoever calls a target is taken for dead."""
HORIZON = 30 * 86_400
"""Seconds for which an effect is remembered after the last that was heard of it; then its key is a new one."""
FIRST_LOOK, LONGEST_LOOK = 0.02, 0.25
"""Seconds between two looks at an effect that another process has in hand."""
BLIND = 1.0
"""Seconds between two looks after which the silence of the other one proves nothing."""


Gone = Callable[[str, str], Awaitable[bool]]
"""Whether a process, in that incarnation, is dead for certain."""


async def nobody_is(process: str, incarnation: str) -> bool:
    """Without a registry nobody is dead for certain: leases decide."""
    return False


class EffectStore:
    """The bucket `effects`. `listed` says whether the registry knows this process, so that others could tell it is dead."""

    def __init__(
        self,
        shelf: Shelf,
        clock: Clock,
        process: str,
        incarnation: str = "",
        *,
        gone: Gone = nobody_is,
        listed: Callable[[], bool] = lambda: False,
    ) -> None:
        self.shelf = shelf
        self.clock = clock
        self.process = process
        self.incarnation = incarnation
        self.gone = gone
        self.listed = listed

    def of(self, agent: str, tenant: str = "default") -> Effects:
        """The effects of one agent on account of one tenant."""
        return Effects(self, agent, check_name(tenant, "tenant"))


class Effects:
    """The effects of one agent and tenant, each under a key: any text of at most 1,024 bytes."""

    def __init__(self, store: EffectStore, agent: str, tenant: str) -> None:
        self._store = store
        self._shelf = store.shelf
        self._agent = agent
        self._tenant = tenant
        self._path = f"{tenant}.{agent}"

    @overload
    async def once(
        self, key: str, fn: Callable[[str], Awaitable[T]], *, effect: EffectClass = "idempotent", returns: Any = ...,
        lease: float = LEASE, horizon: int = HORIZON,
    ) -> T: ...  # fmt: skip
    @overload
    async def once(
        self, key: str, fn: Callable[[str], T], *, effect: EffectClass = "idempotent", returns: Any = ...,
        lease: float = LEASE, horizon: int = HORIZON,
    ) -> T: ...  # fmt: skip
    async def once(
        self,
        key: str,
        fn: Callable[[str], Any],
        *,
        effect: EffectClass = "idempotent",
        returns: Any = ...,
        lease: float = LEASE,
        horizon: int = HORIZON,
    ) -> Any:
        """Have `fn(key)` done once, and give what it returned, then and whenever the key comes again within `horizon` seconds.

        `fn` calls the target and hands it the key; a plain function is called in a thread. What it returns must be JSON, of
        the type `returns` (by default as `fn` is annotated). A semantic MeshError that it raises is an outcome, too (the
        card was declined), and is raised again with the key; after anything else it is open whether the effect happened.
        While another process has the effect in hand its outcome is waited for, or its `lease`'s end.

        Raises:
            InDoubt: it is `at_most_once` and may have happened; says how to resolve that. BadResult: `fn` returned what
            cannot be kept; the effect happened. Whatever `fn` raises.
        """
        if lease <= 0 or horizon < 1:
            raise Refused(f"lease={lease:g}, horizon={horizon}: more than 0 seconds, and at least one second")
        contract = contract_of(_returned_by(fn) if returns is ... else returns)
        at, silence, pause = self._at(key), Silence(self._store.clock), FIRST_LOOK
        while True:
            found = await self._shelf.get(at)
            record = read(found)
            step = what_next(record, effect, over=silence.over(found, record) or await self._gone(record))
            if step == "doubt":
                raise doubt(key, self._agent, self._tenant)
            if step == "recall":
                assert record is not None
                return _outcome(record, contract)
            if step == "call" and (hold := await self._begin(key, effect, record, found, lease, horizon)) is not None:
                async with hold:
                    return await self._call(hold, fn, contract)
            if step == "wait":
                await self._store.clock.sleep(pause)
                pause = min(pause * 2, LONGEST_LOOK)

    async def look(self, key: str) -> EffectRecord | None:
        """What is known of an effect; None: it was never begun, or is forgotten."""
        return read(await self._shelf.get(self._at(key)))

    async def resolve(self, key: str, value: Any = None) -> None:
        """It happened, and this came of it: a person has looked. Again: the newer value stands.

        Raises:
            Conflict: it changed in this very moment: look again.
        """
        found = await self._shelf.get(self._at(key))
        record = read(found) or EffectRecord(
            key=key, effect="at_most_once", stage="done", began=self._store.clock.now()
        )
        done = msgspec.structs.replace(record, stage="done", outcome=encode_payload(value), fault=None)
        await self._write(key, done, found, HORIZON)

    async def forget(self, key: str) -> None:
        """It did not happen, and the next `once` is to call the target. Again: nothing happens."""
        await self._shelf.delete(self._at(key))

    async def _begin(
        self, key: str, effect: EffectClass, record: EffectRecord | None, found: Found, lease: float, horizon: int
    ) -> Hold | None:
        """Write down that we call the target. None: another was faster, or it took us so long that others think us dead."""
        store, before = self._store, self._store.clock.monotonic()
        begun = EffectRecord(
            key=key,
            effect=effect,
            stage="begun",
            by=store.process,
            incarnation=store.incarnation,
            listed=store.listed(),
            calls=record.calls + 1 if record else 1,
            began=record.began if record else store.clock.now(),
            lease=lease,
        )
        try:
            mine = await self._write(key, begun, found, horizon)
        except Conflict:
            return None
        hold = Hold(self._shelf, self._at(key), begun, record, mine, horizon)
        if store.clock.monotonic() - before >= lease:
            await hold.give_back()
            return None
        return hold

    async def _write(self, key: str, record: EffectRecord, over: Found, horizon: int) -> Found:
        raw = encoded(record)
        version = await self._shelf.put(self._at(key), raw, over=over, ttl=horizon)
        return msgspec.structs.replace(NOTHING, value=raw, version=version)

    async def _call(self, hold: Hold, fn: Callable[[str], Any], contract: Contract) -> Any:
        try:
            value = await _called(fn, hold.record.key)
        except Exception as error:
            if never_happened(error):
                await hold.give_back()
                raise
            ended = _ended(hold.record, error, self._agent)
            there = await hold.settle(ended)
            if there.stage == "done":
                return _outcome(there, contract)
            if there.effect == "at_most_once":
                raise doubt(
                    there.key, self._agent, self._tenant, f"that ended with {type(error).__name__}: {error}"
                ) from error
            raise
        try:
            done = msgspec.structs.replace(hold.record, stage="done", outcome=contract.encode(value))
        except BadResult as error:
            done = msgspec.structs.replace(hold.record, stage="done", fault=error.fault(self._agent))
        return _outcome(await hold.settle(done), contract)

    async def _gone(self, record: EffectRecord | None) -> bool:
        return record is not None and record.listed and await self._store.gone(record.by, record.incarnation)

    def _at(self, key: str) -> str:
        return f"{self._path}.{token(key)}"


class Silence:
    """How long a record has not changed, by our own clock. While we could not look, nobody could renew it, either."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._version = -1
        self._since = self._looked = 0.0

    def over(self, found: Found, record: EffectRecord | None) -> bool:
        """Whether its lease has passed."""
        now = self._clock.monotonic()
        if found.version != self._version or now - self._looked > BLIND:
            self._version, self._since = found.version, now
        self._looked = now
        return record is not None and now - self._since >= record.lease


def _ended(record: EffectRecord, error: Exception, agent: str) -> EffectRecord:
    """What an exception of the call's means: an outcome, or that nobody knows."""
    if isinstance(error, MeshError) and definite(error):
        return msgspec.structs.replace(record, stage="done", fault=error.fault(agent))
    return msgspec.structs.replace(record, stage="open")


def _outcome(record: EffectRecord, contract: Contract) -> Any:
    if record.fault is not None:
        raise from_fault(record.fault)
    return contract.decode(record.outcome)


async def _called(fn: Callable[[str], Any], key: str) -> Any:
    value = fn(key) if inspect.iscoroutinefunction(fn) else await asyncio.to_thread(fn, key)
    return await value if inspect.isawaitable(value) else value


def _returned_by(fn: Callable[..., Any]) -> Any:
    try:
        return inspect.get_annotations(inspect.unwrap(fn), eval_str=True).get("return", Any)
    except (NameError, TypeError):
        return Any
