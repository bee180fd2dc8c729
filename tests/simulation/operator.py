"""`Operator`: the person at the client. Hands jobs in, says what is to be said, and keeps what was promised."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from mesh.client.mesh import Mesh
from mesh.jobs.outside.submission import JobHandle
from mesh.protocols.errors import MeshError
from mesh.protocols.submission import job_id_for_key
from tests.simulation.orders import Order
from tests.simulation.world import World

TRIES = 200


class Operator:
    """`promised` are the jobs that somebody was told are stored: tenant and id, with the order."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.promised: dict[str, Order] = {}
        self.told: list[tuple[str, str]] = []
        """What was said to a job, and taken, by what the operator was told."""
        self.sure = False
        """Whether no step of before can still be on its way, so that a person may decide what is in doubt."""
        self._calls = 0

    def begin(self, mesh: Mesh) -> None:
        """Everything at its time."""
        for order in self.world.configuration.orders:
            mesh.peer.spawn(self._serve(mesh, order), f"order {order.number}")
        mesh.peer.spawn(self._answer(mesh), "operator")

    async def _serve(self, mesh: Mesh, order: Order) -> None:
        await asyncio.sleep(order.at)
        handle = await self._insist(lambda: self._submit(mesh, order))
        self.promised[handle.id] = order
        self.world.tell("client", f"order {order.number} is job {handle.id[:13]}")
        began = asyncio.get_running_loop().time()
        for word in order.words:
            await asyncio.sleep(max(0.0, began + word["at"] - order.at - asyncio.get_running_loop().time()))
            await self._insist(lambda say=word["say"]: self._say(handle, say))

    async def _submit(self, mesh: Mesh, order: Order) -> JobHandle:
        payload = {"number": order.number, "steps": list(order.plan)}
        if order.published:
            subject = self.world.subjects.ingress(order.tenant, "order")
            await mesh.peer.store.append(subject, msgspec.json.encode(payload), headers={"Mesh-Key": order.key})
            return mesh.job(job_id_for_key(order.tenant, order.key), tenant=order.tenant)
        return await mesh.submit("order", payload, key=order.key, tenant=order.tenant)

    async def _say(self, handle: JobHandle, say: str) -> None:
        verdict = await getattr(handle, say)(by="ann", timeout=60.0)
        self.world.tell("client", f"{say} {handle.id[:13]}: {'taken' if verdict.taken else verdict.why}")

    async def _answer(self, mesh: Mesh) -> None:
        """Look now and then what waits for somebody, and answer it, sometimes twice."""
        while True:
            await asyncio.sleep(0.5 + self.world.random.random())
            for job, order in list(self.promised.items()):
                handle = mesh.job(job, tenant=order.tenant)
                try:
                    state = await handle.state()
                    if self.sure and state.status == "paused":
                        await self._say(handle, "resume")  # a pause that was said again, or stored late, came behind it
                    for wait in () if state.terminal else state.open_waits:
                        await self._answer_wait(handle, wait.opened)
                except MeshError as error:
                    self.world.tell("client", f"could not look after {job[:13]}: {type(error).__name__}")

    async def _answer_wait(self, handle: JobHandle, opened: Any) -> None:
        random = self.world.random
        match opened.kind:
            case "approval":
                for name in ("ann", "bea") if random.random() < 0.3 else ("ann",):
                    await self._verdict(
                        handle,
                        f"approve {opened.key}",
                        handle.approve(opened.key, digest=opened.digest, by=name, timeout=30),
                    )
            case "signal":
                said = handle.signal(opened.name, "hello", by="ann", key=f"{opened.key}", timeout=30)
                await self._verdict(handle, f"signal {opened.key}", said)
            case "resolution" if self.sure:
                kind = opened.name.partition("-")[0]
                done = self.world.outside.did(kind, handle.id, opened.name)
                how, value = ("succeeded", "found by a person") if done else ("retry", None)
                await self._verdict(
                    handle, f"resolve {opened.key} {how}", handle.resolve(opened.key, how, value, by="ann", timeout=30)
                )  # type: ignore[arg-type]

    async def _verdict(self, handle: JobHandle, what: str, said: Awaitable[Any]) -> None:
        verdict = await said
        self.world.tell("client", f"{what} of {handle.id[:13]}: {'taken' if verdict.taken else verdict.why}")
        if verdict.taken:
            self.told.append((handle.id, what))

    async def _insist(self, attempt: Callable[[], Awaitable[Any]]) -> Any:
        """As every client does: again, under the same key."""
        for _ in range(TRIES):
            try:
                return await attempt()
            except MeshError as error:
                self.world.tell("client", f"tries again: {type(error).__name__}: {error}")
                await asyncio.sleep(0.2 + self.world.random.random())
        raise RuntimeError("the mesh never took it")
