"""Running branches at once: each to its end, what failed marked, and nothing left running behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from mesh.jobs.authoring.branches import Branch, Missing
from mesh.protocols.errors import BranchesMissing, Catastrophic, MeshError, StepMisused


def check_branches(branches: Sequence[object]) -> None:
    """Each branch can be told apart from the others after a crash.

    Raises:
        StepMisused: one is not a branch, or has no key, or two have the same; the message has the fix.
    """
    for place, each in enumerate(branches, 1):
        if not isinstance(each, Branch):
            if isinstance(each, Coroutine):
                each.close()
            raise StepMisused(
                f"job.gather: branch {place} is a {type(each).__name__}; pass job.call(…), job.step(…), or "
                'job.branch("a-key", your_coroutine(…))'
            )
        if each.key is None and len(branches) > 1:
            raise StepMisused(
                f"job.gather: branch {place} ({each.name}) has no key, and could not be told apart from the others after "
                f'a crash: write job.call("{each.name}", …, key="{each.name.rpartition(".")[2]}")'
            )
    seen: set[str | None] = set()
    for key in (each.key for each in branches if isinstance(each, Branch)):
        if key in seen:
            raise StepMisused(f"job.gather: two branches have the key {key!r}: give each its own")
        seen.add(key)


def stop(task: asyncio.Future[Any]) -> None:
    """What becomes of a branch beside one that has failed."""
    task.cancel()


async def run_all(
    branches: Sequence[Branch[Any]], *, raise_first: bool, leave: Callable[[asyncio.Future[Any]], None] = stop
) -> list[Any]:
    """The results, each branch run to its end; an error that can be marked stands in its branch's place.

    Raises:
        BaseException: one that must not be marked (a bug, or the job is lost), or with `raise_first` any; the other branches
            are left as `leave` says: stopped, they have ended when this is raised.
    """
    tasks = [asyncio.ensure_future(each.start()) for each in branches]
    pending = set(tasks)
    try:
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                error = task.exception() if not task.cancelled() else asyncio.CancelledError()
                if error is not None and (raise_first or not _can_be_marked(error)):
                    raise error
    finally:
        for task in pending:
            leave(task)
        if leave is stop:
            await asyncio.gather(*tasks, return_exceptions=True)
    return [task.exception() or task.result() for task in tasks]


def marked(branches: Sequence[Branch[Any]], results: Sequence[Any], need: int | None, *, drop: bool) -> list[Any]:
    """The results with a `Missing` for each that failed or was skipped, or without them.

    Raises:
        BranchesMissing: fewer than `need` succeeded.
    """
    results = [
        Missing(key=str(branch.key or branch.name), error=result.fault()) if isinstance(result, MeshError) else result
        for branch, result in zip(branches, results, strict=True)
    ]
    missing = {each.key: each.error for each in results if isinstance(each, Missing)}
    if need is not None and len(results) - len(missing) < need:
        told = "; ".join(f"{key}: {error.message}" for key, error in missing.items())
        raise BranchesMissing(
            f"{len(results) - len(missing)} of {len(results)} branches succeeded, {need} are needed: {told}",
            detail={"missing": {key: error.code for key, error in missing.items()}},
        )
    return [each for each in results if not (drop and isinstance(each, Missing))]


def _can_be_marked(error: BaseException) -> bool:
    return isinstance(error, MeshError) and not isinstance(error, Catastrophic | StepMisused)
