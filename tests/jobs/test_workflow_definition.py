"""A workflow that could not be run durably is refused where it is written, with the fix."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from mesh.jobs.authoring.workflow import Job, Workflow, workflow
from mesh.protocols.errors import BadPayload, InvalidName


class Order(msgspec.Struct):
    amount: int


def not_async(job: Job) -> None: ...


async def no_job(order: Order) -> None: ...


async def no_parameters() -> None: ...


async def unannotated_job(job, order: Order) -> None: ...  # type: ignore[no-untyped-def]


async def no_result(job: Job): ...  # type: ignore[no-untyped-def]


async def no_type(job: Job, order) -> None: ...  # type: ignore[no-untyped-def]


async def starred(job: Job, *orders: Order) -> None: ...


async def odd_result(job: Job) -> object: ...


async def yields(job: Job) -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("function", "fix"),
    [
        (not_async, "async def"),
        (yields, "does not yield"),
        (no_job, "job: Job"),
        (no_parameters, "job: Job"),
        (unannotated_job, "job: Job"),
        (no_result, "-> Review"),
        (no_type, "order: str"),
        (starred, "give each input a name"),
        (odd_result, "cannot be a contract"),
    ],
)
def test_a_mistake_is_named_with_its_place(function: Any, fix: str) -> None:
    with pytest.raises(TypeError, match=fix) as caught:
        workflow("w")(function)
    assert "test_workflow_definition.py" in str(caught.value)


@pytest.mark.parametrize("version", [0, -1, 1.5, True, "1"])
def test_versions_are_whole_numbers(version: Any) -> None:
    with pytest.raises(TypeError, match="whole number"):
        workflow("w", version=version)


@pytest.mark.parametrize("name", ["", "Code_Review", "a.b", "a b", "*"])
def test_names_can_stand_in_subjects(name: str) -> None:
    with pytest.raises(InvalidName):
        workflow(name)


async def test_a_workflow_shows_its_contracts_and_is_still_a_function() -> None:
    @workflow("pay", version=3)
    async def pay(job: Job, order: Order) -> int:
        """Pays.

        More about it.
        """
        return order.amount

    assert isinstance(pay, Workflow)
    assert (pay.name, pay.version, pay.description) == ("pay", 3, "Pays.")
    assert pay.capability.name == "workflow.pay"
    assert {each.digest for each in pay.schemas} == {pay.capability.input, pay.capability.output}
    assert pay.arguments(msgspec.Raw(b'{"amount": 3}')) == {"order": Order(amount=3)}
    with pytest.raises(BadPayload):
        pay.arguments(msgspec.Raw(b'{"amount": "x"}'))
    assert await pay(None, Order(amount=2)) == 2
