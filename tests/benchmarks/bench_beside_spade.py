"""SPADE beside our `ask`: a request over its own XMPP server, and an auction among fifty bidders beside our calls.

SPADE has messages, behaviours and the words of FIPA; who waits for which answer is left to its users, so what correlates
them here by thread is the least that works. Its contract net is cfp, propose, accept-proposal and inform; the rejections
that FIPA asks for are not sent, which spares it 49 messages.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any, get_args

import nats

import mesh
from mesh.client.mesh import Mesh
from mesh.protocols.acts import Mode
from tests.benchmarks.beside import TEXT, Neighbour, beside, missing
from tests.benchmarks.ground import Ground, there
from tests.benchmarks.raw import SUBJECT
from tests.benchmarks.rounds import one_by_one, ratio_row
from tests.benchmarks.rows import Row, Target
from tests.servers import free_port

try:
    from loguru import logger
    from pyjabber import server as pyjabber
    from pyjabber.server_parameters import Parameters
    from spade.agent import Agent
    from spade.behaviour import CyclicBehaviour
    from spade.message import Message
except ImportError as error:
    raise missing("spade", error) from error

BIDDERS = 50


async def main(url: str, side: str, port: str = "") -> AsyncIterator[str]:
    """The XMPP server, the agents of SPADE, or our own bidders."""
    if side == "server":
        serving = await _serve(int(port))
        yield ""
        serving.cancel()
    elif side == "agents":
        agents = [Answering(f"bidder{number}@localhost", "secret", port=int(port)) for number in range(BIDDERS)]
        for first in range(0, BIDDERS, 5):  # its server does not take more at once
            await asyncio.gather(*(agent.start() for agent in agents[first : first + 5]))
        yield ""
        for agent in agents:
            agent.behaviours[0].kill()  # a behaviour does not end otherwise, not even when it is cancelled
    else:
        async with Mesh.connect(url, name="bidders") as here:
            await asyncio.gather(*(here.host(bidder, instance=f"bidder-{number}") for number in range(BIDDERS)))
            yield ""


@mesh.agent(capacity=64, capability="work")
async def bidder(text: str) -> str:
    """Ours."""
    return text


class Answers(CyclicBehaviour):
    """A bidder of SPADE: proposes when called, does the work when it is accepted or requested."""

    REPLIES = {"cfp": "propose", "accept-proposal": "inform", "request": "inform"}

    async def run(self) -> None:
        """One message."""
        if message := await self.receive(timeout=60):
            reply = message.make_reply()
            reply.set_metadata("performative", self.REPLIES[message.get_metadata("performative")])
            if reply.get_metadata("performative") == "propose":
                reply.body = str(1 + hash(str(self.agent.jid)) % 100)
            await self.send(reply)


class Answering(Agent):
    """An agent that answers."""

    async def setup(self) -> None:
        """Begin."""
        self.add_behaviour(Answers())


class Asks(CyclicBehaviour):
    """Hands what comes to whoever waits for its thread."""

    def __init__(self) -> None:
        super().__init__()
        self._threads = map(str, itertools.count())
        self._waiting: dict[str, asyncio.Queue[Message]] = {}

    async def run(self) -> None:
        """One message."""
        if message := await self.receive(timeout=60):
            self._waiting[message.thread].put_nowait(message)

    async def request(self) -> None:
        """A request of one agent, and its answer."""
        (answer,) = await self._converse("request", ["bidder0@localhost"])
        assert answer.body == TEXT

    async def auction(self) -> None:
        """Call all, award to the cheapest, and wait for its result."""
        bids = await self._converse("cfp", [f"bidder{number}@localhost" for number in range(BIDDERS)])
        await self._converse("accept-proposal", [str(min(bids, key=lambda bid: int(bid.body)).sender.bare)])

    async def _converse(self, performative: str, whom: list[str]) -> list[Message]:
        thread = next(self._threads)
        answers = self._waiting[thread] = asyncio.Queue()
        try:
            for each in whom:
                metadata = {"performative": performative, "protocol": "fipa-contract-net"}
                await self.send(Message(to=each, body=TEXT, thread=thread, metadata=metadata))
            async with asyncio.timeout(10.0):
                return [await answers.get() for _ in whom]
        finally:
            del self._waiting[thread]


async def bench(ground: Ground) -> list[Row]:
    """Requests, and auctions."""
    port = str(free_port())
    others = [await ground.other("bench_beside_spade", side, port) for side in ("server", "agents")]
    asking, asks = Agent("asker@localhost", "secret", port=int(port)), Asks()
    asking.add_behaviour(asks)
    await asking.start()
    try:
        requests = await beside(ground, Neighbour("SPADE", asks.request, others, pace=8))
        return [*requests, *await _auctions(ground, asks, others)]
    finally:
        asks.kill()


async def _auctions(ground: Ground, asks: Asks, others: list[Any]) -> list[Row]:
    raw_side, mesh_side = await ground.other("raw"), await ground.other("bench_beside_spade", "ours")
    raw = await nats.connect(ground.url)
    async with Mesh.connect(ground.url, name="calls") as here:
        await there(lambda: len(here.directory.lookup("work")) == BIDDERS)
        modes: tuple[Any, ...] = get_args(Mode)

        def call(mode: Any) -> Any:
            return lambda: one_by_one(
                ground, mesh_side, lambda: here.call("work", text=TEXT, returns=str, mode=mode), ground.pick(20, 200)
            )

        found = await ground.take_turns(
            ground.pick(3, 9),
            raw=lambda: one_by_one(ground, raw_side, lambda: raw.request(SUBJECT, TEXT.encode(), timeout=10.0), 100),
            spade=lambda: one_by_one(ground, others, asks.auction, ground.pick(3, 10)),
            **{mode: call(mode) for mode in modes},
        )
    await raw.close()
    names = {"spade": "SPADE contract net", **{mode: f"our {mode} call" for mode in modes}}
    return [
        ratio_row(
            Target(name=f"{words}, {BIDDERS} bidders: median time / raw request"),
            found[who], found["raw"], f"{found[who].median * 1e3:.2f} ms",
        )
        for who, words in names.items()
    ]  # fmt: skip


async def _serve(port: int) -> asyncio.Task[None]:
    """SPADE's own XMPP server, on this machine only."""
    logger.remove()
    pyjabber.setup_query_local_ip = lambda: None
    server = pyjabber.Server(Parameters(client_port=port, server_port=free_port(), database_in_memory=True))
    server._http_server = None  # uploads: on a port that cannot be chosen
    serving = asyncio.create_task(server.start())
    async with asyncio.timeout(20.0):
        await server.ready.wait()
    return serving
