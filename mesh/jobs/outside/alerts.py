"""Alerts: something that a person must see to. An ERROR line in the log, and the stored event `alert.raised` of the agent
`jobs`, which `mesh events` shows.
"""

from __future__ import annotations

import logging

import msgspec

from mesh.actors.declaring.contract import encode_payload
from mesh.actors.events.events import event_stream
from mesh.actors.exchanging.lineage import Lineage
from mesh.jobs.owning.seat import Seat
from mesh.protocols.envelope import Sender, encode
from mesh.protocols.errors import MeshError, Transient

AGENT = "jobs"
RAISED = "alert.raised"
PATIENCE = 30.0
"""Seconds for which the event is tried: the job waits meanwhile, and the log has the alert already."""

logger = logging.getLogger("mesh.jobs")


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """The payload of the event. `what` is what happened, in a few words, `key` where in the job."""

    job: str
    workflow: str
    key: str
    what: str
    reason: str


async def raise_alert(seat: Seat, tenant: str, alert: Alert, correlation: str = "") -> None:
    """Tell people. Again within the hour: one event, as it has the same id."""
    seat.telemetry.emit(RAISED, level="error", tenant=tenant, correlation=correlation, **msgspec.structs.asdict(alert))
    sender = Sender(AGENT, alert.workflow, seat.process)
    lineage = Lineage(sender=sender, correlation=correlation, tenant=tenant, job=alert.job, step=alert.key)
    envelope = lineage.compose(seat.ids, "event", RAISED, encode_payload(alert), waits=False)
    subject, message_id = seat.subjects.event(tenant, AGENT, RAISED), f"alert.{alert.job}.{alert.key}"
    give_up, pause = seat.clock.monotonic() + PATIENCE, 0.05
    while True:
        try:
            await seat.store.ensure_stream(event_stream(seat.subjects))
            await seat.store.append(subject, encode(envelope), message_id=message_id)
            return
        except Transient:
            if seat.clock.monotonic() >= give_up:
                logger.exception("the alert of job %s could not be stored as an event", alert.job)
                return
        except MeshError:
            logger.exception("the alert of job %s could not be stored as an event", alert.job)
            return
        await seat.clock.sleep(pause)
        pause = min(pause * 2, 2.0)
