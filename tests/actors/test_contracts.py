"""What passes a contract and what does not, whichever library describes it."""

from __future__ import annotations

import dataclasses
from enum import Enum
from typing import Annotated, Any, TypedDict

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.actors.declaring.contract import Contract, encode_payload
from mesh.protocols.errors import BadPayload, BadResult
from mesh.registry.schemas import digest_of


class Point(msgspec.Struct):
    x: int
    y: int = 0


@dataclasses.dataclass
class Plain:
    x: int
    y: int = 0


class Model(pydantic.BaseModel):
    x: int
    y: int = 0


class Typed(TypedDict):
    x: int
    y: int


@pydantic.dataclasses.dataclass
class Strict:
    x: Annotated[int, pydantic.Field(gt=0)]
    y: int = 0


@dataclasses.dataclass
class Around:
    inner: Model


class Colour(Enum):
    RED = "red"


@pytest.mark.parametrize("kind", [Point, Plain, Model, Typed, Strict])
def test_every_way_to_write_a_record_is_a_contract(kind: type) -> None:
    contract = Contract.of(kind)
    value = contract.decode(b'{"x": 1, "y": 2}')
    assert msgspec.json.decode(contract.encode(value)) == {"x": 1, "y": 2}
    with pytest.raises(BadPayload) as caught:
        contract.decode(b'{"x": "one", "y": 2}')
    assert caught.value.detail["errors"][0]["path"] == "$.x"


@pytest.mark.parametrize("kind", [list[Model], dict[str, Strict], Around, Model | None])
def test_pydantic_is_found_however_deep_it_stands(kind: Any) -> None:
    assert "x" in str(Contract.of(kind).schema())
    with pytest.raises(BadPayload):
        Contract.of(kind).decode(b'[{"x": "no"}]')


def test_a_pydantic_constraint_on_a_plain_type_is_enforced() -> None:
    contract = Contract.of(Annotated[int, pydantic.Field(gt=3)])
    assert contract.decode(b"4") == 4
    with pytest.raises(BadPayload):
        contract.decode(b"3")


def test_a_msgspec_constraint_is_enforced() -> None:
    with pytest.raises(BadPayload):
        Contract.of(Annotated[int, msgspec.Meta(gt=3)]).decode(b"3")


@pytest.mark.parametrize("kind", [float, float | None, Any, list[float], Model, Point])
@pytest.mark.parametrize("data", [b"NaN", b"Infinity", b"[NaN]", b'{"x": NaN}', b'{"x": 1e999}', b"1e999"])
def test_nan_and_infinity_are_refused_on_the_way_in(kind: Any, data: bytes) -> None:
    with pytest.raises(BadPayload):
        Contract.of(kind).decode(data)


class Loose(pydantic.BaseModel):
    x: float | None = None


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (float, float("nan")),
        (float | None, float("inf")),
        (Any, {"a": [1.0, float("nan")]}),
        (list[float], [float("-inf")]),
        (Loose, Loose(x=float("nan"))),
    ],
)
def test_and_on_the_way_out(kind: Any, value: Any) -> None:
    with pytest.raises(BadResult):
        Contract.of(kind).encode(value)


@pytest.mark.parametrize("kind", [Any, Point, Model, list, dict[str, Any]])
@pytest.mark.parametrize("data", [b"[" * 100_000, b'{"x":' * 50_000, b"[" * 5000 + b"]" * 5000])
def test_deep_nesting_is_a_bad_payload(kind: Any, data: bytes) -> None:
    with pytest.raises(BadPayload):
        Contract.of(kind).decode(data)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (str, 3),
        (None, "something"),
        (Point, Point(x="no")),
        (Plain, Plain(x="no")),
        (Model, Model.model_construct(x="no")),
        (Model, object()),
        (dict, {"a": object()}),
    ],
)
def test_a_wrong_result_never_leaves(kind: Any, value: Any) -> None:
    with pytest.raises(BadResult):
        Contract.of(kind).encode(value)


def test_a_result_that_contains_itself_is_a_bad_result() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(BadResult):
        Contract.of(list).encode(loop)


def test_the_digest_is_the_one_of_the_registry() -> None:
    contract = Contract.of(Point)
    assert contract.digest == digest_of(contract.schema())
    assert contract.digest != Contract.of(Plain | None).digest


def test_what_cannot_be_a_contract_says_so() -> None:
    class Opaque:
        pass

    with pytest.raises(TypeError, match=r"Use a pydantic model, a msgspec\.Struct"):
        Contract.of(Opaque)


def test_a_struct_inside_a_model_says_so() -> None:
    with pytest.raises(TypeError, match=r"Do not put a msgspec\.Struct inside a pydantic type"):
        Contract.of(dict[str, Point | Model])


def test_enums_and_scalars_are_contracts() -> None:
    assert Contract.of(Colour).decode(b'"red"') is Colour.RED
    assert Contract.of(bytes).decode(b'"aGk="') == b"hi"


def test_callers_may_send_models_structs_and_dataclasses_without_a_contract() -> None:
    whole = [Point(x=1), Plain(x=2), Model(x=3), {"m": Model(x=4)}]
    assert b'"x":4' in bytes(encode_payload(whole))
    with pytest.raises(BadPayload):
        encode_payload(object())
    with pytest.raises(BadPayload):
        encode_payload({"x": float("nan")})


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(json_values)
def test_any_json_value_survives_the_trip(value: Any) -> None:
    assert Contract.of(Any).decode(Contract.of(Any).encode(value)) == value


@given(st.binary(max_size=200))
def test_any_bytes_either_fit_or_are_a_bad_payload(data: bytes) -> None:
    for kind in (Any, Point, Model, Strict, str, list[int]):
        try:
            Contract.of(kind).decode(data)
        except BadPayload as error:
            assert error.detail["errors"]  # noqa: PT017
