"""`JobHandle`: a job seen from outside. Look at it, follow it, get its result, tell it something."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, Literal

from mesh.actors.declaring.contract import encode_payload
from mesh.jobs.journals.journals import Journals
from mesh.jobs.journals.values import Values
from mesh.jobs.outside.control import Verdict, send
from mesh.jobs.outside.ending import Ending
from mesh.jobs.outside.following import Client, follow
from mesh.jobs.steps.local import contract_of
from mesh.protocols.errors import BadResult, TimedOut, from_fault
from mesh.protocols.job_events import Value
from mesh.protocols.job_inbox import Approve, Cancel, Deny, Pause, Resolve, Resume, Said, SendSignal
from mesh.protocols.job_state import JobState, Recorded


class JobHandle:
    """A job that was handed in. `duplicate`: it had been before, under the same key.

    The verbs store what is said, and wait at most `timeout` seconds (None: for ever) until the journal says what became of
    it: see `control.send`. `by` is who says it, `reason` why; both stand in the journal. What nothing in the job tells from a
    second one of its like takes a `key`: said again with the same one, it is said once, however much was said meanwhile.
    """

    def __init__(self, client: Client, job: str, *, tenant: str = "default", duplicate: bool = False) -> None:
        self.id = job
        self.tenant = tenant
        self.duplicate = duplicate
        self._client = client
        self._journals = Journals(client.store, client.subjects)

    def __repr__(self) -> str:
        return f"JobHandle({self.id!r}, tenant={self.tenant!r})"

    # -- look

    async def state(self) -> JobState:
        """What the job amounts to now.

        Raises:
            UnknownJob: it has no journal (yet).
        """
        return await self._journals.state(self.tenant, self.id)

    async def follow(self, state: JobState | None = None) -> AsyncGenerator[Recorded, None]:
        """Its entries from the first, then new ones as they are stored, up to the last one; those that are void left out.

        `state` is folded along, if one is given. Follows over restarts of anything; a job that is not journaled yet is
        waited for.
        """
        state = JobState() if state is None else state
        async with aclosing(follow(self._client, self.tenant, self.id, state)) as records:
            async for record in records:
                yield record

    async def result(self, timeout: float | None = None, *, returns: Any = Any) -> Any:
        """What the workflow returned, once it has. `timeout` (seconds) ends the waiting, never the job.

        Raises:
            TimedOut: it goes on. Whatever the job failed with, as its own type.
        """
        ending = Ending(self._client, self.tenant, self.id)
        try:
            async with asyncio.timeout(timeout):
                state = await ending.wait()
        except TimeoutError:
            raise self._goes_on(ending.status, timeout) from None
        return await self.outcome(state, returns=returns)

    async def watch(
        self,
        tell: Callable[[Recorded, JobState], None] = lambda record, state: None,
        *,
        timeout: float | None = None,
        until: Callable[[JobState], bool] = lambda state: False,
    ) -> JobState:
        """Follow to the end, or until `until` says so, telling each entry with the state that it led to; gives the last state.

        Raises:
            TimedOut: it goes on after `timeout` seconds.
        """
        state = JobState()
        try:
            async with asyncio.timeout(timeout):
                async with aclosing(self.follow(state)) as records:
                    async for record in records:
                        tell(record, state)
                        if until(state):
                            break
        except TimeoutError:
            where = "not journaled yet" if state.head is None else state.status
            raise self._goes_on(where, timeout) from None
        return state

    def _goes_on(self, where: str, timeout: float | None) -> TimedOut:
        return TimedOut(f"job {self.id} is {where} after {timeout:g} s; it goes on")

    async def outcome(self, state: JobState, *, returns: Any = Any) -> Any:
        """What a job that is over came to: its result, or its error raised as its own type."""
        contract = contract_of(returns)
        if state.fault is not None:
            raise from_fault(state.fault)
        if state.output is None:
            raise BadResult(f"job {self.id} is {state.status} and has no result")
        return contract.decode(await self._values().load(state.output))

    # -- tell

    async def approve(
        self, key: str, *, digest: str, by: str, reason: str = "", timeout: float | None = None
    ) -> Verdict:
        """Say yes to the action that `digest` names, at the wait `key`. The first valid answer wins; again: it is passed over."""
        return await self._send(Approve(key=key, digest=digest, by=by, reason=reason), timeout)

    async def deny(self, key: str, *, digest: str, by: str, reason: str = "", timeout: float | None = None) -> Verdict:
        """Say no to it: the workflow gets `Denied`."""
        return await self._send(Deny(key=key, digest=digest, by=by, reason=reason), timeout)

    async def signal(
        self,
        name: str,
        payload: Any = None,
        *,
        by: str = "",
        reason: str = "",
        key: str = "",
        timeout: float | None = None,
    ) -> Verdict:
        """Give the job what it waits for by name, or will. Each is taken once; again with the same `key`: it is said once."""
        value = await self._kept(payload)
        said = SendSignal(name=name, value=value.inline, ref=value.ref, by=by, reason=reason)
        return await self._send(said, timeout, key)

    async def cancel(self, *, by: str = "", reason: str = "", key: str = "", timeout: float | None = None) -> Verdict:
        """End the job: what it had done is undone where it says how. Again: it is passed over; with the same `key`, told the same."""
        return await self._send(Cancel(by=by, reason=reason), timeout, key)

    async def pause(
        self, *, now: bool = False, by: str = "", reason: str = "", key: str = "", timeout: float | None = None
    ) -> Verdict:
        """Begin nothing more until somebody resumes it; with `now`, also stop what is under way, to be done again later.

        Again: it is another pause, unless it has the same `key`: that which was said before a resume stays before it.
        """
        return await self._send(Pause(now=now, by=by, reason=reason), timeout, key)

    async def resume(self, *, by: str = "", reason: str = "", key: str = "", timeout: float | None = None) -> Verdict:
        """Go on after a pause. Again: as `pause`."""
        return await self._send(Resume(by=by, reason=reason), timeout, key)

    async def resolve(
        self,
        key: str,
        how: Literal["succeeded", "failed", "retry"],
        value: Any = None,
        *,
        by: str,
        reason: str = "",
        timeout: float | None = None,
    ) -> Verdict:
        """Say what became of a step in doubt, or of an undoing that failed: it `succeeded` with `value`, it `failed` for
        `reason`, or it is to be done again (`retry`). `key` is the step's, or that of the wait itself."""
        waits = [each.opened for each in (await self.state()).open_waits if each.opened.kind == "resolution"]
        key = next((each.key for each in waits if key in (each.key, each.name)), key)
        kept = await self._kept(value)
        said = Resolve(key=key, how=how, value=kept.inline, ref=kept.ref, by=by, reason=reason)
        return await self._send(said, timeout)

    async def _send(self, said: Said, timeout: float | None, key: str = "") -> Verdict:
        return await send(self._client, self.tenant, self.id, said, key=key, timeout=timeout)

    async def _kept(self, payload: Any) -> Value:
        return await self._values().keep(encode_payload(payload), "value")

    def _values(self) -> Values:
        return Values(self._client.store, self._client.subjects, self._client.clock)
