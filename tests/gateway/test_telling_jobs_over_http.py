"""A job is told something over HTTP, and the answer says what it made of it; the journal says who told it, and with which token."""

from __future__ import annotations

import pytest

from mesh import Mesh
from mesh.gateway.tokens import digest_of
from tests.gateway.gate import TOKEN, Gate, door

pytestmark = [pytest.mark.server]

MINE = f"gateway token {digest_of(TOKEN)[7:15]}"


async def awaited(gate: Gate, job: str) -> None:
    """Wait until the job waits for somebody."""
    await gate.mesh.job(job, tenant="acme").watch(timeout=40, until=lambda state: bool(state.open_waits))


async def test_a_job_is_paused_resumed_and_cancelled(gate: Gate) -> None:
    job = await gate.submit("acme", "hold", "telling")
    path = job["links"]["self"]
    await gate.mesh.job(job["job"], tenant="acme").watch(timeout=40, until=lambda state: "first" in state.steps)
    status, paused = await gate.ask("POST", f"{path}/pause", json={"reason": "lunch", "now": True, "by": "ada"})
    assert (status, paused["job"], paused["event"]) == (200, job["job"], "pause.requested")
    status, resumed = await gate.ask("POST", f"{path}/resume")
    assert (status, resumed["event"]) == (200, "resumed")
    status, cancelled = await gate.ask("POST", f"{path}/cancel", json={"reason": "enough"})
    assert (status, cancelled["event"]) == (200, "cancel.requested")
    assert (await gate.result("acme", job["job"]))["state"] == "cancelled"
    status, problem = await gate.ask("POST", f"{path}/cancel")
    assert (status, problem["code"], problem["context"]["state"]) == (409, "passed-over", "cancelled")
    async with gate.client.get(f"{gate.site.url}{path}/events") as answer:
        journal = await answer.text()
    assert f'"by":"ada ({MINE})"' in journal
    assert f'"by":"{MINE}"' in journal
    door("telling").set()


async def test_an_approval_is_shown_with_its_digest_and_counts_for_that_action_only(gate: Gate, workers: Mesh) -> None:
    job = await gate.submit("acme", "publish", "v1")
    await awaited(gate, job["job"])
    path = job["links"]["self"]
    status, listed = await gate.ask("GET", "/v1/acme/approvals")
    assert (status, [each["job"] for each in listed["approvals"]]) == (200, [job["job"]])
    assert (await gate.ask("GET", "/v1/globex/approvals"))[1] == {"approvals": []}
    (shown,) = (await gate.ask("GET", f"{path}/approvals"))[1]["approvals"]
    assert shown["about"] == {"what": "v1"}
    where = f"{path}/approvals/{shown['key']}"
    status, problem = await gate.ask("POST", where, json={"decision": "approve", "digest": "sha256:other"})
    assert (status, problem["code"]) == (409, "passed-over")
    for body in (
        {"decision": "maybe", "digest": "x"},
        {"decision": "approve"},
        {"decision": "deny", "digest": "", "x": 1},
    ):
        status, problem = await gate.ask("POST", where, json=body)
        assert (status, problem["code"]) == (422, "bad-payload")
    said = {"decision": "approve", "digest": shown["digest"], "by": "ada", "reason": "fine"}
    assert (await gate.ask("POST", where, json=said))[0] == 200
    status, again = await gate.ask("POST", where, json={**said, "decision": "deny"})
    assert (status, again["code"]) == (409, "passed-over")
    assert (await gate.result("acme", job["job"]))["result"] == "v1 is out"


async def test_a_signal_is_said_once_for_its_key_to_each_job(gate: Gate, workers: Mesh) -> None:
    jobs = [await gate.submit("acme", "listen", None) for _ in range(2)]
    for key, word in (("one", "a"), ("one", "a"), ("two", "b")):
        for job in jobs:
            path = f"{gate.site.url}{job['links']['self']}/signals/word"
            async with gate.client.post(path, json=word, headers={"Idempotency-Key": key}) as answer:
                assert (answer.status, answer.headers["Idempotency-Key"]) == (200, key)
                assert (await answer.json())["event"] in ("signal.received", "wait.resolved")
    assert [(await gate.result("acme", job["job"]))["result"] for job in jobs] == [["a", "b"], ["a", "b"]]


async def test_a_pause_said_again_with_its_key_does_not_follow_the_resume(gate: Gate) -> None:
    job = await gate.submit("acme", "hold", "keyed")
    path = f"{gate.site.url}{job['links']['self']}"
    await gate.mesh.job(job["job"], tenant="acme").watch(timeout=40, until=lambda state: "first" in state.steps)
    told = []
    for verb in ("pause", "resume", "pause"):
        async with gate.client.post(f"{path}/{verb}", headers={"Idempotency-Key": "mine"}) as answer:
            assert (answer.status, answer.headers["Idempotency-Key"]) == (200, "mine")
            told.append(await answer.json())
    assert told[0]["sequence"] == told[2]["sequence"] < told[1]["sequence"]
    door("keyed").set()
    assert (await gate.result("acme", job["job"]))["state"] == "completed"


async def test_nobody_tells_another_tenants_job_anything(gate: Gate) -> None:
    job = (await gate.submit("acme", "hold", "others"))["job"]
    await gate.mesh.job(job, tenant="acme").watch(timeout=40, until=lambda state: "first" in state.steps)
    for rest in ("cancel", "pause", "resume", "signals/word"):
        status, problem = await gate.ask("POST", f"/v1/globex/jobs/{job}/{rest}")
        assert (status, problem["code"]) == (404, "unknown-job")
    door("others").set()
    assert (await gate.result("acme", job))["state"] == "completed"
