"""Running a local step: somebody's function, in the loop if it is async and in a thread if it is not, within its time."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

from mesh.actors.declaring.contract import Contract
from mesh.actors.declaring.parameters import where
from mesh.jobs.steps.step import Outcome
from mesh.protocols.constraints import Usage
from mesh.protocols.ports import Clock
from mesh.resilience.deadline import Deadline

_results: WeakKeyDictionary[Callable[..., Any], Contract] = WeakKeyDictionary()
"""Of functions, for as long as they are there: reading annotations that are text takes longer than a step should."""


@lru_cache(maxsize=512)
def _remembered(annotation: Any) -> Contract:
    return Contract.of(annotation)


def contract_of(annotation: Any) -> Contract:
    """The contract of an annotation, made once: steps are many, types are few.

    Raises:
        TypeError: JSON cannot hold it.
    """
    try:
        hash(annotation)
    except TypeError:
        return Contract.of(annotation)
    return _remembered(annotation)


def result_contract(fn: Callable[..., Any]) -> Contract:
    """What `fn` returns: as it is annotated, or anything that is JSON.

    Raises:
        TypeError: it is annotated with something that JSON cannot hold.
    """
    try:
        known = _results.get(fn)
    except TypeError:  # a callable that cannot be referred to weakly
        return _result_contract(fn)
    if known is None:
        known = _results[fn] = _result_contract(fn)
    return known


def _result_contract(fn: Callable[..., Any]) -> Contract:
    try:
        hints = inspect.get_annotations(inspect.unwrap(fn), eval_str=True)
    except (NameError, TypeError):
        hints = {}
    try:
        return contract_of(hints.get("return", Any))
    except TypeError as error:
        raise TypeError(f"job.step: the result of {where(fn)} must be journaled: {error}") from None


async def run(
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    contract: Contract,
    deadline: Deadline | None,
    clock: Clock,
    what: str,
) -> Outcome:
    """Its outcome. A thread cannot be stopped: one that runs out of time goes on, and nobody listens."""
    began = clock.monotonic()
    if deadline is None:
        value = await call(fn, args)
    else:
        async with deadline.enforce(what):
            value = await call(fn, args)
    content = contract.encode(value)
    return Outcome(content, Usage(duration=clock.monotonic() - began, exit_status="success"))


async def call(fn: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """What a function returns: awaited if it is async, run in a thread if it is not."""
    if inspect.iscoroutinefunction(fn):
        return await fn(*args)
    value = await asyncio.to_thread(_guarded, fn, args)
    return await value if inspect.isawaitable(value) else value


def _guarded(fn: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """A StopIteration cannot be carried out of a thread."""
    try:
        return fn(*args)
    except StopIteration as error:
        raise RuntimeError(f"{where(fn)} raised StopIteration") from error
