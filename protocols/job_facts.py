"""What every event of a job is made of: `JobEvent`, and `Value`, a JSON value or a reference to one."""

from __future__ import annotations

from typing import Literal

import msgspec

from mesh.protocols.envelope import NULL
from mesh.protocols.references import Reference

JobStatus = Literal[
    "submitted",
    "running",
    "waiting",
    "paused",
    "parked",
    "completed",
    "failed",
    "cancelled",
    "compensated",
    "dead_lettered",
]
"""What `job ls` shows. `submitted`: stored, and nobody drives it now. `waiting`: for an answer, a time or a child, and no
process holds it. `parked`: a person must decide."""

StepKind = Literal["call", "local", "branch"]
"""`call`: awarded to an agent. `local`: run by the owner. `branch`: several steps that were given one time limit."""


Onward = Literal["retry", "back_off", "vary", "fall_back"]
"""How a step goes on after an attempt that failed: as before, as before but later, with something else, or with a stand-in."""


class Value(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A JSON value: `inline`, or, above 64 KiB, the object that `ref` names."""

    inline: msgspec.Raw = NULL
    ref: Reference | None = None


class JobEvent(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, tag_field="type"):
    """Every event of a job."""
