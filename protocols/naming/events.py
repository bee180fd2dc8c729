"""Subjects of events, those that are stored and those that are heard now or never."""

from __future__ import annotations

from typing import NamedTuple

from mesh.protocols.errors import InvalidName
from mesh.protocols.naming.names import check_event_type, check_name, check_token
from mesh.protocols.naming.root import Root


class Event(NamedTuple):
    """`evt.<tenant>.<agent>.<type…>` or `now.…` in its parts; the type may itself be dotted."""

    tenant: str
    agent: str
    type: str


class EventSubjects(Root):
    """Where events are published, and what to subscribe to."""

    def event(self, tenant: str, agent: str, event_type: str) -> str:
        """Where an event is published; the durable stream EVT captures it."""
        return self._event("evt", tenant, agent, event_type)

    def now(self, tenant: str, agent: str, event_type: str) -> str:
        """Where an event is published that is heard now or never: no stream captures it."""
        return self._event("now", tenant, agent, event_type)

    def event_filter(self, tenant: str = "*", agent: str = "*", event_type: str = ">") -> str:
        """What to subscribe to: `*` for any tenant or agent, a type, `a.*` or `a.>` for types below `a`, `>` for all."""
        return self._event_filter("evt", tenant, agent, event_type)

    def now_filter(self, tenant: str = "*", agent: str = "*", event_type: str = ">") -> str:
        """The same for the events that nobody stores."""
        return self._event_filter("now", tenant, agent, event_type)

    def _event(self, family: str, tenant: str, agent: str, event_type: str) -> str:
        agent = check_token(agent, "agent")
        return f"{self.prefix}.{family}.{check_name(tenant, 'tenant')}.{agent}.{check_event_type(event_type)}"

    def _event_filter(self, family: str, tenant: str, agent: str, event_type: str) -> str:
        for part in event_type.split("."):
            if part not in ("*", ">"):
                check_event_type(part)
        if ">" in event_type.split(".")[:-1]:
            raise InvalidName(f"event type {event_type!r}: '>' may only stand at the end")
        tenant = tenant if tenant == "*" else check_name(tenant, "tenant")
        agent = agent if agent == "*" else check_token(agent, "agent")
        return f"{self.prefix}.{family}.{tenant}.{agent}.{event_type}"

    def parse_event(self, subject: str) -> Event:
        """The tenant, agent and type of an event's subject, stored or not."""
        parts = subject[self._skip :].split(".")
        if not subject.startswith(self.prefix + ".") or parts[0] not in ("evt", "now") or len(parts) < 4:
            raise InvalidName(f"{subject!r} is not an event subject of {self.prefix}")
        return Event(parts[1], parts[2], ".".join(parts[3:]))
