"""Every subject, stream and bucket name of the mesh is built and parsed below `protocols/naming/`, and nowhere else.

All names start with `mesh.<namespace>` (`mesh_<namespace>_` for streams and buckets, where NATS allows no dots). A builder and
its parser stand side by side:

- `naming/calls.py`: commands, replies, calls for proposals
- `naming/presence.py`: heartbeats, roll calls, telemetry
- `naming/events.py`: events, stored or heard now or never
- `naming/jobs.py`: ingress, journals, inboxes, hints, timers, dead letters
- `naming/storage.py`: streams, buckets, object stores
- `naming/names.py`: what may be a name at all
"""

from __future__ import annotations

from mesh.protocols.naming.calls import CallSubjects
from mesh.protocols.naming.events import EventSubjects
from mesh.protocols.naming.jobs import JobSubjects
from mesh.protocols.naming.names import check_name
from mesh.protocols.naming.presence import PresenceSubjects
from mesh.protocols.naming.storage import StorageNames


class Subjects(CallSubjects, PresenceSubjects, EventSubjects, JobSubjects, StorageNames):
    """The names of one mesh."""

    def all_of(self, tenant: str) -> tuple[str, ...]:
        """Everything of one tenant that any stream may hold."""
        check_name(tenant, "tenant")
        families = ("job", "in", "inbox", "evt", "hint", "dlq", "tim.*")
        return (*(f"{self.prefix}.{family}.{tenant}.>" for family in families), f"{self.prefix}.dlq.{tenant}")
