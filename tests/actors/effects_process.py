"""A process for `test_effects_on_a_server`: `effects_process.py URL NAME FOLDER FIRST LAST`: has each of these effects once.

Even keys have a target that honours them and are idempotent, odd ones one that does not and are at most once. What came of
each is a line `key outcome` in `FOLDER/NAME.outcomes`; those in doubt say so.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from mesh import Mesh
from mesh.protocols.errors import InDoubt
from tests.effect_target import EffectTarget

URL, NAME, FOLDER, FIRST, LAST = sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
HONOURING = EffectTarget(FOLDER / "honouring")
PLAIN = EffectTarget(FOLDER / "plain", honours_keys=False)


async def honouring(key: str) -> str:
    HONOURING.ask(key)
    await asyncio.sleep(0.01)
    return f"done {key}"


async def plain(key: str) -> str:
    PLAIN.ask(key)
    await asyncio.sleep(0.01)
    return f"done {key}"


async def main() -> None:
    async with Mesh.connect(URL, process=NAME) as mesh:
        effects = mesh.peer.effects("clerk")
        counts = mesh.peer.state("clerk", int)
        with (FOLDER / f"{NAME}.outcomes").open("a", buffering=1) as outcomes:
            for number in range(FIRST, LAST):
                try:
                    if number % 2:
                        outcome = await effects.once(f"k{number}", plain, effect="at_most_once", lease=1.0)
                    else:
                        outcome = await effects.once(f"k{number}", honouring, lease=1.0)
                except InDoubt:
                    outcome = "in doubt"
                outcomes.write(f"k{number} {outcome}\n")
                await counts.update(NAME, lambda count: (count or 0) + 1)


if __name__ == "__main__":
    asyncio.run(main())
