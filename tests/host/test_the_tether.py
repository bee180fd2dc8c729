"""A worker's end of the socket to its supervisor, and the limits it puts itself under."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading

import msgspec
import pytest

from mesh.host.channel import Failed, Orders, Pulsed, Ready, line, parse_report
from mesh.host.manifest import Limits
from mesh.host.tether import Tether
from mesh.server.waiting import wait_until
from mesh.settings.target import ServerTarget

ORDERS = Orders(
    token="h-a-1",
    host="h",
    namespace="n",
    target=ServerTarget(url="nats://x", password="p"),
    kind="agent",
    use="a:B",
    folder="/",
)


@pytest.fixture
def ends() -> tuple[socket.socket, Tether]:
    ours, theirs = socket.socketpair()
    return ours, Tether(theirs.detach(), abandon=lambda seconds: None)


def test_orders_arrive_whole(ends: tuple[socket.socket, Tether]) -> None:
    ours, tether = ends
    text = line(ORDERS)
    sender = threading.Thread(target=lambda: [ours.sendall(text[i : i + 7]) for i in range(0, len(text), 7)])
    sender.start()
    assert tether.orders() == ORDERS
    sender.join(30)
    ours.close()


def test_a_supervisor_that_goes_before_its_orders_is_an_error(ends: tuple[socket.socket, Tether]) -> None:
    ours, tether = ends
    ours.close()
    with pytest.raises(EOFError):
        tether.orders()


def test_the_loss_of_the_supervisor_is_told_even_to_those_who_ask_late() -> None:
    ours, theirs = socket.socketpair()
    abandoned: list[float] = []
    tether = Tether(theirs.detach(), abandon=abandoned.append)
    ours.sendall(line(ORDERS))
    tether.orders()
    lost = threading.Event()
    tether.on_loss(lost.set)
    ours.close()
    assert lost.wait(30)
    late = threading.Event()
    tether.on_loss(late.set)
    assert late.wait(30)
    assert wait_until(lambda: abandoned, 30) == [ORDERS.grace + 2.0]


def test_heartbeats_to_a_supervisor_that_does_not_read_never_block(ends: tuple[socket.socket, Tether]) -> None:
    ours, tether = ends
    for _ in range(20_000):
        tether.beat(Pulsed(lag=0.5))
    assert parse_report(ours.recv(100).split(b"\n")[0]) == Pulsed(lag=0.5)
    ours.close()


def test_reports_to_a_supervisor_that_is_gone_do_no_harm(ends: tuple[socket.socket, Tether]) -> None:
    ours, tether = ends
    ours.close()
    tether.report(Ready())
    tether.beat(Pulsed())


def test_reports_survive_the_wire() -> None:
    for report in (Ready(files=("a",)), Pulsed(lag=1.0, handled=3), Failed(message="m", hopeless=True)):
        assert parse_report(line(report)) == report
    with pytest.raises(msgspec.MsgspecError):
        parse_report(b'{"type":"other"}')


def test_limits_are_put_on_by_the_process_itself() -> None:
    program = (
        "import json, os, resource; from mesh.host.limiting import apply; from mesh.host.manifest import Limits\n"
        "limits = Limits(memory='2GB', nice=5, open_files=64); apply(limits); apply(limits)\n"
        "print(json.dumps([resource.getrlimit(resource.RLIMIT_AS)[0], os.getpriority(os.PRIO_PROCESS, 0), "
        "resource.getrlimit(resource.RLIMIT_NOFILE)[0]]))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    assert json.loads(ran.stdout) == [2 * 1024**3, max(5, os.getpriority(os.PRIO_PROCESS, 0)), 64]


def test_no_limits_change_nothing() -> None:
    assert Limits().memory_bytes is None
