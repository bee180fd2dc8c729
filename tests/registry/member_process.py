"""One process of a mesh, for tests that kill it: `python member_process.py URL NAME`. Says `ready`, stays until killed."""

from __future__ import annotations

import asyncio
import os
import sys

from mesh.clock import SystemClock, SystemIds
from mesh.protocols.subjects import Subjects
from mesh.registry.directory import Directory
from mesh.registry.lease import NameTaken
from mesh.registry.presence import Presence
from mesh.registry.records import Capability, Figures, Instance
from mesh.registry.schemas import schema_of
from mesh.settings.target import ServerTarget
from mesh.transport.connection import connect

SCHEMA = schema_of({"type": "object", "properties": {"name": {"type": "string"}}})


def instance_of(name: str) -> Instance:
    return Instance(
        agent="greeter",
        version="1.2.0",
        instance="1",
        process=name,
        host="here",
        pid=os.getpid(),
        started_at=SystemClock().now(),
        state="ready",
        labels={"tier": "gold"},
        capabilities=(Capability(name="greet", command="greet", effect="pure", input=SCHEMA.digest),),
    )


async def main(url: str, name: str) -> None:
    clock = SystemClock()
    ids = SystemIds(clock)
    async with await connect(ServerTarget(url=url), name=name) as connection:
        ports = (connection.bus, connection.store, clock, ids, Subjects())
        directory = Directory(*ports, process=name)
        await directory.start()
        presence = Presence(*ports, process=name, host="here", pid=os.getpid(), directory=directory)
        try:
            await presence.start()
        except NameTaken as error:
            print(error, flush=True)  # noqa: T201
            return
        directory.on_change(
            lambda change: print(f"down: {change.process}", flush=True) if change.kind == "process-down" else None  # noqa: T201
        )
        presence.on_lost(lambda why: print(f"lost: {why}", flush=True))  # noqa: T201
        await presence.register(instance_of(name), [SCHEMA])
        presence.set_figures("greeter.1", Figures(queue=2, capacity=4, latency=0.125))
        print("ready", flush=True)  # noqa: T201
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
