"""A process that is there: its lease, its records, its beats, and its answers to those who doubt it (section 6 of the document)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.foreign import kept
from tests.foreign.speech import new_id
from tests.foreign.wire import Message, Wire


class NameTaken(Exception):
    """Another living process has the name."""


class Member:
    """One start of a process. Keeps its lease until it leaves or its connection ends."""

    def __init__(self, wire: Wire, namespace: str, process: str, *, seconds: int = 3) -> None:
        self.wire = wire
        self.ns = f"mesh.{namespace}"
        self.names = f"mesh_{namespace}_"
        self.process = process
        self.incarnation = new_id()
        self.seconds = seconds
        self.figures: dict[str, Any] = {}
        self.asked = self._number = self.revision = 0
        self._records: dict[str, Any] = {}
        self._renewing: asyncio.Task[None] | None = None

    async def join(self) -> None:
        """Answer probes first, so that nobody who finds the lease can think us dead; then take the lease."""
        self.wire.subscribe(f"{self.ns}.live.{self.process}.{self.incarnation}", self._doubted)
        for bucket in ("leases", "registry", "schemas"):
            await kept.create_bucket(self.wire, self.names + bucket)
        held = await kept.get(self.wire, self.names + "leases", f"proc.{self.process}")
        if held.value is not None and held.value["incarnation"] != self.incarnation:
            raise NameTaken(held.value)
        await self._write(held.revision)  # 0, or that of the marker which the last holder left
        self._renewing = asyncio.create_task(self._renew())

    async def join_again(self, wire: Wire) -> None:
        """Over a new connection: the lease must name it, and the buckets may have been lost."""
        self.stop()
        self.wire = wire
        await self.join()
        for key, record in self._records.items():
            await kept.put(self.wire, self.names + "registry", key, record)

    async def list(self, agent: str, instance: str, **about: Any) -> None:
        """Write the record of an instance."""
        record = {
            "agent": agent, "version": "1.0.0", "instance": instance, "process": self.process, "host": "far-away",
            "pid": 1, "started_at": 0, "state": "ready", "incarnation": self.incarnation, **about,
        }  # fmt: skip
        key = f"{self.process}.{agent}.{instance}"
        await kept.put(self.wire, self.names + "registry", key, record)
        self._records[key] = record

    def beat(self) -> None:
        """Tell our figures to whoever keeps a directory."""
        self._number += 1
        self.wire.publish(f"{self.ns}.beat.{self.process}", self._beat())

    async def leave(self) -> None:
        """The lease goes first: everybody knows at once."""
        self.stop()
        await kept.remove(self.wire, self.names + "leases", f"proc.{self.process}")
        for key in self._records:
            await kept.remove(self.wire, self.names + "registry", key)

    def stop(self) -> None:
        """Renew no more."""
        if self._renewing is not None:
            self._renewing.cancel()

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self.seconds / 3)
            try:
                await self._write(self.revision)
            except kept.Rejected:
                found = await kept.get(self.wire, self.names + "leases", f"proc.{self.process}")
                if found.value is not None and found.value["incarnation"] != self.incarnation:
                    raise NameTaken(found.value) from None
                await self._write(found.revision)  # purged by mistake, or a renewal whose answer was lost

    async def _write(self, over: int) -> None:
        lease = {
            "process": self.process, "host": "far-away", "pid": 1, "incarnation": self.incarnation,
            "server_id": self.wire.info["server_id"], "client_id": self.wire.info["client_id"],
            "seconds": self.seconds,
        }  # fmt: skip
        key = f"proc.{self.process}"
        self.revision = await kept.put(self.wire, self.names + "leases", key, lease, ttl=self.seconds, revision=over)

    def _doubted(self, message: Message) -> None:
        """Answer to nobody but a roll subject that names us."""
        parts = message.reply.removeprefix(f"{self.ns}.roll.").split(".")
        if message.reply.startswith(f"{self.ns}.roll.") and len(parts) == 3 and parts[1] == self.process:
            self.asked += 1
            self.wire.publish(message.reply, self._beat())

    def _beat(self) -> bytes:
        about = {"process": self.process, "incarnation": self.incarnation, "number": self._number}
        return json.dumps({**about, "figures": self.figures}).encode()
