"""`Letters`: looking at dead letters, and seeing to them: redrive one, once, or drop it.

A letter stays in its stream. That it has been seen to stands in a bucket under its id, written once: of two people who
redrive the same letter, both are told the same job.
"""

from __future__ import annotations

import logging
from typing import NamedTuple, TypeVar

import msgspec

from mesh.actors.events.burial import DEAD_LETTERS
from mesh.jobs.journals.journals import Journals
from mesh.jobs.journals.values import Values
from mesh.jobs.outside.following import Client
from mesh.jobs.outside.submission import submit
from mesh.protocols.constraints import Constraints
from mesh.protocols.dead_letters import MEANT_FOR, Closed, DeadLetter
from mesh.protocols.errors import Conflict, Refused, UnknownLetter
from mesh.protocols.ports import Bucket, BucketSpec
from mesh.protocols.subjects import Subjects
from mesh.protocols.submission import Terms, terms_of

T = TypeVar("T")

logger = logging.getLogger("mesh.jobs")


class Kept(NamedTuple):
    """A letter as it is kept: `at` is when it was written, Unix seconds; `closed` what became of it, if anything."""

    letter: DeadLetter
    at: float
    closed: Closed | None


class Letters:
    """The dead letters of one mesh."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._store = client.store
        self._stream = client.subjects.stream(DEAD_LETTERS)
        self._values = Values(client.store, client.subjects, client.clock)

    async def all(self, tenant: str = "") -> list[Kept]:
        """Every letter, or every letter of one tenant, the oldest first; one that was written twice once. What is none, or of a
        later release, is told of and left out: it must not keep the others from being seen."""
        subjects = self._client.subjects
        stored = await self._store.read(
            self._stream, subjects.dead_letter(tenant) if tenant else subjects.dead_letter_all()
        )
        closings = await (await self._closings()).all()
        closed = {each.key: _read(each.value, Closed, each.key) for each in closings if each.value is not None}
        found: dict[str, Kept] = {}
        for each in stored:
            letter = _read(each.data, DeadLetter, f"message {each.sequence} of {self._stream}")
            if letter is not None:
                found.setdefault(letter.id, Kept(letter, each.time, closed.get(_key(letter))))
        return list(found.values())

    async def find(self, letter: str) -> Kept:
        """The letter of this id, or whose id begins or ends so, or that is about the job of this id.

        Raises:
            UnknownLetter: there is none, or there are several.
        """
        kept = await self.all()
        for fits in (_same, _near):
            near = [each for each in kept if fits(each.letter, letter)]
            if len(near) == 1:
                return near[0]
            if near:
                ids = ", ".join(each.letter.id for each in near[:5])
                raise UnknownLetter(f"{letter!r} fits {len(near)} dead letters: {ids}{' …' if len(near) > 5 else ''}")
        raise UnknownLetter(f"no dead letter {letter!r}: `mesh dlq ls` lists them")

    async def data(self, letter: DeadLetter) -> bytes:
        """What nobody could use, as it came.

        Raises:
            Refused: it was large, and its object is gone.
        """
        if letter.ref is None:
            return letter.data()
        try:
            return await self._values.get(letter.ref.digest)
        except KeyError:
            raise Refused(
                f"what letter {letter.id} held is not in the object store any more ({letter.ref.digest}): drop it, or hand in "
                "something else with --input"
            ) from None

    async def drop(self, letter: DeadLetter, by: str, reason: str = "") -> Closed:
        """Say that nothing needs to be done about it. Again: what became of it first stands."""
        return await self._close(
            Closed(letter=letter.id, how="dropped", by=by, at=self._client.clock.now(), reason=reason), letter
        )

    async def redrive(self, letter: DeadLetter, by: str, *, corrected: bytes | None = None) -> Closed:
        """Hand it in again, with `corrected` in place of what it held. Again: the same job; it runs once.

        Raises:
            Refused: it was dropped, or cannot be handed in as it is; the message says what to do.
            BadPayload: it still is nothing that its workflow can use. Transient: do it again.
        """
        known = await self._closed(letter)
        if known is not None and known.how == "dropped":
            raise Refused(
                f"letter {letter.id} was dropped by {known.by}" + (f": {known.reason}" if known.reason else "")
            )
        if known is not None:
            return known
        data = await self.data(letter) if corrected is None else corrected
        job = (
            await self._emit_again(letter, data) if letter.stage == "event" else await self._submit_again(letter, data)
        )
        return await self._close(
            Closed(letter=letter.id, how="redriven", by=by, at=self._client.clock.now(), job=job), letter
        )

    async def _submit_again(self, letter: DeadLetter, data: bytes) -> str:
        if not letter.workflow:
            raise Refused(
                f"letter {letter.id} came on {letter.source.subject if letter.source else 'a subject'}, which names no workflow: "
                "hand in what it holds with `mesh submit WORKFLOW @FILE`"
            )
        terms = await self._terms(letter)
        handle = await submit(
            self._client,
            letter.workflow,
            msgspec.Raw(data or b"null"),
            tenant=letter.tenant,
            key=f"redrive.{letter.id}",
            deadline=terms.deadline,
            constraints=terms.constraints,
            correlation=terms.correlation,
            causation=letter.id,
        )
        return handle.id

    async def _terms(self, letter: DeadLetter) -> Terms:
        """What stood beside it when it was first handed in."""
        if letter.stage == "ingress":
            return terms_of(letter.headers)
        submitted = (await Journals(self._store, self._client.subjects).state(letter.tenant, letter.job)).submitted
        if submitted is None:
            return Terms(constraints=Constraints())
        return Terms(deadline=submitted.deadline, constraints=submitted.constraints, correlation=submitted.correlation)

    async def _emit_again(self, letter: DeadLetter, data: bytes) -> str:
        if letter.source is None:
            raise Refused(f"letter {letter.id} does not say which event it is about")
        headers = {**letter.headers, MEANT_FOR: f"{letter.agent}-{letter.handler}"}
        headers.pop("Nats-Msg-Id", None)
        await self._store.append(letter.source.subject, data, message_id=f"redrive.{letter.id}", headers=headers)
        return ""

    async def _close(self, closed: Closed, letter: DeadLetter) -> Closed:
        try:
            await (await self._closings()).put(_key(letter), msgspec.json.encode(closed), revision=0)
        except Conflict:
            return await self._closed(letter) or closed
        return closed

    async def _closed(self, letter: DeadLetter) -> Closed | None:
        found = await (await self._closings()).get(_key(letter))
        return msgspec.json.decode(found.value, type=Closed) if found and found.value is not None else None

    async def _closings(self) -> Bucket:
        return await self._store.bucket(closings(self._client.subjects))


def closings(subjects: Subjects) -> BucketSpec:
    """What became of letters, under `<tenant>.<letter id>`."""
    return BucketSpec(name=subjects.bucket("letters"), storage="file", description="dead letters seen to")


def _read(data: bytes, kind: type[T], where: str) -> T | None:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        logger.error("%s is no %s that this release can read: %s", where, kind.__name__, error)
        return None


def _key(letter: DeadLetter) -> str:
    return f"{letter.tenant}.{letter.id}"


def _same(letter: DeadLetter, said: str) -> bool:
    return said == letter.id


def _near(letter: DeadLetter, said: str) -> bool:
    return letter.id.startswith(said) or letter.id.endswith(said) or (bool(letter.job) and letter.job.startswith(said))
