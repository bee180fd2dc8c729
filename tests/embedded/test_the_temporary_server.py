"""A server for one `with`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from mesh.server.greeting import greet, greet_async
from mesh.server.process_mark import mark_of
from mesh.server.temporary import TemporaryServer

pytestmark = pytest.mark.server


def port_of(server: TemporaryServer) -> int:
    return int(server.url.rpartition(":")[2])


def test_it_is_gone_with_its_folder_at_the_end() -> None:
    with TemporaryServer() as server:
        pid, folder = server.pid, server.folder
        assert greet("127.0.0.1", port_of(server), 30.0).jetstream
    assert mark_of(pid) is None
    assert not folder.exists()


async def test_it_works_under_an_event_loop() -> None:
    async with TemporaryServer() as server:
        pid = server.pid
        assert (await greet_async("127.0.0.1", port_of(server), 30.0)).jetstream
    assert mark_of(pid) is None


def test_it_comes_back_on_the_same_port_after_a_crash() -> None:
    with TemporaryServer() as server:
        url, pid = server.url, server.pid
        server.kill()
        assert server.pid == 0
        server.start()
        assert server.url == url
        assert server.pid not in (0, pid)


def test_it_is_gone_after_an_exception() -> None:
    with pytest.raises(KeyError), TemporaryServer() as server:
        raise KeyError
    assert server.pid == 0


@pytest.mark.skipif(sys.platform != "linux", reason="dying with the parent needs Linux")
def test_it_dies_with_a_parent_that_is_killed() -> None:
    code = (
        "import sys, time; from mesh.server.temporary import TemporaryServer\n"
        "with TemporaryServer() as server: print(server.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    mark = mark_of(int(parent.stdout.readline()))
    assert mark is not None
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait(30)
    assert mark.wait(30)
    parent.stdout.close()
