"""A node of a LangGraph graph beside our durable step: its SQLite checkpointer, `durability="sync"`, everything in this process.

The graph goes round one node, so that each step is a checkpoint on the disk before the next one begins; SQLite is as the
checkpointer sets it up.
"""

from __future__ import annotations

import itertools

from tests.benchmarks.beside import missing
from tests.benchmarks.beside_steps import TEXT, Neighbour, beside_steps, work
from tests.benchmarks.ground import Ground
from tests.benchmarks.rows import Row

try:
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
    from langgraph.graph import END, START, StateGraph
except ImportError as error:
    raise missing("langgraph with langgraph-checkpoint-sqlite", error) from error

from typing import TypedDict


class State(TypedDict):
    """What the checkpointer keeps."""

    text: str
    left: int


async def node(state: State) -> State:
    """One step."""
    return {"text": await work(state["text"]), "left": state["left"] - 1}


async def bench(ground: Ground) -> list[Row]:
    """Runs of one graph, a thread each."""
    threads = itertools.count()
    async with AsyncSqliteSaver.from_conn_string(str(ground.folder / "langgraph.sqlite")) as saver:
        builder = StateGraph(State)
        builder.add_node("node", node)
        builder.add_edge(START, "node")
        builder.add_conditional_edges("node", lambda state: "node" if state["left"] > 0 else END)
        graph = builder.compile(checkpointer=saver)

        async def flow(count: int) -> None:
            config = {"configurable": {"thread_id": str(next(threads))}, "recursion_limit": count + 2}
            found = await graph.ainvoke({"text": TEXT, "left": count}, config, durability="sync")
            assert found["left"] == 0

        return await beside_steps(ground, Neighbour("LangGraph node", flow))
