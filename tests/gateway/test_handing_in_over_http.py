"""Jobs come in over HTTP as they do over NATS: stored before the answer, once a key, refused with a typed problem."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mesh import Job, Mesh, workflow
from mesh.gateway import problems, submitting
from mesh.gateway.limits import Limits
from mesh.jobs.outside.handle import JobHandle
from mesh.protocols.errors import Killed
from mesh.protocols.submission import job_id_for_key
from mesh.testing.virtual_time import until
from tests.gateway.gate import Gate, gateway_on
from tests.servers import RealServer

pytestmark = [pytest.mark.server]

ORDER: dict[str, Any] = {"items": [{"name": "pen"}], "note": "hi"}


async def test_a_job_is_accepted_says_where_it_is_and_is_done(gate: Gate) -> None:
    async with gate.client.post(f"{gate.site.url}/v1/acme/jobs/shout", json=ORDER) as answer:
        body = await answer.json()
        assert (answer.status, body["duplicate"]) == (202, False)
        assert answer.headers["Location"] == body["links"]["self"] == f"/v1/acme/jobs/{body['job']}"
        assert answer.headers["Idempotency-Key"] == body["key"]
    assert body["job"] == job_id_for_key("acme", body["key"])
    assert (await gate.result("acme", body["job"]))["result"] == {"text": "HI"}


async def test_a_key_is_one_job_bare_or_quoted_and_for_each_tenant_its_own(gate: Gate) -> None:
    first = await gate.submit("acme", "shout", ORDER, Idempotency_Key="order-1")
    for written in ("order-1", '"order-1"'):
        again = await gate.submit("acme", "shout", ORDER, Idempotency_Key=written)
        assert (again["job"], again["duplicate"]) == (first["job"], True)
    other = await gate.submit("globex", "shout", ORDER, Idempotency_Key="order-1")
    assert other["job"] != first["job"]


async def test_what_limits_a_job_is_said_in_headers_as_on_nats(gate: Gate) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    job = await gate.submit(
        "acme", "shout", ORDER, Mesh_Deadline="60", Mesh_Budget="money=0.5,tokens=100", Mesh_Boundary="eu",
        Mesh_Priority="1", Mesh_Labels="gpu=yes", Mesh_Correlation="c-7", traceparent=trace,
    )  # fmt: skip
    state = await gate.mesh.job(job["job"], tenant="acme").state()
    assert state.submitted is not None
    limits = state.submitted.constraints
    assert (limits.budget.money, limits.budget.tokens, limits.boundary) == (0.5, 100, "eu")
    assert (limits.priority, limits.labels, state.submitted.deadline) == (1, {"gpu": "yes"}, 60.0)
    assert (state.submitted.correlation, state.submitted.trace) == ("c-7", trace)


PROBLEMS: tuple[tuple[str, bytes, dict[str, str], int, str, str], ...] = (
    ("shout", b"{oops", {}, 400, "malformed", "not JSON"),
    ("shout", b"[" * 200 + b"]" * 200, {}, 400, "malformed", "nested"),
    ("shout", b'{"items": 3}', {}, 422, "bad-payload", "$.items"),
    ("shout", b"{}", {"Mesh-Priority": "9"}, 400, "bad-header", "0 (most urgent)"),
    ("shout", b"{}", {"Idempotency-Key": "a", "Mesh-Key": "b"}, 400, "bad-header", "one of them"),
    ("shout", b"{}", {"Idempotency-Key": '""'}, 400, "bad-header", "leave it out"),
    ("shout", b"{}", {"Content-Encoding": "gzip"}, 415, "unsupported-encoding", "Content-Encoding"),
    ("nothing", b"{}", {}, 404, "unknown-workflow", "known are"),
    ("No-Name", b"{}", {}, 400, "invalid-name", "lower-case"),
    ("shout", b'"' + b"x" * 1048577 + b'"', {}, 413, "too-large", "1048576"),
)


async def test_what_cannot_be_done_is_a_problem_with_the_meshs_code(gate: Gate) -> None:
    for name, body, headers, status, code, says in PROBLEMS:
        async with gate.client.post(f"{gate.site.url}/v1/acme/jobs/{name}", data=body, headers=headers) as answer:
            problem = await answer.json(content_type="application/problem+json")
        assert (answer.status, problem["status"], problem["code"]) == (status, status, code)
        assert says in problem["detail"]
        assert problem["type"].endswith(code)
        assert problem["instance"] == f"/v1/acme/jobs/{name}"


async def test_a_body_that_hides_its_size_is_cut_off_at_the_limit(gate: Gate) -> None:
    async def endless() -> Any:
        for _ in range(200):
            yield b"1" * 65536

    status, problem = await gate.ask("POST", "/v1/acme/jobs/shout", data=endless())
    assert (status, problem["code"]) == (413, "too-large")


@pytest.mark.parametrize(
    ("until", "seconds"), [(None, "60"), (1_000_090.5, "91"), (999_000.0, "1"), ("tomorrow", "60")]
)
def test_what_is_killed_is_not_asked_for_again_before_it_is_allowed(until: object, seconds: str) -> None:
    detail = {"what": "workflow"} if until is None else {"what": "workflow", "until": until}
    answer = problems.problem(Killed("workflow shout was killed", detail=detail), now=1_000_000.0)
    assert (answer.status, answer.headers["Retry-After"]) == (503, seconds)


async def test_a_key_for_another_input_is_a_conflict(gate: Gate) -> None:
    job = await gate.submit("acme", "shout", ORDER, Idempotency_Key="order-2")
    status, problem = await gate.ask(
        "POST", "/v1/acme/jobs/shout", json={"items": []}, headers={"Idempotency-Key": "order-2"}
    )
    assert (status, problem["code"], problem["context"]["job"]) == (409, "key-reused", job["job"])


async def test_what_takes_too_long_names_the_key_that_was_made_for_it(
    url: str, workers: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else whoever hands it in again hands in another job."""

    async def never(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    async with gateway_on(url, limits=Limits(request=0.3, grace=5.0)) as gate:
        with monkeypatch.context() as patched:
            patched.setattr(submitting, "submit", never)
            status, problem = await gate.ask("POST", "/v1/acme/jobs/shout", json=ORDER)
        assert (status, problem["code"], problem["class"]) == (504, "timed-out", "transient")
        key = problem["context"]["key"]
    async with gateway_on(url) as gate:
        job = await gate.submit("acme", "shout", ORDER, Idempotency_Key=key)
        assert job["job"] == job_id_for_key("acme", key)
        monkeypatch.setattr(JobHandle, "cancel", never)
    async with gateway_on(url, limits=Limits(request=0.3, grace=5.0)) as gate:
        status, problem = await gate.ask("POST", f"{job['links']['self']}/cancel")
        assert (status, problem["code"]) == (504, "timed-out")
        assert problem["context"]["key"]


@workflow("seldom")
async def seldom(job: Job, word: str) -> str:
    return word


async def test_a_job_is_kept_while_no_host_of_its_workflow_is_up(gate: Gate, url: str) -> None:
    async with Mesh.connect(url, name="seldom") as worker:
        await worker.host_workflow(seldom)
    job = await gate.submit("late", "seldom", "here")
    status, problem = await gate.ask("GET", job["links"]["self"])
    assert (status, problem["code"]) == (404, "unknown-job")
    assert "no host of its workflow" in problem["detail"]
    async with Mesh.connect(url, name="seldom") as worker:
        await worker.host_workflow(seldom)
        state = await gate.mesh.job(job["job"], tenant="late").watch(timeout=40)
        assert (state.job, state.status) == (job["job"], "completed")


async def test_a_server_that_is_away_is_said_to_be_and_nothing_is_ready(tmp_path: Any) -> None:
    with RealServer(tmp_path) as server:
        async with gateway_on(server.url) as gate:
            assert await gate.ask("GET", "/readyz") == (200, {"status": "ready"})
            server.kill()
            await until(lambda: not gate.gateway.ready)
            assert (await gate.ask("GET", "/readyz"))[0] == 503
            assert (await gate.ask("GET", "/healthz"))[0] == 200
            async with gate.client.get(f"{gate.site.url}/v1/acme/jobs/j1") as answer:
                assert answer.status in (503, 504)
                assert int(answer.headers["Retry-After"]) >= 1
            server.start()
