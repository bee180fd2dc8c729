"""The supervisor over real processes that crash, hang, refuse to go and shout."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import pytest

from mesh.host.console import Console
from mesh.host.process_log import last_lines
from mesh.host.supervisor import NotReady, Supervisor
from mesh.server.process_mark import mark_of
from mesh.settings.folder import MeshFolder
from mesh.testing.virtual_time import until as until_true
from tests.host.conftest import MakeSupervisor, entry

pytestmark = pytest.mark.fault
FULL_DISK = Path("/dev/full")


async def until(condition: Callable[[], bool], supervisor: Supervisor, timeout: float = 40.0) -> None:
    """Wait for a condition, looking after every change."""
    changed = asyncio.Event()
    supervisor.on_change(changed.set)
    async with asyncio.timeout(timeout):
        while not condition():
            changed.clear()
            await changed.wait()


async def until_it_beats(supervisor: Supervisor) -> None:
    await until_true(lambda: supervisor.keepers[0].last is not None)


def full_disk() -> TextIO:
    return FULL_DISK.open("w", encoding="utf-8")


async def until_logged(folder: MeshFolder, token: str, pattern: str) -> re.Match[str]:
    async with asyncio.timeout(40):
        while True:
            found = re.search(pattern, "\n".join(last_lines(folder.logs / f"{token}.log", 50)))
            if found:
                return found
            await asyncio.sleep(0.01)


async def test_every_process_becomes_ready_under_its_stable_token(supervise: MakeSupervisor) -> None:
    supervisor = supervise(entry(instances=3, processes=2), entry(name="other"))
    supervisor.start()
    await supervisor.until_ready(40)
    told = {keeper.plan.token: [each.instance for each in keeper.hosted] for keeper in supervisor.keepers}
    assert told == {"h-stub-1": ["1", "3"], "h-stub-2": ["2"], "h-other-1": ["1"]}


async def test_draining_lets_everybody_finish_and_leaves_nobody(supervise: MakeSupervisor) -> None:
    supervisor = supervise(entry(instances=2))
    supervisor.start()
    await supervisor.until_ready(40)
    pids = [keeper.pid for keeper in supervisor.keepers]
    await supervisor.drain(30)
    assert [keeper.state for keeper in supervisor.keepers] == ["stopped", "stopped"]
    assert [mark_of(pid) for pid in pids] == [None, None]


async def test_a_killed_process_is_started_again_and_its_sibling_never_notices(supervise: MakeSupervisor) -> None:
    supervisor = supervise(entry(instances=2))
    supervisor.start()
    await supervisor.until_ready(40)
    victim, sibling = supervisor.keepers
    first, second = victim.pid, sibling.pid
    os.kill(first, signal.SIGKILL)
    await until(lambda: victim.state == "ready" and victim.pid != first, supervisor)
    assert (sibling.pid, sibling.restarts.count, victim.restarts.count) == (second, 0, 1)


async def test_a_process_that_keeps_crashing_is_given_up_loudly(supervise: MakeSupervisor) -> None:
    supervisor = supervise(entry("crash-before-ready"))
    supervisor.start()
    with pytest.raises(NotReady, match=r"h-stub-1 is given-up: ended 4 times within 10 s.*exit status 3"):
        await supervisor.until_ready(40)
    await supervisor.until_hopeless()
    assert "GIVEN UP" in supervisor.screen.getvalue()  # type: ignore[attr-defined]


async def test_a_process_that_says_it_is_hopeless_is_not_tried_again(supervise: MakeSupervisor) -> None:
    supervisor = supervise(entry("fail"))
    supervisor.start()
    with pytest.raises(NotReady, match="cannot load x"):
        await supervisor.until_ready(40)
    assert supervisor.keepers[0].restarts.count == 0


async def test_a_process_that_is_never_ready_is_killed_and_tried_again(supervise: MakeSupervisor) -> None:
    supervisor = supervise(entry("never-ready"), start_timeout=0.3)
    supervisor.start()
    with pytest.raises(NotReady, match=r"not ready within 0\.3 s"):
        await supervisor.until_ready(40)


async def test_a_hung_process_is_killed_and_started_again(supervise: MakeSupervisor, tmp_path: Path) -> None:
    supervisor = supervise(entry("hang"), hung_after=0.6)
    supervisor.start()
    await supervisor.until_ready(40)
    keeper = supervisor.keepers[0]
    await until(lambda: keeper.state == "waiting", supervisor)
    assert "no heartbeat" in keeper.reason
    await until(lambda: keeper.state == "ready", supervisor)


async def test_a_frozen_process_is_killed_and_started_again(supervise: MakeSupervisor) -> None:
    supervisor = supervise(entry(), hung_after=0.6)
    supervisor.start()
    await supervisor.until_ready(40)
    keeper = supervisor.keepers[0]
    frozen = keeper.pid
    os.kill(frozen, signal.SIGSTOP)
    await until(lambda: keeper.state == "ready" and keeper.pid != frozen, supervisor)
    assert mark_of(frozen) is None


async def test_a_process_that_will_not_go_is_killed_after_its_grace(supervise: MakeSupervisor) -> None:
    supervisor = supervise(entry("stubborn"))
    supervisor.start()
    await supervisor.until_ready(40)
    pid = supervisor.keepers[0].pid
    await supervisor.drain(0.3)
    assert mark_of(pid) is None


async def test_what_a_process_started_dies_with_it(supervise: MakeSupervisor, folder: MeshFolder) -> None:
    supervisor = supervise(entry("children"))
    supervisor.start()
    await supervisor.until_ready(40)
    grandchild = mark_of(int((await until_logged(folder, "h-stub-1", r"child (\d+)"))[1]))
    assert grandchild is not None
    os.kill(supervisor.keepers[0].pid, signal.SIGKILL)
    assert await asyncio.to_thread(grandchild.wait, 30)
    await until_logged(
        folder, "h-stub-1", r"waiting: was killed by SIGKILL"
    )  # and not found to hang: its child held its pipes


async def test_lines_are_prefixed_on_the_screen_and_kept_in_a_log(
    supervise: MakeSupervisor, folder: MeshFolder
) -> None:
    supervisor = supervise(entry())
    supervisor.start()
    await supervisor.until_ready(40)
    await until_logged(folder, "h-stub-1", "hello from h-stub-1")
    await until_logged(folder, "h-stub-1", "and on stderr")
    assert "h-stub-1 │ hello from h-stub-1" in supervisor.screen.getvalue()  # type: ignore[attr-defined]


async def test_an_endless_line_and_control_characters_do_no_harm(supervise: MakeSupervisor, folder: MeshFolder) -> None:
    supervisor = supervise(entry("shout"))
    supervisor.start()
    await supervisor.until_ready(40)
    await until_logged(folder, "h-stub-1", re.escape("\x1b[2J"))
    screen = supervisor.screen.getvalue()  # type: ignore[attr-defined]
    assert "\x1b" not in screen
    assert "\\x1b[2J" in screen


async def test_the_log_says_what_the_supervisor_did(
    supervise: MakeSupervisor, folder: MeshFolder, tmp_path: Path
) -> None:
    supervisor = supervise(entry("once", labels={"mark": str(tmp_path / "mark")}))
    supervisor.start()
    await supervisor.until_ready(40)
    await until(lambda: supervisor.keepers[0].restarts.count == 1 and supervisor.ready, supervisor)
    await until_logged(folder, "h-stub-1", r"mesh: waiting: was killed by SIGKILL; again in")


async def test_renewing_drains_and_starts_anew_without_counting_a_crash(supervise: MakeSupervisor) -> None:
    supervisor = supervise(entry())
    supervisor.start()
    await supervisor.until_ready(40)
    keeper = supervisor.keepers[0]
    before = keeper.pid
    await keeper.renew(30)
    await until(lambda: keeper.state == "ready" and keeper.pid != before, supervisor)
    assert keeper.restarts.count == 0


async def test_renewing_brings_back_what_was_given_up(supervise: MakeSupervisor) -> None:
    supervisor = supervise(entry("fail"))
    supervisor.start()
    await supervisor.until_hopeless()
    keeper = supervisor.keepers[0]
    await keeper.renew(1)
    await until(lambda: keeper.state == "starting", supervisor)


async def test_figures_of_the_last_heartbeat_are_known(supervise: MakeSupervisor) -> None:
    supervisor = supervise(entry())
    supervisor.start()
    await supervisor.until_ready(40)
    keeper = supervisor.keepers[0]
    await until_it_beats(supervisor)
    assert keeper.last is not None
    assert (keeper.last.lag, keeper.last.handled, keeper.last.idle) == (0.001, 3, 1.5)


async def test_draining_while_a_process_waits_to_be_started_again_ends_at_once(supervise: MakeSupervisor) -> None:
    supervisor = supervise(entry("crash-before-ready"))
    supervisor.start()
    keeper = supervisor.keepers[0]
    await until(lambda: keeper.state == "waiting", supervisor)
    async with asyncio.timeout(30):
        await supervisor.drain(60)
    assert keeper.state == "stopped"


@pytest.mark.skipif(not FULL_DISK.exists(), reason="only Linux has a full disk to try")
async def test_a_full_disk_stops_no_process(supervise: MakeSupervisor, folder: MeshFolder) -> None:
    (folder.logs / "h-stub-1.log").symlink_to(FULL_DISK)
    supervisor = supervise(entry("shout"))
    supervisor._console = Console(full_disk())
    supervisor.start()
    await supervisor.until_ready(40)
    await until_it_beats(supervisor)  # so what it shouted was read


async def test_that_a_log_cannot_be_written_is_said_once(supervise: MakeSupervisor, folder: MeshFolder) -> None:
    (folder.logs / "h-stub-1.log").mkdir()
    supervisor = supervise(entry())
    supervisor.start()
    await supervisor.until_ready(40)
    await until_it_beats(supervisor)
    assert supervisor.screen.getvalue().count("cannot be written") == 1  # type: ignore[attr-defined]


async def test_what_cannot_be_spawned_at_all_is_tried_again_and_given_up(supervise: MakeSupervisor) -> None:
    supervisor = supervise(entry(environment={"A=B": "no system takes this name"}))
    supervisor.start()
    await asyncio.wait_for(supervisor.until_hopeless(), 40)
    assert "cannot be started: illegal environment variable name" in supervisor.keepers[0].reason
