"""`History`: what was said in one conversation of an agent: bounded, durable, and shared by its instances."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from mesh.actors.declaring.contract import encode_payload
from mesh.actors.keeping.history_turns import Bounds, Role, Transcript, Turn
from mesh.actors.keeping.state_shelf import Found, Shelf, token
from mesh.actors.running.doing import doing
from mesh.protocols.constraints import Usage
from mesh.protocols.errors import BadPayload, Conflict, Refused
from mesh.protocols.naming.names import check_name
from mesh.protocols.ports import Clock

Summarise = Callable[[Sequence[Turn]], "str | Awaitable[str]"]
"""Gets the turns that fall off the end, an earlier summary first among them; gives what is kept in their place."""
ATTEMPTS = 50
"""Times that a turn is added against others who add to the same conversation."""
NOBODYS = "default"
"""The tenant of a conversation outside of any work."""


class Histories:
    """The conversations of one agent: `self.history()` is the one of the present work, `self.history(id)` any."""

    def __init__(self, shelf: Shelf, clock: Clock, agent: str, bounds: Bounds, summarise: Summarise | None) -> None:
        self.shelf = shelf
        self.clock = clock
        self.agent = agent
        self.bounds = bounds
        self.summarise = summarise

    def __call__(self, conversation: str = "", *, tenant: str = "") -> History:
        """A conversation by its id: any text of at most 1,024 bytes. By default the one that the caller named, else the
        correlation id; the tenant is that of the present work, else `default`.

        Raises:
            Refused: no id is given, and nothing is being done that would have one.
        """
        work = doing.get()
        conversation = conversation or (work.conversation if work is not None else "")
        if not conversation:
            raise Refused("which conversation? Outside of a handler, give its id: `self.history(id)`")
        tenant = tenant or (work.tenant if work is not None else NOBODYS)
        return History(self, f"{check_name(tenant, 'tenant')}.{self.agent}.{token(conversation)}")


class History:
    """One conversation. What is above its bounds falls off the oldest end: dropped, or summed up where the agent says how."""

    def __init__(self, histories: Histories, at: str) -> None:
        self._histories = histories
        self._shelf = histories.shelf
        self._at = at

    async def add(self, role: Role, content: Any, *, usage: Usage | None = None, key: str = "") -> Turn:
        """Say one thing more; it is stored when this returns. Again: it stands there twice, unless both have the same `key`.

        Raises:
            TooLarge: the turn alone is above the bound. BadPayload: the content is no JSON. Conflict: others added turns
            `ATTEMPTS` times meanwhile. What the summary raises; then nothing was added.
        """
        plain = msgspec.json.decode(encode_payload(content))
        turn = Turn(role=role, content=plain, at=self._histories.clock.now(), usage=usage or Usage(), key=key)
        if role not in ("system", "user", "assistant", "tool"):
            raise BadPayload(f"role {role!r}: it is one of system, user, assistant and tool")
        for attempt in range(ATTEMPTS):
            found, transcript = await self._read()
            if transcript.has(key):
                return next(each for each in transcript.turns if each.key == key)
            longer = await self._longer(transcript, turn)
            try:
                await self._shelf.put(self._at, msgspec.Raw(msgspec.json.encode(longer)), over=found)
            except Conflict:
                await self._shelf.give_way(attempt)
            else:
                return turn
        raise Conflict(f"the conversation {self._at} was added to by others {ATTEMPTS} times")

    async def turns(self) -> list[Turn]:
        """What is kept of it, oldest first; a summary of what is not, if there is one, comes first, with the role `system`."""
        return list((await self._read())[1].turns)

    async def fallen(self) -> int:
        """How many turns are not kept any more, summaries included."""
        return (await self._read())[1].fallen

    async def clear(self) -> None:
        """Forget all of it. Again: nothing happens."""
        await self._shelf.delete(self._at)

    async def _longer(self, transcript: Transcript, turn: Turn) -> Transcript:
        summarise = self._histories.summarise
        longer, fallen = transcript.with_turn(turn, self._histories.bounds, halve=summarise is not None)
        if not fallen or summarise is None:
            return longer
        text = summarise(fallen)
        summary = str(await text if inspect.isawaitable(text) else text)
        return longer.opened_with(Turn(role="system", content=summary, at=turn.at))

    async def _read(self) -> tuple[Found, Transcript]:
        found = await self._shelf.get(self._at)
        return found, Transcript() if found.value is None else _transcripts.decode(found.value)


_transcripts = msgspec.json.Decoder(Transcript)
