"""Writing an agent: what is read from it, and what a mistake says at class creation."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from mesh.actors.declaring.definition import Agent, agent, definition_of
from mesh.actors.declaring.handler import command, every, on_event
from mesh.actors.running.context import Context
from mesh.protocols.acts import Bid, CallForProposal
from mesh.protocols.errors import BadPayload, InvalidName

if TYPE_CHECKING:
    from decimal import Decimal


class Order(msgspec.Struct):
    item: str
    count: int = 1


def payload(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def test_six_lines_make_an_agent() -> None:
    @agent(capability="greet")
    async def greet(name: str) -> str:
        return f"Hello, {name}"

    definition = greet.definition
    assert (definition.name, definition.version, definition.capacity) == ("greet", "1.0.0", 1)
    (capability,) = definition.capabilities
    assert (capability.name, capability.command, capability.effect, capability.timeout) == (
        "greet",
        "greet",
        "costly",
        5.0,
    )
    assert {each.digest for each in definition.schemas} == {capability.input, capability.output}


async def test_the_function_can_still_be_called() -> None:
    @agent
    async def double(number: int) -> int:
        return 2 * number

    assert await double(4) == 8
    assert double.definition.capabilities == ()
    assert [each.command for each in double.definition.commands] == ["double"]


def test_the_class_form_declares_commands_events_and_timers() -> None:
    class CodeReviewer(Agent):
        """Reads code."""

        version = "2.1"
        labels = {"zone": "a"}
        capacity = 3

        @command(capability="review.code", reasoning=True, effect="pure", price=0.5, tier=2)
        async def review(self, order: Order, ctx: Context) -> list[str]:
            """Review it."""
            return [order.item]

        @review.bid
        def bid(self, call: CallForProposal, bid: Bid) -> Bid | None:
            return None

        @command
        async def watch(self) -> AsyncIterator[int]:
            yield 1

        @on_event("code.pushed")
        async def pushed(self, order: Order) -> None: ...

        @every(10)
        async def tidy(self, ctx: Context) -> None: ...

    definition = CodeReviewer.definition
    assert (definition.name, definition.version, definition.description) == ("code-reviewer", "2.1", "Reads code.")
    review = definition.handlers["review"]
    assert (review.timeout, review.effect, review.options.price, review.description) == (
        30.0,
        "pure",
        0.5,
        "Review it.",
    )
    assert review.bid is not None
    assert definition.handlers["watch"].streams
    assert [each.mark.event_type for each in definition.reactions] == ["code.pushed"]
    assert [each.mark.seconds for each in definition.timers] == [10]
    assert definition.offering("review.code") is review


async def test_a_marked_method_can_still_be_called() -> None:
    class Adder(Agent):
        @command
        async def add(self, a: int, b: int) -> int:
            return a + b

    assert await Adder().add(1, 2) == 3


def test_commands_are_inherited() -> None:
    class Base(Agent, abstract=True):
        @command
        async def ping(self) -> str:
            return "pong"

    class Derived(Base):
        pass

    assert set(Derived.definition.handlers) == {"ping"}


def test_several_parameters_are_the_fields_of_one_object() -> None:
    @agent
    async def add(a: int, b: int = 2) -> int:
        return a + b

    parameters = add.definition.handlers["add"].parameters
    assert parameters.arguments(payload({"a": 1})) == {"a": 1, "b": 2}
    for bad in ({}, {"a": "1"}, {"a": 1, "c": 3}, [1, 2], 1, None):
        with pytest.raises(BadPayload):
            parameters.arguments(payload(bad))


def test_one_record_is_the_payload_itself() -> None:
    @agent
    async def buy(order: Order, ctx: Context) -> None: ...

    parameters = buy.definition.handlers["buy"].parameters
    assert parameters.arguments(payload({"item": "tea"})) == {"order": Order("tea")}
    assert parameters.context == "ctx"


@pytest.mark.parametrize("value", [{"words": ["a"]}, ["a"]])
def test_one_scalar_or_list_may_stand_bare(value: Any) -> None:
    @agent
    async def count(words: list[str]) -> int:
        return len(words)

    assert count.definition.handlers["count"].parameters.arguments(payload(value)) == {"words": ["a"]}


def test_no_parameters_take_null_or_an_empty_object() -> None:
    @agent
    async def now() -> float:
        return 0.0

    parameters = now.definition.handlers["now"].parameters
    assert parameters.arguments(payload(None)) == parameters.arguments(payload({})) == {}
    with pytest.raises(BadPayload):
        parameters.arguments(payload({"a": 1}))


def test_defaults_that_can_change_are_fresh_for_each_call() -> None:
    @agent
    async def tag(text: str, tags: list[str] = ["a"]) -> int:  # noqa: B006
        return len(tags)

    parameters = tag.definition.handlers["tag"].parameters
    first = parameters.arguments(payload({"text": "x"}))["tags"]
    first.append("b")
    assert parameters.arguments(payload({"text": "x"}))["tags"] == ["a"]


def test_types_of_the_local_scope_are_found() -> None:
    class Local(msgspec.Struct):
        x: int

    @agent
    async def local(value: Local) -> Local:
        return value

    class Holder(Agent):
        @command
        async def hold(self, value: Local) -> None: ...

    assert Holder.definition.handlers


# -- mistakes


def test_a_parameter_without_a_type() -> None:
    with pytest.raises(TypeError, match=r"parameter 'name' has no type; write `name: str`"):

        @agent
        async def greet(name) -> str:  # type: ignore[no-untyped-def]
            return "x"


def test_a_result_without_a_type() -> None:
    with pytest.raises(TypeError, match=r"what it returns has no type; write `-> str`.*"):

        class Greeter(Agent):
            @command
            async def greet(self, name: str):  # type: ignore[no-untyped-def]
                return "x"


def test_a_type_that_is_there_for_type_checkers_only() -> None:
    with pytest.raises(TypeError, match="not only under TYPE_CHECKING"):

        @agent
        async def price(value: Decimal) -> str:
            return "x"


def test_star_arguments() -> None:
    with pytest.raises(TypeError, match="give each input a name and a type"):

        @agent
        async def greet(*names: str) -> str:
            return "x"


def test_a_stream_without_its_item_type() -> None:
    with pytest.raises(TypeError, match=r"AsyncIterator\[ItemType\]"):

        @agent
        async def count() -> int:
            yield 1


def test_a_timeout_of_never() -> None:
    with pytest.raises(TypeError, match="every wait ends"):

        @agent(timeout=0)
        async def greet() -> None: ...


@pytest.mark.parametrize("capability", ["Greet", "a_b", "a..b", "a.*", ">", "a b", "ä"])
def test_a_capability_that_cannot_stand_in_a_subject(capability: str) -> None:
    with pytest.raises(InvalidName):

        @agent(capability=capability)
        async def greet() -> None: ...


@pytest.mark.parametrize("name", ["Greeter", "a.b", "a*", "a b", ">"])
def test_an_agent_name_that_cannot_stand_in_a_subject(name: str) -> None:
    with pytest.raises(InvalidName):
        agent(name=name)(_nothing)


async def _nothing() -> None: ...


def test_an_agent_that_does_nothing() -> None:
    with pytest.raises(TypeError, match="does nothing: mark a method"):

        class Idle(Agent):
            pass


def test_two_commands_for_one_capability() -> None:
    with pytest.raises(TypeError, match="with two commands"):

        class Twice(Agent):
            @command(capability="do.it")
            async def one(self) -> None: ...

            @command(capability="do.it")
            async def two(self) -> None: ...


def test_a_version_that_is_none() -> None:
    with pytest.raises(TypeError, match="is not like"):
        agent(version="latest")(_nothing)


def test_something_that_is_no_agent() -> None:
    with pytest.raises(TypeError, match="decorate a function with @agent"):
        definition_of(_nothing)


def test_a_class_with_arguments_is_hosted_as_a_partial() -> None:
    class Counter(Agent):
        def __init__(self, start: int) -> None:
            self.number = start

        @command
        async def next(self) -> int:
            self.number += 1
            return self.number

    made = definition_of(functools.partial(Counter, 5))
    assert made.make().number == 5
    assert made.make() is not made.make()
    assert definition_of(Counter(7)).make().number == 7


def test_options_stand_in_the_class_statement_or_in_its_body() -> None:
    class Stated(Agent, name="watcher", version="2.1", capacity=3, labels={"region": "eu"}):
        description = "watches"

        @command
        async def look(self) -> str:
            return "x"

    made = Stated.definition
    assert (made.name, made.version, made.capacity, made.labels) == ("watcher", "2.1", 3, {"region": "eu"})
    assert made.description == "watches"


def test_an_option_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(
        TypeError, match=r"class .*Odd has no option 'nmae'; there are 'adaptive', 'capacity', .*'version'"
    ):

        class Odd(Agent, nmae="x"):
            @command
            async def look(self) -> str:
                return "x"


def test_a_capability_without_its_name_is_refused_with_what_to_write() -> None:
    with pytest.raises(TypeError, match=r"write @command\(capability='price.lookup'\)"):
        command("price.lookup")  # type: ignore[call-overload]
