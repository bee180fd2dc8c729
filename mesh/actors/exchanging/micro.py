"""`Micro`: answers the NATS micro discovery subjects (ADR-32) for every instance, so that `nats micro ls` shows them.

`$SRV.PING|INFO|STATS`, then `.<name>`, then `.<name>.<id>`: one wildcard subscription a process. The name is the agent's,
the id is `<process>-<agent>-<instance>`. These and `submit` are the only requests that are answered on a subject the
requester chose; it may not lie within the mesh, the server's own subjects or JetStream's.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from mesh.protocols.errors import MeshError
from mesh.protocols.naming.calls import may_be_answered
from mesh.protocols.ports import Message, Subscription

if TYPE_CHECKING:
    from mesh.actors.peer import Peer
    from mesh.actors.running.actor import Actor

SUBJECT = "$SRV.>"
VERBS = ("PING", "INFO", "STATS")
_TYPE = "io.nats.micro.v1.{}_response"


class Micro:
    """The discovery answers of one process."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._subscription: Subscription | None = None

    async def start(self) -> None:
        """Answer from now on. Again: nothing happens."""
        if self._subscription is None:
            self._subscription = await self._peer.bus.subscribe(SUBJECT, self._on_request)

    async def stop(self) -> None:
        """Answer no more."""
        if self._subscription is not None:
            await self._subscription.close()
            self._subscription = None

    def _on_request(self, message: Message) -> None:
        verb, *rest = message.subject.split(".")[1:]
        if verb not in VERBS or len(rest) > 2 or not may_be_answered(message.reply):
            return
        name, wanted = (*rest, "", "")[:2]
        for actor in self._addressed(name, wanted):
            try:
                self._peer.bus.publish(message.reply, msgspec.json.encode(self._answer(verb, actor)))
            except MeshError as error:
                self._peer.count("unanswered", error=error.code)
                return

    def _addressed(self, name: str, wanted: str) -> Iterator[Actor]:
        for actor in self._peer.actors.values():
            if name in ("", actor.definition.name) and wanted in ("", self._id(actor)):
                yield actor

    def _id(self, actor: Actor) -> str:
        return f"{self._peer.process}-{actor.definition.name}-{actor.instance}"

    def _answer(self, verb: str, actor: Actor) -> dict[str, Any]:
        whole = self._identity(verb, actor)
        if verb == "INFO":
            whole |= {"description": actor.definition.description, "endpoints": self._endpoints(actor)}
        elif verb == "STATS":
            started = datetime.fromtimestamp(actor.started_at, UTC)
            whole |= {
                "started": started.isoformat(timespec="microseconds").replace("+00:00", "Z"),
                "endpoints": [each | self._measured(actor, each["name"]) for each in self._endpoints(actor)],
            }
        return whole

    def _identity(self, verb: str, actor: Actor) -> dict[str, Any]:
        return {
            "type": _TYPE.format(verb.lower()),
            "name": actor.definition.name,
            "id": self._id(actor),
            "version": semantic_version(actor.definition.version),
            "metadata": {
                **actor.labels,
                "namespace": self._peer.subjects.namespace,
                "process": self._peer.process,
                "host": self._peer.identity.host,
                "state": actor.state,
            },
        }

    def _endpoints(self, actor: Actor) -> list[dict[str, Any]]:
        subject = self._peer.subjects.rpc_pattern(self._peer.process, actor.definition.name, actor.instance)
        return [
            {
                "name": handler.name,
                "subject": subject,
                "queue_group": "",
                "metadata": {
                    "capability": handler.capability,
                    "effect": handler.effect,
                    "input": handler.parameters.contract.digest,
                    "output": handler.output.digest,
                },
            }
            for handler in actor.definition.handlers.values()
        ]

    def _measured(self, actor: Actor, command: str) -> dict[str, Any]:
        """Times are in nanoseconds."""
        mean = actor.tally.of(command)
        return {
            "num_requests": mean.handled,
            "num_errors": mean.failed,
            "last_error": mean.last_error,
            "processing_time": int(mean.busy * 1e9),
            "average_processing_time": int(mean.busy / mean.handled * 1e9) if mean.handled else 0,
            "data": {"success": mean.success, "waiting": actor.waiting, "running": actor.running},
        }


def semantic_version(version: str) -> str:
    """The version with three numbers, as ADR-32 wants it: `1` is `1.0.0`."""
    numbers, mark, rest = version, "", ""
    for mark in ("-", "+"):
        if mark in version:
            numbers, rest = version.split(mark, 1)
            break
    else:
        mark = ""
    return ".".join((*numbers.split("."), "0", "0")[:3]) + mark + rest
