"""What an operator may set about bids that learn, by environment variables of the process."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping

from mesh.protocols.conduct import Forgetting
from mesh.protocols.selection import SelectionPolicy
from mesh.settings.errors import BadSettings

FORGET = "MESH_BIDS_FORGET"
EXPLORE = "MESH_BIDS_EXPLORE"


def forgetting_choice(environ: Mapping[str, str] | None = None) -> Forgetting:
    """`MESH_BIDS_FORGET`: after how many calls, and how many seconds, what was seen of a bidder counts half: `30,600`, also when
    nothing is said.

    Raises:
        BadSettings: it is no such pair.
    """
    found = (os.environ if environ is None else environ).get(FORGET)
    if not found:
        return Forgetting()
    numbers = [_number(each) for each in found.split(",")]
    if len(numbers) != 2 or not all(0.0 < each < math.inf for each in numbers):
        raise BadSettings(
            f"{FORGET}: {found!r} is no half-life in calls and in seconds; write two numbers, such as 30,600"
        )
    return Forgetting(calls=numbers[0], seconds=numbers[1])


def policy_choice(environ: Mapping[str, str] | None = None) -> SelectionPolicy:
    """`MESH_BIDS_EXPLORE`: the share of choices that is open to newcomers, from 0 to 1; 0.1, also when nothing is said.

    Raises:
        BadSettings: it is no such share.
    """
    found = (os.environ if environ is None else environ).get(EXPLORE)
    if not found:
        return SelectionPolicy()
    share = _number(found)
    if not 0.0 <= share <= 1.0:
        raise BadSettings(f"{EXPLORE}: {found!r} is no share; write a number from 0 (newcomers are not tried) to 1")
    return SelectionPolicy(explore=share)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
