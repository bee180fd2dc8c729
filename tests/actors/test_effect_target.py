"""The ledger that tests count effects with: shared by processes, and never wrong about what was done."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

from tests.effect_target import EffectTarget


def _ask_often(path: str, honours_keys: bool) -> None:
    target = EffectTarget(path, honours_keys=honours_keys)
    for number in range(20):
        target.ask(f"key {number}")


def _from_three_processes(path: Path, honours_keys: bool) -> EffectTarget:
    forking = multiprocessing.get_context("fork")
    processes = [forking.Process(target=_ask_often, args=(str(path), honours_keys)) for _ in range(3)]
    for each in processes:
        each.start()
    for each in processes:
        each.join(30)
        assert each.exitcode == 0
    return EffectTarget(path)


def test_a_target_that_honours_keys_does_each_effect_once_whoever_asks(tmp_path: Path) -> None:
    target = _from_three_processes(tmp_path / "ledger", honours_keys=True)
    assert (target.most, len(target.effects()), target.asked("key 7")) == (1, 20, 3)


def test_a_target_that_does_not_does_it_every_time(tmp_path: Path) -> None:
    target = _from_three_processes(tmp_path / "ledger", honours_keys=False)
    assert (target.most, target.count("key 7")) == (3, 3)


def test_any_text_is_a_key_and_the_answer_says_whether_it_took_effect_now(tmp_path: Path) -> None:
    target = EffectTarget(tmp_path / "ledger")
    for key in ("", "a b", "line\nbreak", "-", "ä/%"):
        assert target.ask(key)
        assert not target.ask(key)
        assert target.count(key) == 1
    assert target.count("never") == 0
