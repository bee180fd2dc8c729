"""How good the choice is when everybody's knowledge is up to a second old, in a simulation of queues.

The initiator's own market and auction choose among bids from heartbeats; only time and the network are pretended
(`tests/contract_net/queueing.py`). An oracle that sees every queue as it is gives the measure.
"""

from __future__ import annotations

from statistics import median

from tests.benchmarks.ground import Ground
from tests.benchmarks.rows import Row, Target
from tests.contract_net.queueing import Place, Simulation, as_we_do, best_of_all, by_chance, by_oracle

SIZE = {"bidders": 500, "initiators": 50, "load": 0.8}
WORDS = "500 bidders, 50 initiators, load 0.8: mean response / fresh full information"
OURS = Target(name=WORDS, floor=1.6)
BEST = Target(name="the best of all bids last heard, for comparison")
CHANCE = Target(name="anybody by chance, for comparison")


async def bench(ground: Ground) -> list[Row]:
    """Ours as a multiple of the oracle's, over several seeds; two simpler rules beside it, once."""
    seconds = float(ground.pick(20, 40))
    seeds = [ground.random.randrange(2**32) for _ in range(ground.pick(1, 3))]
    oracle = {seed: Simulation(seconds=seconds, seed=seed, **SIZE).run(by_oracle) for seed in seeds}
    runs = {seed: Simulation(seconds=seconds, seed=seed, **SIZE) for seed in seeds}
    found = [each.run(as_we_do) / oracle[seed] for seed, each in runs.items()]
    awards, declines = sum(each.awards for each in runs.values()), sum(each.declines for each in runs.values())
    about = f"{awards} awards, {declines / awards:.1%} of them declined"

    def once(way: Place) -> float:
        return Simulation(seconds=seconds, seed=seeds[0], **SIZE).run(way) / oracle[seeds[0]]

    return [
        Row(target=OURS, figure=median(found), least=min(found), most=max(found), about=about),
        Row(target=BEST, figure=once(best_of_all)),
        Row(target=CHANCE, figure=once(by_chance)),
    ]
