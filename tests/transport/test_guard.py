"""Which wire is taken, and what is said about it."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from mesh.settings.choices import wire_choice
from mesh.settings.errors import BadSettings
from mesh.transport.nats import guard
from mesh.transport.nats.fast import FastWire
from mesh.transport.nats.plain import PlainWire
from mesh.transport.nats.wire import Told

TOLD = Told(lost=lambda: None, back=lambda: None, denied=lambda _: None, slow=lambda _: None)


@pytest.fixture(autouse=True)
def _not_warned_yet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("MESH_WIRE", raising=False)
    guard._warn_once.cache_clear()
    yield
    guard._warn_once.cache_clear()


async def test_the_installed_nats_py_is_one_that_the_fast_wire_knows(caplog: pytest.LogCaptureFixture) -> None:
    assert guard.objections() == ""
    assert isinstance(guard.make_wire(TOLD), FastWire)
    assert not caplog.records


async def test_who_asks_for_the_plain_wire_gets_it_without_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert isinstance(guard.make_wire(TOLD, "plain"), PlainWire)
    monkeypatch.setenv("MESH_WIRE", "plain")
    assert isinstance(guard.make_wire(TOLD), PlainWire)
    assert isinstance(guard.make_wire(TOLD, "fast"), FastWire)
    assert not caplog.records


def test_a_wire_that_there_is_not_is_refused_with_those_there_are() -> None:
    with pytest.raises(BadSettings, match="write fast or plain"):
        wire_choice({"MESH_WIRE": "quick"})


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("installed_version", lambda: "2.17.0", "nats-py 2.17.0 is not one that it was tested with"),
        ("_READ", ("_subs", "_gone"), "_gone"),
        ("_REPLACED", {"_read_loop": ["another"]}, "_read_loop"),
        ("_REPLACED", {"_no_such_method": []}, "_no_such_method"),
        ("FAST", "mesh.transport.nats.no_such_module", "no_such_module"),
    ],
)
async def test_a_nats_py_that_is_not_as_it_was_means_the_plain_wire_and_one_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, value: object, says: str
) -> None:
    monkeypatch.setattr(guard, name, value)
    with caplog.at_level(logging.WARNING, "mesh.transport"):
        assert isinstance(guard.make_wire(TOLD), PlainWire)
        assert isinstance(guard.make_wire(TOLD, "fast"), PlainWire)
    assert len(caplog.records) == 1
    assert says in caplog.text


def test_the_version_is_read_as_pip_knows_it() -> None:
    from importlib import metadata

    assert guard.installed_version() == metadata.version("nats-py")
