"""What `make bench` shows: FAIL on missed rows only, sensible in any width, and a JSON file that it reads again."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from tests.benchmarks.figures import BEGIN, BESIDE, BESIDE_END, DOCUMENT, END, renewed
from tests.benchmarks.machine import busy, facts, unsteady
from tests.benchmarks.report import Report, figure
from tests.benchmarks.results import Outcome, Results
from tests.benchmarks.rows import Row, Side, Target

GOOD = Row(target=Target(name="good / raw", floor=1.0, aim=0.5), figure=0.75, least=0.7, most=0.9, about="raw 5 µs")
MISSED = Row(
    target=Target(name="missed a second", floor=200_000, better="higher", unit="/s"), figure=108_345.0,
    ours=Side(figure=9e-6, here=9e-6), base=Side(figure=3e-6, here=3e-6), about="raw 300k/s",
)  # fmt: skip
TOLD = Row(target=Target(name="told only", unit="ms"), figure=12.0)
MACHINE = {
    "cpus": 2, "cpu": "x", "system": "Linux 6", "python": "3.11.7",
    "nats-server": "2", "nats-py": "2", "uvloop": "0", "msgspec": "0",
}  # fmt: skip


def run(*outcomes: Outcome, **more: Any) -> Results:
    results = Results(quick=True, seed=5, at="2026-11-20T20:00:00+00:00", machine=MACHINE, **more)
    results.benches.extend(outcomes)
    return results


def shown(results: Results, width: int = 120, **options: Any) -> str:
    paper = io.StringIO()
    report = Report(Console(file=paper, width=width, highlight=False), results, **options)
    report.opening()
    for outcome in results.benches:
        report.begins(outcome.bench)
        report.ended(outcome)
    report.closing("bench.json")
    return paper.getvalue()


BOTH = Outcome(bench="one", seconds=1.0, rows=[GOOD, MISSED, TOLD])


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ([], 0),
        ([Outcome(bench="one", rows=[GOOD, TOLD])], 0),
        ([Outcome(bench="one", skipped="install it")], 0),
        ([BOTH], 1),
        ([Outcome(bench="one", broke="Traceback …")], 2),
        ([BOTH, Outcome(bench="two", broke="Traceback …")], 2),
    ],
)
def test_the_exit_code_says_what_happened(outcomes: list[Outcome], code: int) -> None:
    assert run(*outcomes).exit_code == code


def test_the_word_fail_stands_on_missed_rows_only() -> None:
    text = shown(run(BOTH, Outcome(bench="two", broke="it fell"), Outcome(bench="three", skipped="install it")))
    assert [line.split()[0] for line in text.splitlines() if "FAIL" in line.upper()] == ["missed"]


def test_a_row_is_one_line_with_everything_one_compares() -> None:
    lines = shown(run(BOTH)).splitlines()
    assert any(" ".join(line.split()) == "good / raw 0.750 x 0.700 to 0.900 ≤ 1 ≤ 0.5 pass" for line in lines)
    assert any(" ".join(line.split()) == "missed a second 108k /s ≥ 200k FAIL" for line in lines)
    assert any(" ".join(line.split()) == "told only 12.0 ms" for line in lines)


def test_remarks_stand_below_a_missed_row_and_below_all_when_asked_for() -> None:
    assert "raw 5 µs" not in shown(run(BOTH))
    assert "raw 300k/s · processor µs an operation: here 9; base: here 3" in shown(run(BOTH))
    assert "raw 5 µs" in shown(run(BOTH), verbose=True)


@pytest.mark.parametrize("width", [80, 100, 120, 160])
def test_no_line_is_wider_than_the_terminal_or_ends_in_blanks(width: int) -> None:
    long = Row(target=Target(name="a name of many words that goes on and on " * 2, floor=1.0), figure=0.5)
    results = run(Outcome(bench="one", seconds=1.0, rows=[GOOD, MISSED, long]), noise="load 3.0 on 2 cores")
    for line in shown(results, width, verbose=True, before=run(BOTH)).splitlines():
        assert len(line) <= max(width, 24 + 70)
        assert line == line.rstrip()


def test_columns_stand_below_each_other() -> None:
    lines = shown(run(BOTH)).splitlines()
    assert (
        len({line.index(bound) + len(bound) for bound in ("≤ 1 ", "≥ 200k ") for line in lines if bound in line}) == 1
    )
    assert len({line.index(word) for word in ("pass", "FAIL") for line in lines if word in line}) == 1


def test_what_is_piped_has_no_colours() -> None:
    assert "\x1b" not in shown(run(BOTH, Outcome(bench="two", broke="it fell")))


def test_text_in_brackets_is_shown_as_it_is() -> None:
    row = Row(target=Target(name="autogen-ext[grpc] / raw", floor=1.0), figure=2.0, about="[bold]raw[/bold]")
    text = shown(run(Outcome(bench="one", rows=[row])))
    assert "autogen-ext[grpc] / raw" in text
    assert "[bold]raw[/bold]" in text


def test_it_says_how_many_floors_hold_how_long_each_took_and_what_broke() -> None:
    text = shown(run(BOTH, Outcome(bench="two", seconds=2.5, broke="it fell"), seconds=4.0))
    assert "one 1.0 s, two 2.5 s; 4 s in all" in text
    assert "1 of 2 floors hold; figures in bench.json" in text
    assert "broken, see above: two" in text


def test_a_run_that_takes_longer_than_it_should_is_told() -> None:
    assert "more than the 60 s" in shown(run(BOTH, seconds=61.0))
    assert "more than" not in shown(run(BOTH, seconds=59.0))


def test_others_at_work_are_noise() -> None:
    assert busy((100, 200), (195, 300), 0.1) == []
    assert busy((100, 200), (150, 300), 1.25) == ["others use 50% of the processors (load 1.2)"]
    assert busy((100, 200), (100, 200), 9.0) == [], "no time has passed"


def test_a_clock_that_is_unsteady_is_noise() -> None:
    assert unsteady([1.0] * 100) == []
    assert unsteady([1.0] * 95 + [9.0] * 5) == [], "a few interruptions are everywhere"
    assert unsteady([1.0] * 80 + [2.0] * 20) == ["the same work takes up to 2.0x as long"]


def test_a_busy_machine_is_told_before_anything_is_measured() -> None:
    assert "machine is busy, figures are noisy: load 3.0 on 2 cores" in shown(run(noise="load 3.0 on 2 cores"))
    assert "busy" not in shown(run())


def test_the_file_has_every_figure_and_is_read_again(tmp_path: Path) -> None:
    results, path = run(BOTH, Outcome(bench="two", broke="it fell")), tmp_path / "bench.json"
    results.write(path)
    whole = json.loads(path.read_text())
    assert (whole["schema"], whole["quick"], whole["seed"], whole["machine"]["cpus"]) == (1, True, 5, 2)
    good, missed, told = whole["benches"][0]["rows"]
    assert [good["passed"], missed["passed"], told["passed"]] == [True, False, True]
    assert (good["figure"], good["least"], good["most"], good["target"]["floor"]) == (0.75, 0.7, 0.9, 1.0)
    assert (missed["ours"]["here"], missed["base"]["figure"], told["target"]["floor"]) == (9e-6, 3e-6, None)
    assert Results.read(path) == results


def test_the_figures_of_a_run_stand_in_the_documentation() -> None:
    text = f"before\n{BEGIN}former\n{END}after\n"
    results = run(BOTH, noise="load 3.0 on 2 cores")
    new = renewed(text, results)
    assert renewed(new, results) == new
    assert "former" not in new
    assert new.startswith("before\n")
    assert new.endswith("after\n")
    assert "| one | good / raw | 0.750 x | 0.700 to 0.900 | ≤ 1 | ≤ 0.5 | holds |" in new
    assert "| one | missed a second | 108k /s |  | ≥ 200k |  | **missed** |" in new
    assert "load 3.0 on 2 cores" in new


def test_neighbours_stand_in_a_table_of_their_own() -> None:
    rows = [
        Row(
            target=Target(name=f"{name}, {what}: over raw"),
            figure=ratio,
            about=about,
            ours=Side(figure=0.0, here=1e-6, server=2e-6),
        )
        for name, what, ratio, about in (
            ("Other", "1 in flight", 3.9, "1,800 µs, raw 442 µs"),
            ("ask", "1 in flight", 0.6, "260 µs, raw 442 µs"),
            ("Other", "64 in flight", 0.054, "812/s, raw 15,000/s"),
            ("ask", "64 in flight", 2.0, "30,000/s, raw 15,000/s"),
            ("Other's auction", "50 bidders", 300.0, "135.00 ms"),
            ("Other's step", "1 run in flight", 5.9, "2,100 µs, raw 442 µs"),
            ("Other's step", "64 runs in flight", 0.02, "400/s, raw 15,000/s"),
        )
    ]
    text = f"{BEGIN}kept\n{END}{BESIDE}former\n{BESIDE_END}"
    new = renewed(text, run(Outcome(bench="beside_other", rows=rows)))
    ask, other = (
        new.index("| ask | 0.600x | 2.00x | 260 µs; 30,000/s | 3 µs |"),
        new.index("| Other | 3.90x | 0.0540x | 1,800 µs; 812/s | 3 µs |"),
    )
    assert ask < other
    assert "| Other's auction | 300x | 135.00 ms | 3 µs |" in new
    step = new.index("| Other's step | 5.90x | 0.0200x | 2,100 µs; 400/s | 3 µs |")
    assert other < new.index("| durable steps |") < step
    assert "former" not in new
    assert "kept" in new
    assert "former" in renewed(text, run(BOTH)), "a run without neighbours leaves theirs alone"


def test_the_documentation_has_a_place_for_figures() -> None:
    assert "| one | good / raw |" in renewed(DOCUMENT.read_text(encoding="utf-8"), run(BOTH))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 1}'])
def test_a_file_of_another_kind_is_not_compared_with(tmp_path: Path, text: str) -> None:
    (tmp_path / "bench.json").write_text(text)
    with pytest.raises((ValueError, msgspec.MsgspecError)):
        Results.read(tmp_path / "bench.json")


def test_a_file_of_another_schema_is_not_compared_with(tmp_path: Path) -> None:
    run(schema=0).write(tmp_path / "bench.json")
    with pytest.raises(ValueError, match="schema 0, not 1"):
        Results.read(tmp_path / "bench.json")


def test_the_change_against_an_earlier_run_stands_behind_the_row() -> None:
    earlier = Row(target=GOOD.target, figure=1.5)
    text = shown(run(BOTH), before=run(Outcome(bench="one", rows=[earlier])))
    line = next(line for line in text.splitlines() if "good" in line)
    assert line.split("pass")[1].split() == ["1.50,", "-50%"]
    assert next(line for line in text.splitlines() if "missed" in line).endswith("new")


def test_quick_and_full_rounds_are_compared_with_a_warning() -> None:
    full = run(BOTH)
    full.quick = False
    assert "quick and full differ" in shown(run(BOTH), before=full)
    assert "quick and full differ" not in shown(run(BOTH), before=run(BOTH))


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0.29649, "0.296"), (0.5, "0.500"), (2.0, "2.00"), (9.996, "10.0"), (12.34, "12.3"), (99.96, "100"),
        (1234.0, "1,234"), (9_994.0, "9,994"), (9_996.0, "10.0k"), (12_345.0, "12.3k"), (108_345.0, "108k"),
        (999_600.0, "1.00M"), (1_234_567.0, "1.23M"), (0.0, "0.00"), (-12.34, "-12.3"),
    ],
)  # fmt: skip
def test_a_figure_has_three_digits(number: float, words: str) -> None:
    assert figure(number) == words


def test_the_machine_says_what_the_figures_depend_on() -> None:
    found = facts()
    assert found.keys() == MACHINE.keys()
    assert all(found.values())
