"""`Webhooks`: what a gateway does about them, put together. Opened with the gateway, closed with it."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType

from mesh.gateway.webhooks.courier import ATTEMPTS, FIRST, Courier
from mesh.gateway.webhooks.hook import Webhook, hook_id
from mesh.gateway.webhooks.lease import GatewayLease
from mesh.gateway.webhooks.ledger import Entry, Ledger
from mesh.gateway.webhooks.sender import TIMEOUT, Sender
from mesh.gateway.webhooks.targets import Targets
from mesh.gateway.webhooks.watchman import SWEEP, Watchman
from mesh.jobs.owning.seat import Seat
from mesh.protocols.errors import Conflict


@dataclass(frozen=True, kw_only=True)
class Sending:
    """How hard a webhook is tried: attempts in all, the first pause and the time of one attempt in seconds."""

    attempts: int = ATTEMPTS
    first: float = FIRST
    timeout: float = TIMEOUT
    sweep: float = SWEEP


class Webhooks:
    """For `async with`. The seat's incarnation is the id of this gateway: no other start of one has it."""

    def __init__(self, seat: Seat, targets: Targets, key: bytes, *, sending: Sending | None = None) -> None:
        sending = sending or Sending()
        self._seat = seat
        self._targets = targets
        self._ledger = Ledger(seat.store, seat.subjects, seat.clock)
        self._lease = GatewayLease(self._ledger, seat.clock, seat.incarnation)
        self._sender = Sender(key, targets, seat.clock, timeout=sending.timeout)
        self._courier = Courier(self._ledger, self._sender, seat, attempts=sending.attempts, first=sending.first)
        self._watchman = Watchman(seat, self._ledger, self._courier, sweep=sending.sweep)

    async def __aenter__(self) -> Webhooks:
        try:
            await self._lease.start()
            await self._sender.__aenter__()
            await self._watchman.start()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._watchman.stop()
        await self._courier.stop()
        await self._sender.__aexit__(kind, error, trace)
        await self._lease.stop()

    def check(self, url: str) -> None:
        """Whether a webhook may go there.

        Raises:
            Refused: says why not.
        """
        self._targets.check(url)

    async def register(self, url: str, *, tenant: str, job: str, workflow: str, digest: str) -> Registered:
        """Keep it; when this returns it is stored, and the job may be handed in. Again: it is there already.

        Raises:
            Refused: nothing may be sent there. Unavailable · TimedOut: it is not known whether it is stored.
        """
        self.check(url)
        hook = Webhook(
            id=hook_id(tenant, job, url, workflow, digest),
            tenant=tenant,
            job=job,
            url=url,
            workflow=workflow,
            digest=digest,
            registered_at=self._seat.clock.now(),
            watcher=self._seat.incarnation,
        )
        entry = await self._ledger.register(hook)
        if entry is not None:
            self._watchman.follow(entry)
        return Registered(self._ledger, self._watchman, entry)


class Registered:
    """A webhook that was registered for a submission; `entry` is None where it had been before."""

    def __init__(self, ledger: Ledger, watchman: Watchman, entry: Entry | None) -> None:
        self._ledger = ledger
        self._watchman = watchman
        self._entry = entry

    async def withdraw(self) -> None:
        """The job was refused. What was there before this submission stays."""
        if self._entry is None:
            return
        self._watchman.unfollow(self._entry.hook.id)
        try:
            await self._ledger.remove(self._entry)
        except Conflict:
            return
