"""The timeline of a job: who held it, what was tried, waited for and undone, and how it is drawn."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from job_stage import World

from mesh.cli.timeline import draw_timeline
from mesh.jobs.authoring.workflow import Job, workflow
from mesh.jobs.journals.values import Values
from mesh.jobs.outside.listing import show_job
from mesh.jobs.outside.timeline import gantt, spans
from mesh.protocols.acts import Bid
from mesh.protocols.awards import AwardRecord, Candidate
from mesh.protocols.errors import MeshError, Refused
from mesh.protocols.job_events import (
    Awarded,
    Entry,
    Event,
    JobHead,
    OwnerClaimed,
    StepSucceeded,
    Submitted,
    Unknown,
    Value,
)
from mesh.protocols.job_state import Recorded
from mesh.protocols.ports import Clock, Ids

pytestmark = pytest.mark.virtual


@workflow("story")
async def story(job: Job) -> None:
    await job.step("begin", lambda: 1)
    await job.call("slow", key="slow: #1", timeout=60, compensate="back")
    await job.approval("publish", {"to": "all"}, key="go")
    await job.sleep(120)
    raise Refused("it ends badly")


async def told(clock: Clock, ids: Ids) -> tuple[World, Any]:
    """A job that lost an owner, waited for a person and a time, failed, and was undone."""
    world = World(clock, ids, slow=lambda _: clock.sleep(20), back=lambda _: None)
    await world.host("first", story)
    handle = await world.submit_job("story")
    await clock.sleep(5)
    await world.crash("first")
    await world.host("second", story)
    await clock.sleep(60)
    (wait,) = (await handle.state()).open_waits
    await handle.approve("go", digest=wait.opened.digest, by="ann", reason="fine")
    with pytest.raises(MeshError):
        await handle.result(1000)
    return world, handle


async def test_every_owner_attempt_wait_and_undoing_is_a_span(clock: Clock, ids: Ids) -> None:
    world, handle = await told(clock, ids)
    found = spans(await world.reader.read("default", handle.id))
    lanes: dict[str, list[Any]] = {}
    for each in found:
        lanes.setdefault(each.lane, []).append(each)
    assert [(each.name, each.how) for each in lanes["owner"]] == [("first", "lost"), *[("second", "done")] * 3]
    tries = [each for each in lanes["step"] if each.name == "slow: #1"]
    assert [(each.attempt, each.how) for each in tries] == [(1, "lost"), (2, "done")]
    assert next((each.name, each.text) for each in lanes["wait"]) == ("go", "approval publish; approved by ann: fine")
    assert [(each.name, each.how, each.text) for each in lanes["undo"]] == [("slow: #1", "done", "undone")]
    assert all(each.to is not None and each.to >= each.since for each in found)
    assert sum(each.money for each in found) == pytest.approx((await handle.state()).usage.money)
    await world.close()


async def test_it_is_drawn_in_bars_and_as_a_gantt_chart(clock: Clock, ids: Ids) -> None:
    world, handle = await told(clock, ids)
    values = Values(world.client.store, world.client.subjects, clock)
    shown = await show_job(world.reader, values, handle.id)
    lines = draw_timeline(shown["timeline"], 100)
    assert all(len(each) <= 100 for each in lines)
    assert [each for each in lines if each in ("OWNERS", "STEPS", "WAITS", "UNDONE")] == [
        "OWNERS",
        "STEPS",
        "WAITS",
        "UNDONE",
    ]
    (go,) = [each for each in draw_timeline(shown["timeline"], 200) if each.startswith("  go ")]
    assert re.fullmatch(r"  go +│·+█+·+│ +40 s  approval publish; approved by ann: fine", go)

    source = gantt("a job: #1", spans(await world.reader.read("default", handle.id)), 0.0).splitlines()
    assert source[:4] == ["gantt", "    title a job 1", "    dateFormat x", "    axisFormat %H:%M:%S"]
    ids_used = []
    for line in source[4:]:
        if not line.startswith("    section "):
            task = re.fullmatch(r"    [^:;#%]+ :(?:active, |done, |crit, )(\w+), (\d{13}), (\d{13})", line)
            assert task is not None, line
            assert int(task[3]) > int(task[2])
            ids_used.append(task[1])
    assert len(set(ids_used)) == len(ids_used)
    await world.close()


def test_what_goes_on_is_drawn_up_to_now() -> None:
    waits = {
        "lane": "wait",
        "name": "go",
        "since": 5.0,
        "to": None,
        "how": "open",
        "text": "",
        "attempt": 1,
        "money": 0.0,
    }
    (line,) = [each for each in draw_timeline([waits], 200, until=10.0) if each.startswith("  go ")]
    assert re.fullmatch(r"  go +│·{18}▒{18}│ … +5 s", line)


def test_nothing_is_drawn_of_nothing() -> None:
    assert draw_timeline([]) == []


def test_what_an_earlier_release_does_not_know_is_passed_over() -> None:
    """An award of a step that was begun in a way of a later release, and an owner that left in one."""
    head = JobHead(workflow="w", version=1, tenant="t", state="running", owner="p")
    who = Candidate(agent="a", instance="1", process="q", bid=Bid())
    award = AwardRecord(
        award="a", conversation="c", capability="x", mode="standing", winner=who.key, reason="r", at=3.0, effect="pure",
        candidates=(who,),
    )  # fmt: skip
    later = Unknown(type_name="step.begun_anew", content=msgspec.Raw(b"{}"))
    groups: list[tuple[Event, ...]] = [
        (Submitted(workflow="w", version=1, input=Value(), digest="d"), OwnerClaimed(process="p")),
        (later,),
        (Awarded(key="s", award=award),),
        (StepSucceeded(key="s", output=Value(), by="a.1"),),
    ]
    records = [
        Recorded(
            Entry(
                id=str(place), job="j", tenant="t", head=head, events=events, epoch=1, owner="p", previous=place, at=place + 1.0
            ),
            place + 1,
            place + 1.0,
        )
        for place, events in enumerate(groups)
    ]  # fmt: skip
    assert [(each.lane, each.name, each.how) for each in spans(records)] == [
        ("owner", "p", "open"),
        ("step", "s", "done"),
    ]
