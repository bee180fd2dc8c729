"""Subjects of who is there, and how it goes: heartbeats, roll calls, telemetry."""

from __future__ import annotations

from mesh.protocols.naming.calls import Reply
from mesh.protocols.naming.names import check_token
from mesh.protocols.naming.root import Root

DISCONNECTS = "$SYS.ACCOUNT.*.DISCONNECT"
"""Where the server tells that a connection ended, if the account imports it."""


class PresenceSubjects(Root):
    """Where processes are heard of."""

    def beat(self, process: str) -> str:
        """Heartbeats of one process."""
        return f"{self.prefix}.beat.{check_token(process)}"

    def beat_all(self) -> str:
        """Heartbeats of every process."""
        return f"{self.prefix}.beat.*"

    def live(self, process: str, incarnation: str) -> str:
        """Heard by this very incarnation of the process alone: a 503 here means that it is dead."""
        return f"{self.prefix}.live.{check_token(process)}.{check_token(incarnation, 'incarnation')}"

    def roll(self, requester: str, responder: str, token: str) -> str:
        """Where a process answers a roll call. Apart from `reply`: the server tells a 503 to one subscription only, so
        the subject it goes to must match no other subscription of the requester."""
        return f"{self.prefix}.roll.{check_token(requester)}.{check_token(responder)}.{check_token(token)}"

    def roll_call(self, requester: str, token: str) -> str:
        """The answers to one roll call, from whichever process."""
        return f"{self.prefix}.roll.{check_token(requester)}.*.{check_token(token)}"

    def telemetry(self, process: str) -> str:
        """Telemetry of one process; in no stream."""
        return f"{self.prefix}.tel.{check_token(process)}"

    def telemetry_all(self) -> str:
        """Telemetry of every process."""
        return f"{self.prefix}.tel.*"

    def tune(self, sender: str) -> str:
        """Where a process says that it listens to telemetry: nobody publishes any before."""
        return f"{self.prefix}.tune.{check_token(sender)}"

    def tune_all(self) -> str:
        """Whoever listens to telemetry."""
        return f"{self.prefix}.tune.*"

    def parse_roll(self, subject: str) -> Reply:
        """The parts of the answer to a roll call."""
        return Reply(*self._parts(subject, "roll", 3))

    def parse_telemetry(self, subject: str) -> str:
        """The process whose telemetry comes on a subject."""
        return self._parts(subject, "tel", 1)[0]
