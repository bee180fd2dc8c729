"""`Chaos`: makes the faults of a configuration happen, and takes them all back in the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mesh.protocols.job_events import decode_entry
from mesh.protocols.policies import RateLimit, Switch, TenantShare
from mesh.protocols.ports import Stored
from mesh.transport.matching import matches
from tests.simulation.decrees import Decrees
from tests.simulation.faults import Fault
from tests.simulation.network import Weather
from tests.simulation.outside import Effect
from tests.simulation.place import Place
from tests.simulation.world import World

FOR_ALL = ("server", "leaderless", "storm", "disk")
TOUCHING = (*FOR_ALL, "cut", "partition", "slow", "stop", "clock", "deaf")
"""Faults after which who is there need not be known to everybody; a process that starts is another matter."""
SOON = 6
"""Steps of its place within which a process dies that dies soon."""


class Chaos:
    """The bad luck of one run. Those of the faults whose number is in `without` do not happen."""

    def __init__(self, world: World, faults: tuple[Fault, ...], without: frozenset[int] = frozenset()) -> None:
        self._world = world
        self._faults = [fault for number, fault in enumerate(faults) if number not in without]
        self._appends: list[tuple[Fault, int]] = []
        self._effects: list[tuple[Fault, int]] = []
        self._words: list[tuple[Fault, int]] = []
        self._decrees = Decrees(world)
        self._over = False
        quirks = world.configuration.quirks
        self._sound_disk = quirks.disk, quirks.disk_spread
        self._slow_disks = 0
        """Reasons for which the disk is slow."""
        world.loop.on_fuse = self._burnt
        world.server.storage.appended.append(self._appended)
        world.outside.on_effect.append(self._effect)
        world.network.on_word = self._word

    def begin(self) -> None:
        """From now on."""
        for fault in self._faults:
            self._later(fault.at, self._happen, fault)

    def end(self) -> None:
        """Everything is well again: the server is up, the network whole, and every process starts, if it does not run."""
        world = self._world
        self._over = True
        self._appends.clear()
        self._effects.clear()
        self._words.clear()
        world.tell("world", "the faults are over")
        quirks = world.configuration.quirks
        quirks.lose_acks = quirks.land_late = quirks.lag = 0.0
        quirks.disk, spread = self._sound_disk
        quirks.disk_spread = min(spread, 0.01)
        world.network.weather.spike = 0.0
        world.server.start()
        world.server.storage.available = True
        world.outside.sick.clear()
        world.outside.ailing.clear()
        for name, bucket in sorted(world.server.deaf):
            world.touch(name)
            world.server.hear_again(name, bucket)
        self._decrees.lift_all()
        for name, process in world.everybody.items():
            self._continue(name)
            world.network.heal(name)
            world.network.slow(name, 0.0)
            world.touch(name)
            if process.place is not None:
                process.place.fuse = -1
            process.start()

    # -- one fault

    def _happen(self, fault: Fault) -> None:
        if self._over:
            return
        if not fault.kind.startswith("crash-on"):
            self._world.tell("world", f"fault: {fault}")
        if fault.kind in TOUCHING:
            self._world.touch("" if fault.kind in FOR_ALL else fault.target, fault.seconds)
        getattr(self, f"_{fault.kind.replace('-', '_')}")(fault)

    def _crash(self, fault: Fault) -> None:
        process = self._world.process(fault.target)
        if process.place is not None and process.alive and fault.number:
            process.place.fuse = fault.number
            self._again_after(fault)
        else:
            self._kill(fault, "by chance")

    def _crash_on_append(self, fault: Fault) -> None:
        self._appends.append((fault, fault.number))

    def _crash_on_effect(self, fault: Fault) -> None:
        self._effects.append((fault, fault.number))

    def _crash_on_word(self, fault: Fault) -> None:
        self._words.append((fault, fault.number))

    def _cut(self, fault: Fault) -> None:
        self._world.network.cut(fault.target)

    def _partition(self, fault: Fault) -> None:
        up, down = fault.way in ("both", "up"), fault.way in ("both", "down")
        self._world.network.partition(fault.target, up=up, down=down)
        self._later(fault.seconds, self._heal, fault.target)

    def _slow(self, fault: Fault) -> None:
        self._world.network.slow(fault.target, float(fault.way))
        self._later(fault.seconds, self._world.network.slow, fault.target, 0.0)

    def _stop(self, fault: Fault) -> None:
        place = self._world.process(fault.target).place
        if place is not None and place.alive:
            self._world.loop.stop_place(place)
            self._later(fault.seconds, self._continue, fault.target)

    def _server(self, fault: Fault) -> None:
        self._world.network.stop_server()
        self._later(fault.seconds, self._world.server.start)

    def _leaderless(self, fault: Fault) -> None:
        self._world.server.leaderless(fault.seconds)
        for name in self._world.everybody:
            if self._world.random.random() < 0.4:
                self._world.network.cut(name)

    def _clock(self, fault: Fault) -> None:
        clock = self._world.process(fault.target).clock
        if clock is not None:
            clock.jump(float(fault.way))

    def _storm(self, fault: Fault) -> None:
        weather = self._world.network.weather
        before = Weather(weather.delay, weather.spread, weather.spike, weather.spike_seconds)
        weather.spread, weather.spike, weather.spike_seconds = 0.1, 0.1, 2.0

        def calm() -> None:
            before.spike *= not self._over
            weather.spread, weather.spike, weather.spike_seconds = before.spread, before.spike, before.spike_seconds

        self._later(fault.seconds, calm)

    def _disk(self, fault: Fault) -> None:
        quirks = self._world.configuration.quirks
        quirks.disk, quirks.disk_spread = 0.3, 2.5
        self._slow_disks += 1

        def fast() -> None:
            self._slow_disks -= 1
            if not self._slow_disks and not self._over:
                quirks.disk, quirks.disk_spread = self._sound_disk

        self._later(fault.seconds, fast)

    def _drain(self, fault: Fault) -> None:
        process = self._world.process(fault.target)
        if process.up:
            process.drain()
            self._later(8.0 + fault.seconds, self._revive, fault.target)

    # -- what strains them

    def _sick(self, fault: Fault) -> None:
        """Whoever computes there fails, or says nothing."""
        sick = self._world.outside.sick
        sick[fault.target] = fault.way
        self._later(fault.seconds, sick.pop, fault.target, None)

    def _ail(self, fault: Fault) -> None:
        """One kind of guests, or their tool, is not well there."""
        ailing, (what, _, how) = self._world.outside.ailing, fault.way.partition(" ")
        ailing[fault.target, what] = how or "slow"
        self._later(fault.seconds, ailing.pop, (fault.target, what), None)

    def _deaf(self, fault: Fault) -> None:
        """Its watch on a bucket hears of nothing."""
        world = self._world
        world.server.context.run(world.server.deafen, fault.target, world.subjects.bucket(fault.way), fault.seconds)

    def _ration(self, fault: Fault) -> None:
        self._decrees.set(RateLimit(agent=fault.target, tokens=float(fault.number), token_burst=float(fault.way)))

    def _switch(self, fault: Fault) -> None:
        what, _, name = fault.target.partition(" ")
        self._decrees.set(Switch(what=what, name=name, reason="it is tried", now=fault.way == "now"), fault.seconds)  # type: ignore[arg-type]

    def _limit(self, fault: Fault) -> None:
        self._decrees.set(RateLimit(agent=fault.target, calls=float(fault.number), burst=float(fault.way)))

    def _share(self, fault: Fault) -> None:
        queue = int(fault.way) if fault.way else None
        self._decrees.set(TenantShare(tenant=fault.target, at_once=fault.number or None, queue=queue), fault.seconds)

    # -- at an occasion

    def _appended(self, stored: Stored) -> None:
        if not self._appends or not matches(self._world.subjects.job_all(), stored.subject):
            return
        self._strike(self._appends, decode_entry(stored.data).owner, {"stored": 0, "told": 1, "soon": SOON})

    def _effect(self, effect: Effect, when: str) -> None:
        if not self._effects:
            return
        due = [each for each in self._effects if each[0].way == when or (each[0].way == "soon" and when == "after")]
        if due:
            self._strike(self._effects, effect.place.partition("-")[0], {"before": 1, "after": 1, "soon": SOON}, due)

    def _word(self, name: str, verb: str) -> None:
        if self._words and verb in ("ask", "append"):
            self._strike(self._words, name, {"said": 1, "soon": SOON})

    def _strike(
        self,
        waiting: list[tuple[Fault, int]],
        name: str,
        ways: dict[str, int],
        due: list[tuple[Fault, int]] | None = None,
    ) -> None:
        for entry in list(waiting if due is None else due):
            fault, left = entry
            if fault.target != name:
                continue
            waiting.remove(entry)
            if left > 1:
                waiting.append((fault, left - 1))
                continue
            self._world.tell("world", f"fault: {fault}")
            place = self._world.process(name).place
            steps = ways[fault.way]
            if place is None or not place.alive:
                continue
            if steps == 0:
                self._kill(fault, "at its append")
            else:
                place.fuse = steps if steps < SOON else self._world.random.randint(1, SOON)
                self._again_after(fault)

    # -- processes

    def _kill(self, fault: Fault, why: str) -> None:
        self._world.process(fault.target).kill(why)
        self._again_after(fault)

    def _burnt(self, place: Place) -> None:
        process = self._world.everybody.get(place.name)
        if process is not None and process.place is place:
            process.kill("at this step")

    def _again_after(self, fault: Fault) -> None:
        self._later(fault.seconds + 0.05, self._revive, fault.target)

    def _revive(self, name: str) -> None:
        self._world.process(name).start()

    def _heal(self, name: str) -> None:
        self._world.tell("world", f"{name} is connected again")
        self._world.network.heal(name)

    def _continue(self, name: str) -> None:
        place = self._world.process(name).place
        if place is not None and place.stopped:
            self._world.tell("world", f"{name} goes on")
            self._world.loop.continue_place(place)

    def _later(self, seconds: float, work: Callable[..., None], *arguments: Any) -> None:
        loop = self._world.loop
        loop.call_later(seconds, work, *arguments, context=loop.outside.context)
