"""`Policy`: the bucket `policies`, watched: every question about it is answered here, at once, from memory.

It holds what it knew last while the store is away. Before it was read for the first time everything is killed: a process
that cannot know what it must not do does nothing. `Peer.start` waits for that first reading.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import cast

from mesh.policy.board import Board, Change
from mesh.policy.flags import V, fits, value_for
from mesh.policy.reading import watched
from mesh.protocols.policies import BUCKET, Flag, RateLimit, Switch, TenantShare, What
from mesh.protocols.ports import Bucket, BucketSpec, Clock, KeyValue, Store, Watch
from mesh.protocols.subjects import Subjects
from mesh.telemetry.telemetry import Telemetry, silent

logger = logging.getLogger("mesh.policy")

LONGEST_NAP = 600.0
"""Seconds after which the wall clock is looked at again: it may have jumped while a switch waits for its `until`."""
UNREAD = Switch(what="agent", name="*", reason="the policies were not read yet", by="this process itself")

OnChange = Callable[[Change], None]


async def open_policies(store: Store, subjects: Subjects) -> Bucket:
    """The bucket: on disk, so that what was killed stays so when the server restarts."""
    name = subjects.bucket(BUCKET)
    return await store.bucket(BucketSpec(name=name, storage="file", description="kill switches, flags, limits, shares"))


class Policy:
    """What is killed, flagged, limited and shared, as this process knows it. `switches`, `limits` and `shares` are empty where
    nothing is, by the bucket's keys: whoever is in a hurry tests only that."""

    def __init__(self, store: Store, subjects: Subjects, clock: Clock, telemetry: Telemetry | None = None) -> None:
        self._store, self._subjects, self._clock = store, subjects, clock
        self._telemetry = telemetry or silent()
        self._callbacks: list[OnChange] = []
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._misfits: set[str] = set()
        self._watch: Watch | None = None
        self._board = Board(self._complain)
        self.switches: Mapping[str, Switch] = {UNREAD.key: UNREAD}
        self.limits: Mapping[str, RateLimit] = self._board.limits
        self.shares: Mapping[str, TenantShare] = self._board.shares

    # -- life

    async def start(self) -> None:
        """Watch. When this returns, everything that was decided so far is in force here. Again: nothing happens.

        Raises:
            Unavailable · TimedOut: the bucket could not be opened, or not be read within `READ_WITHIN` seconds.
        """
        if self._watch is not None:
            return
        bucket = await open_policies(self._store, self._subjects)
        self._watch = await watched(
            bucket,
            self._heard,
            self._subjects.bucket(BUCKET),
            ", so nobody knows what is killed: is the server overloaded, or this user not allowed to read it?",
        )
        self.switches = self._board.switches.all

    async def stop(self) -> None:
        """Watch no more; what was known stays in force. Again: nothing happens."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        watch, self._watch = self._watch, None
        if watch is not None:
            await watch.close()

    # -- questions

    @property
    def read(self) -> bool:
        """Whether the bucket has been read."""
        return self.switches is self._board.switches.all

    def killed(
        self,
        *,
        agent: str = "",
        version: str = "",
        instance: str = "",
        capability: str = "",
        tool: str = "",
        tenant: str = "",
        step_kind: str = "",
        workflow: str = "",
    ) -> Switch | None:
        """The switch that kills any of these; None: none does. `version` needs `agent`; `instance` is `agent.instance`, or
        the name alone beside `agent`. Switches that cover something are never outdone by narrower ones: see `switches.py`.
        """
        if not self.switches:
            return None
        if not self.read:
            return UNREAD
        names: dict[What, str] = {
            "tenant": tenant, "workflow": workflow, "step-kind": step_kind, "capability": capability, "tool": tool,
            "agent": agent, "version": f"{agent}@{version}" if version else "",
            "instance": f"{agent}.{instance}" if instance and agent and "." not in instance else instance,
        }  # fmt: skip
        return self._board.switches.find(names)

    def check(self, **names: str) -> None:
        """Nothing, where none of these is killed; as `killed`.

        Raises:
            Killed: one is; says who did it, and why.
        """
        found = self.killed(**names)
        if found is not None:
            raise found.error()

    def flag(self, name: str, default: V, *, tenant: str = "", agent: str = "", key: str = "") -> V:
        """The flag's value for this tenant and agent, or `default` where it is not set, or is of another type.

        Where the flag is for a percentage only, `key` decides, the same way everywhere: by default the tenant.
        """
        flags = self._board.flags
        if not flags.all or (flag := flags.find(name, tenant, agent)) is None:
            return default
        value = value_for(flag, key or tenant)
        if value is None:
            return default
        if not fits(value, default):
            self._misfit(flag, default)
            return default
        return cast(V, value)

    def share(self, tenant: str) -> TenantShare:
        """What the tenant gets beside others; the standard share where nothing was decided."""
        return self._board.share(tenant)

    def revision(self, key: str) -> int:
        """The revision of an entry as it is known here; 0: there is none. By it an operator is told who obeys already."""
        return self._board.revisions.get(key, 0)

    def on_change(self, callback: OnChange) -> Callable[[], None]:
        """Call this on every decision that is new, changed or gone. The answer takes the callback off again."""
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback) if callback in self._callbacks else None

    # -- what is heard

    def _heard(self, found: KeyValue) -> None:
        change = self._board.apply(found, self._clock.now())
        self._await_end(found.key)
        if change is not None:
            self._tell(change)

    def _await_end(self, key: str) -> None:
        """A switch with an end is lifted at it, by the clock on the wall, as people mean it; also while the store is away."""
        if (timer := self._timers.pop(key, None)) is not None:
            timer.cancel()
        switch = self._board.entries.get(key)
        if not isinstance(switch, Switch) or switch.until is None:
            return
        left = switch.until - self._clock.now()
        if left > 0:
            later = asyncio.get_running_loop().call_later
            self._timers[key] = later(min(left, LONGEST_NAP), self._await_end, key)
        elif (change := self._board.drop(key)) is not None:
            self._tell(change)

    def _tell(self, change: Change) -> None:
        for callback in list(self._callbacks):
            try:
                callback(change)
            except Exception:
                logger.exception("a callback of the policy failed on %s", change.key)

    def _complain(self, key: str, why: str) -> None:
        self._telemetry.emit("policy.unreadable", level="error", key=key, why=why)

    def _misfit(self, flag: Flag, default: object) -> None:
        """Told once: a handler may ask a thousand times a second."""
        if flag.key not in self._misfits:
            self._misfits.add(flag.key)
            self._telemetry.emit(
                "flag.misfit", level="warning", flag=flag.name, value=flag.value, expected=type(default).__name__
            )
