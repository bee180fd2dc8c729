"""Dead letters: everything that is known of them, and seen to once."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from job_stage import World

from mesh.jobs.authoring.workflow import Job, workflow
from mesh.jobs.outside.letters import Kept, Letters
from mesh.protocols.errors import BadPayload, Refused, UnknownLetter
from mesh.protocols.ports import Clock, Ids
from mesh.protocols.references import Reference

pytestmark = pytest.mark.virtual


@workflow("double")
async def double(job: Job, number: int) -> int:
    return int(await job.call("double", number))


def world_of(clock: Clock, ids: Ids, double: Any = lambda number: 2 * number) -> World:
    return World(clock, ids, double=double)


async def a_letter(world: World) -> Kept:
    """What is published and fits nothing."""
    await world.client.store.append(
        world.subjects.ingress("default", "double"), b'{"number": "two"}', headers={"Mesh-Priority": "1"}
    )
    letters = Letters(world.client)
    while not (found := await letters.all()):
        await world.clock.sleep(0.1)
    return found[0]


async def test_a_letter_says_what_came_and_why_it_was_given_up(clock: Clock, ids: Ids) -> None:
    world = world_of(clock, ids)
    await world.host("a", double)
    kept = await a_letter(world)
    letters = Letters(world.client)
    assert (kept.letter.stage, kept.letter.workflow, kept.letter.reason.code) == ("ingress", "double", "bad-payload")
    assert await letters.data(kept.letter) == b'{"number": "two"}'
    assert kept.closed is None
    assert (await letters.find(kept.letter.id[:9])).letter == kept.letter
    with pytest.raises(UnknownLetter, match="mesh dlq ls"):
        await letters.find("nothing")
    await world.close()


async def test_what_a_letter_held_and_is_gone_is_refused_and_not_stumbled_over(clock: Clock, ids: Ids) -> None:
    world = world_of(clock, ids)
    await world.host("a", double)
    letter = msgspec.structs.replace((await a_letter(world)).letter, ref=Reference(digest="sha256:" + "0" * 64, size=9))
    with pytest.raises(Refused, match="not in the object store any more"):
        await Letters(world.client).redrive(letter, "ann")
    await world.close()


async def test_redriven_as_it_is_it_is_still_refused_and_corrected_it_runs_once(clock: Clock, ids: Ids) -> None:
    ran: list[int] = []

    def counted(number: int) -> int:
        ran.append(number)
        return 2 * number

    world = world_of(clock, ids, counted)
    await world.host("a", double)
    letter, letters = (await a_letter(world)).letter, Letters(world.client)
    with pytest.raises(BadPayload):
        await letters.redrive(letter, "ann")
    first = await letters.redrive(letter, "ann", corrected=b'{"number": 2}')
    again = await letters.redrive(letter, "bob", corrected=b'{"number": 2}')
    assert first == again
    assert first.by == "ann"
    state = await world.reader.state("default", first.job)
    while not state.terminal:
        await clock.sleep(0.1)
        state = await world.reader.state("default", first.job)
    assert ran == [2]
    assert state.submitted is not None
    assert state.submitted.constraints.priority == 1
    assert state.submitted.causation == letter.id
    await world.close()


async def test_a_letter_that_was_dropped_is_not_redriven(clock: Clock, ids: Ids) -> None:
    world = world_of(clock, ids)
    await world.host("a", double)
    letter, letters = (await a_letter(world)).letter, Letters(world.client)
    await letters.drop(letter, "ann", "a test")
    with pytest.raises(Refused, match="dropped by ann: a test"):
        await letters.redrive(letter, "bob")
    assert (await letters.find(letter.id)).closed is not None
    await world.close()


async def test_a_poisonous_job_leaves_its_input_the_step_it_died_of_and_where_its_journal_stood(
    clock: Clock, ids: Ids
) -> None:
    world = world_of(clock, ids, lambda _: clock.sleep(1e6))
    await world.host("a", double)
    handle = await world.submit_job("double", {"number": 7})
    for start in range(1, 20):
        await clock.sleep(10)
        if (await handle.state()).terminal:
            break
        await world.crash("a", start)
        await world.host("a", double, start=start + 1)
    letters = Letters(world.client)
    letter = (await letters.find(handle.id)).letter
    assert (letter.stage, letter.step, letter.epoch) == ("job", "double", 10)
    assert msgspec.json.decode(await letters.data(letter)) == {"number": 7}
    assert 0 < letter.sequence < (await handle.state()).sequence
    await world.close()


async def test_what_is_no_letter_does_not_hide_the_others(clock: Clock, ids: Ids) -> None:
    world = world_of(clock, ids)
    await world.host("a", double)
    kept = await a_letter(world)
    await world.client.store.append(world.subjects.dead_letter("default"), b"not a letter")
    letters = Letters(world.client)
    assert [each.letter for each in await letters.all()] == [kept.letter]
    assert (await letters.find(kept.letter.id)).letter == kept.letter
    await world.close()
