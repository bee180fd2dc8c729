"""`Courier`: claims webhooks whose job is over, and sends each until it is taken, or given up after a bounded number of times.

Each attempt is written down before the next one is waited for: another gateway that takes over goes on counting.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from urllib.parse import urlsplit

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from mesh.gateway.webhooks.ledger import Entry, Ledger
from mesh.gateway.webhooks.message import message_of
from mesh.gateway.webhooks.sender import NeverTaken, NotTaken, Sender
from mesh.jobs.outside.alerts import Alert, raise_alert
from mesh.jobs.owning.seat import Seat
from mesh.protocols.errors import Conflict, MeshError
from mesh.protocols.job_state import JobState

ATTEMPTS = 12
FIRST = 2.0
LONGEST = 3600.0
"""Seconds: the n-th pause is anything up to `FIRST · 2ⁿ⁻¹`, never above this."""

MOST = 512
MOST_AT_ONE_HOST = 64
FEW_AT_ONE_HOST = 4
MOST_OF_ALL = 4 * MOST
"""How many webhooks are in hand at the same time. What is beyond stays unclaimed, for later or for others: receivers that are
away must not keep the messages to all others waiting. So while all places are taken a host has its few all the same."""

logger = logging.getLogger("mesh.gateway")


class Courier:
    """`attempts` bounds how often one webhook is sent; `first` is its first pause, in seconds, at most."""

    def __init__(
        self, ledger: Ledger, sender: Sender, seat: Seat, *, attempts: int = ATTEMPTS, first: float = FIRST
    ) -> None:
        self._ledger = ledger
        self._sender = sender
        self._seat = seat
        self._attempts = attempts
        self._first = first
        self._in_hand: dict[str, Entry] = {}
        self._at_host: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    def has_room(self, entry: Entry) -> bool:
        """Whether it could be taken now: not in hand already, and not one too many."""
        if entry.hook.id in self._in_hand or len(self._in_hand) >= MOST_OF_ALL:
            return False
        mine = MOST_AT_ONE_HOST if len(self._in_hand) < MOST else FEW_AT_ONE_HOST
        return self._at_host[_host(entry)] < mine

    async def take(self, entry: Entry, state: JobState) -> None:
        """Claim it and send it, in the background. One that somebody else has claimed meanwhile is theirs.

        The state is that of its job, which is over.
        """
        if not self.has_room(entry):
            return
        body = message_of(state)
        self._in_hand[entry.hook.id] = entry
        self._at_host[_host(entry)] += 1
        try:
            claimed = await self._ledger.change(entry, state="claimed", holder=self._seat.incarnation)
        except BaseException as error:
            self._let_go(entry.hook.id)
            if isinstance(error, Conflict):
                return
            raise
        self._in_hand[entry.hook.id] = claimed
        task = asyncio.get_running_loop().create_task(self._deliver(claimed.hook.id, body))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Send nothing more, and give back what is in hand: another gateway may have it at once. Again: nothing happens."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        left = [*self._in_hand.values()]
        given = await asyncio.gather(
            *(self._ledger.change(each, state="waiting", holder="", watcher="") for each in left),
            return_exceptions=True,
        )
        for outcome in given:
            if isinstance(outcome, BaseException):
                logger.info("a webhook could not be handed back, its claim will lapse: %s", outcome)

    async def give_up(self, entry: Entry, reason: str) -> None:
        """Send it no more, and have people told.

        Raises:
            Conflict: somebody has changed it meanwhile.
        """
        await self._mourn(await self._ledger.change(entry, state="dead", holder="", reason=reason), reason)

    # -- one webhook

    async def _deliver(self, hook: str, body: bytes) -> None:
        """Whatever happens, it is not in hand afterwards; what could not be written down is taken up again by the sweep."""
        try:
            await self._send(hook, body)
        except Conflict:
            logger.info("webhook %s is somebody else's by now", hook)
        except MeshError as error:
            logger.warning("what became of webhook %s could not be written down, it may come again: %s", hook, error)
        except Exception:
            logger.exception("webhook %s could not be sent, it is tried again later", hook)
        self._let_go(hook)

    def _let_go(self, hook: str) -> None:
        host = _host(self._in_hand.pop(hook))
        self._at_host[host] -= 1
        if not self._at_host[host]:
            del self._at_host[host]

    async def _send(self, hook: str, body: bytes) -> None:
        made = self._in_hand[hook].hook.attempts
        retrying = AsyncRetrying(
            sleep=self._seat.clock.sleep,
            stop=stop_after_attempt(max(1, self._attempts - made)),
            wait=_Pause(self._first * 2 ** min(made, 20)),
            retry=retry_if_exception_type(NotTaken),
            reraise=True,
        )
        try:
            async for attempt in retrying:
                with attempt:
                    await self._attempt(hook, body)
        except (NotTaken, NeverTaken) as error:
            await self._bury(hook, error)

    async def _attempt(self, hook: str, body: bytes) -> None:
        try:
            status = await self._sender.send(self._in_hand[hook].hook, body)
        except (NotTaken, NeverTaken) as error:
            status = error.status if isinstance(error, NotTaken) else 0
            await self._change(
                hook, status=status, reason=error.message, attempts=self._in_hand[hook].hook.attempts + 1
            )
            raise
        await self._change(
            hook,
            state="delivered",
            holder="",
            status=status,
            reason="",
            attempts=self._in_hand[hook].hook.attempts + 1,
        )
        self._tell("webhook.delivered", self._in_hand[hook], status=status)

    async def _bury(self, hook: str, error: MeshError) -> None:
        await self._change(hook, state="dead", holder="")
        await self._mourn(self._in_hand[hook], error.message)

    async def _mourn(self, dead: Entry, reason: str) -> None:
        known = dead.hook
        self._tell("webhook.dead", dead, level="error", reason=reason)
        what = f"a webhook was given up: `mesh gateway webhooks retry {known.id}` sends it anew"
        alert = Alert(job=known.job, workflow=known.workflow, key=f"webhook.{known.id}", what=what, reason=reason)
        await raise_alert(self._seat, known.tenant, alert)

    async def _change(self, hook: str, **fields: object) -> None:
        self._in_hand[hook] = await self._ledger.change(self._in_hand[hook], **fields)

    def _tell(self, event: str, entry: Entry, **fields: object) -> None:
        known = entry.hook
        self._seat.telemetry.emit(
            event, webhook=known.id, job=known.job, tenant=known.tenant, host=_host(entry),
            attempts=known.attempts, **fields,
        )  # fmt: skip


class _Pause:
    """Full jitter, and at least what the receiver asked for."""

    def __init__(self, first: float) -> None:
        self._jitter = wait_random_exponential(multiplier=first, max=LONGEST)

    def __call__(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        asked = error.retry_after if isinstance(error, MeshError) and error.retry_after else 0.0
        return max(self._jitter(state), min(asked, LONGEST))


def _host(entry: Entry) -> str:
    return urlsplit(entry.hook.url).hostname or ""
