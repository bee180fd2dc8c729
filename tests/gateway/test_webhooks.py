"""A webhook arrives once the job is over, signed, whatever is in the way; and where it cannot, that is seen."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiohttp import web

from mesh import Job, Mesh, workflow
from mesh.gateway.webhooks import watchman
from mesh.gateway.webhooks.hook import Webhook, hook_id
from mesh.gateway.webhooks.ledger import Ledger
from mesh.gateway.webhooks.service import Sending
from mesh.gateway.webhooks.signing import signature
from mesh.gateway.webhooks.targets import Targets
from mesh.protocols.errors import TimedOut
from mesh.protocols.submission import job_id_for_key
from mesh.testing.virtual_time import until
from tests.contract.places import eventually_none
from tests.gateway.gate import KEY, Gate, Receiver, door, gateway_on, listen

pytestmark = [pytest.mark.server]


async def hooks(gate: Gate, job: str) -> list[Webhook]:
    return [each.hook for each in await gate.ledger.all() if each.hook.job == job]


async def once(gate: Gate, job: str, state: str) -> Webhook:
    """The job's only webhook, as soon as it is in that state."""
    async with asyncio.timeout(40):
        while True:
            (hook,) = await hooks(gate, job)
            if hook.state == state:
                return hook
            await asyncio.sleep(0.02)


async def test_it_is_signed_and_says_what_became_of_the_job(gate: Gate, receiver: Receiver) -> None:
    job = await gate.submit("acme", "shout", {"items": [], "note": "hi"}, Mesh_Webhook=receiver.url)
    hook = await once(gate, job["job"], "delivered")
    ((headers, body),) = receiver.heard
    said = json.loads(body)
    assert (said["type"], said["data"]["id"], said["data"]["result"]) == ("job.completed", job["job"], {"text": "HI"})
    assert (said["data"]["tenant"], said["data"]["state"], said["data"]["error"]) == ("acme", "completed", None)
    timestamp = int(headers["webhook-timestamp"])
    assert headers["webhook-id"] == hook.message
    assert headers["webhook-signature"] == signature(KEY, hook.message, timestamp, body)
    assert (hook.attempts, hook.status, hook.holder) == (1, 204, "")


async def test_a_job_that_fails_is_told_of_too(gate: Gate, receiver: Receiver) -> None:
    job = await gate.submit("acme", "shout", {"items": [], "note": "no"}, Mesh_Webhook=receiver.url)
    await once(gate, job["job"], "delivered")
    said = json.loads(receiver.heard[0][1])
    assert (said["type"], said["data"]["error"]["code"]) == ("job.failed", "refused")


async def test_it_is_sent_again_until_it_is_taken_with_the_same_id_and_body(gate: Gate, receiver: Receiver) -> None:
    receiver.answers = [500, 404, 302]
    receiver.location = receiver.url
    job = await gate.submit("acme", "shout", {"items": []}, Mesh_Webhook=receiver.url)
    hook = await once(gate, job["job"], "delivered")
    assert hook.attempts == len(receiver.heard) == 4
    assert len({(headers["webhook-id"], body) for headers, body in receiver.heard}) == 1


async def test_one_that_is_never_taken_is_given_up_and_seen_and_can_be_sent_anew(
    url: str, workers: Mesh, receiver: Receiver
) -> None:
    receiver.answers = [503] * 3
    async with gateway_on(url, sending=Sending(first=0.01, attempts=3, sweep=0.2)) as gate:
        job = await gate.submit("acme", "shout", {"items": []}, Mesh_Webhook=receiver.url)
        dead = await once(gate, job["job"], "dead")
        assert (dead.attempts, dead.status, dead.reason) == (3, 503, "the receiver answered 503")
        async for event in gate.mesh.events("alert.raised", since=0.0):
            if event.payload["job"] == job["job"]:
                assert event.payload["reason"] == "the receiver answered 503"
                break
        died = [fields["job"] for event, fields in gate.told if event == "webhook.dead"]
        assert died.count(job["job"]) == 1  # others, of tests before this one, may be given up here, too
        await gate.ledger.retry(await gate.ledger.get(dead.id))
        assert (await once(gate, job["job"], "delivered")).attempts == 1
        assert len(receiver.heard) == 4


async def test_one_that_is_not_wanted_any_more_is_given_up_at_once(gate: Gate, receiver: Receiver) -> None:
    receiver.answers = [410]
    job = await gate.submit("acme", "shout", {"items": []}, Mesh_Webhook=receiver.url)
    dead = await once(gate, job["job"], "dead")
    assert (dead.attempts, len(receiver.heard)) == (1, 1)


async def test_a_name_that_leads_inside_is_not_connected_to(url: str, workers: Mesh, receiver: Receiver) -> None:
    port = receiver.url.split(":")[2].partition("/")[0]
    async with gateway_on(url, targets=Targets(["*:*"])) as gate:
        job = await gate.submit("acme", "shout", {"items": []}, Mesh_Webhook=f"https://localhost:{port}/hook")
        dead = await once(gate, job["job"], "dead")
        assert "no public address" in dead.reason
        assert receiver.heard == []


async def test_a_submission_that_is_refused_leaves_no_webhook(gate: Gate, receiver: Receiver) -> None:
    job = await gate.submit("acme", "hold", "refusals", Idempotency_Key="refused-1")
    for name, given, key, url, expected in (
        ("hold", "other", "refused-1", receiver.url, 409),
        ("shout", {"items": 3}, "refused-2", receiver.url, 422),
        ("hold", "x", "refused-3", "https://example.com/hook", 403),
        ("hold", "x", "refused-4", "ftp://127.0.0.1/", 403),
    ):
        headers = {"Idempotency-Key": key, "Mesh-Webhook": url}
        status, _ = await gate.ask("POST", f"/v1/acme/jobs/{name}", json=given, headers=headers)
        assert status == expected
    assert await hooks(gate, job["job"]) == []
    door("refusals").set()


async def test_a_webhook_left_by_another_submission_is_not_told_of_the_job(gate: Gate, receiver: Receiver) -> None:
    """The gateway died between the two steps of a submission whose key names another job."""
    job = await gate.submit("acme", "shout", {"items": []}, Idempotency_Key="left-1")
    await gate.result("acme", job["job"])
    left = Webhook(
        id=hook_id("acme", job["job"], receiver.url, "shout", "sha256:other"), tenant="acme", job=job["job"],
        url=receiver.url, workflow="shout", digest="sha256:other", registered_at=0.0,
    )  # fmt: skip
    await gate.ledger.register(left)
    await eventually_none(lambda: hooks(gate, job["job"]), timeout=40.0)
    assert receiver.heard == []


async def test_the_same_submission_again_sends_nothing_twice(gate: Gate, receiver: Receiver) -> None:
    for _ in range(2):
        job = await gate.submit("acme", "shout", {"items": []}, Idempotency_Key="twice", Mesh_Webhook=receiver.url)
        await once(gate, job["job"], "delivered")
    assert len(receiver.heard) == 1


async def test_two_gateways_share_what_a_third_has_left_and_each_is_sent_once(
    url: str, workers: Mesh, receiver: Receiver
) -> None:
    async with gateway_on(url) as gone:
        jobs = [
            (await gone.submit("share", "hold", f"share-{number}", Mesh_Webhook=receiver.url))["job"]
            for number in range(8)
        ]
    for number in range(8):
        door(f"share-{number}").set()
    async with gateway_on(url) as one, gateway_on(url):
        for job in jobs:
            await once(one, job, "delivered")
    assert sorted(json.loads(body)["data"]["id"] for _, body in receiver.heard) == sorted(jobs)


async def test_more_jobs_than_are_followed_are_looked_at_in_turn(
    gate: Gate, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchman, "FOLLOWED", 1)
    monkeypatch.setattr(watchman, "LOOKS", 2)
    jobs = [
        (await gate.submit("many", "hold", "many", Mesh_Webhook=f"{receiver.url}/{one}"))["job"] for one in range(6)
    ]
    door("many").set()
    for job in jobs:
        await once(gate, job, "delivered")
    assert len(receiver.heard) == 6


async def test_what_a_gateway_held_that_only_a_backup_remembers_is_sent_by_another(
    url: str, workers: Mesh, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lease was put back without its end: it stands for ever, and is never renewed."""
    monkeypatch.setattr(watchman, "SILENT", 0.5)
    async with gateway_on(url, sending=Sending(first=0.01, sweep=60.0)) as first:
        job = (await first.submit("ghost", "hold", "ghost", Mesh_Webhook=receiver.url))["job"]
    ledger = Ledger(workers.peer.store, workers.peer.subjects, workers.peer.clock)
    (entry,) = [each for each in await ledger.all() if each.hook.job == job]
    await ledger.change(entry, state="claimed", holder="ghost")
    await (await ledger.bucket()).put("gateway.ghost", b"{}")
    door("ghost").set()
    async with gateway_on(url) as second:
        await once(second, job, "delivered")


@workflow("away")
async def away(job: Job, word: str) -> str:
    return word


def unheard_of(word: str, target: str) -> Webhook:
    """A webhook whose submission never got through."""
    job, digest = job_id_for_key("away", word), "sha256:none"
    return Webhook(
        id=hook_id("away", job, target, "shout", digest), tenant="away", job=job, url=target, workflow="shout",
        digest=digest, registered_at=0.0,
    )  # fmt: skip


async def test_a_webhook_is_given_up_with_an_alert_but_not_while_its_job_waits_for_a_host(
    url: str, workers: Mesh, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Mesh.connect(url, name="away") as host:
        await host.host_workflow(away)
    async with gateway_on(url) as gone:
        job = await gone.submit("away", "away", "here", Mesh_Webhook=receiver.url)
    monkeypatch.setattr(watchman, "STALE", -1.0)
    async with gateway_on(url) as gate:
        for word in ("one", "two"):  # when the second is looked at, the sweep that had the first has had all others
            lost = unheard_of(word, receiver.url)
            await gate.ledger.register(lost)
            assert (await once(gate, lost.job, "dead")).reason == "its job was never journaled"
            async for event in gate.mesh.events("alert.raised", since=0.0):
                if event.payload["job"] == lost.job:
                    assert event.payload["reason"] == "its job was never journaled"
                    break
        async with Mesh.connect(url, name="away") as host:
            await host.host_workflow(away)
            await once(gate, job["job"], "delivered")


async def test_a_gateway_that_stops_while_it_sends_hands_the_webhook_over(url: str, workers: Mesh) -> None:
    arrived, answers = [], asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        arrived.append(request.headers["webhook-id"])
        await answers.wait()
        return web.Response(status=204)

    runner, target = await listen(slow)
    async with gateway_on(url) as first:
        job = await first.submit("acme", "shout", {"items": []}, Mesh_Webhook=target)
        await until(lambda: len(arrived) == 1)
        async with gateway_on(url) as second:
            await first.gateway.webhooks.__aexit__(None, None, None)
            await until(lambda: len(arrived) == 2)
            answers.set()
            await once(second, job["job"], "delivered")
    assert len(set(arrived)) == 1
    await runner.cleanup()


async def test_a_gateway_that_cannot_begin_holds_no_lease(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def not_today(self: watchman.Watchman) -> None:
        raise TimedOut("the bucket does not answer")

    def leases() -> set[asyncio.Task[object]]:
        return {each for each in asyncio.all_tasks() if each.get_name() == "gateway lease"}

    others = leases()
    monkeypatch.setattr(watchman.Watchman, "start", not_today)
    with pytest.raises(TimedOut):
        async with gateway_on(url):
            pass
    assert leases() == others
