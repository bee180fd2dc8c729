"""The headers that NATS itself reads."""

from __future__ import annotations

EXPECTED = "Nats-Expected-Last-Subject-Sequence"
MESSAGE_ID = "Nats-Msg-Id"
TTL = "Nats-TTL"
ROLLUP = "Nats-Rollup"
KV_OPERATION = "KV-Operation"
MARKER_REASON = "Nats-Marker-Reason"
STATUS = "Status"
DESCRIPTION = "Description"
PENDING = "Nats-Num-Pending"
STALLED = "Nats-Consumer-Stalled"
SCHEDULE = "Nats-Schedule"
SCHEDULE_TARGET = "Nats-Schedule-Target"
SCHEDULE_NEXT = "Nats-Schedule-Next"
SCHEDULER = "Nats-Scheduler"
