"""Lines, logs and the console."""

from __future__ import annotations

import errno
import io
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mesh.host.console import Console, OwnLines, escaped, shortened
from mesh.host.lines import LineSplitter
from mesh.host.process_log import ProcessLog, last_lines


@given(st.lists(st.binary(max_size=20), max_size=20))
def test_lines_are_the_same_however_they_arrive(pieces: list[bytes]) -> None:
    splitter = LineSplitter()
    lines = [line for piece in pieces for line in splitter.feed(piece)] + splitter.end()
    whole = b"".join(pieces).split(b"\n")
    assert lines == [line.removesuffix(b"\r") for line in (whole if whole[-1] else whole[:-1])]


@given(st.lists(st.binary(max_size=30), max_size=20))
def test_no_line_is_longer_than_allowed_and_no_byte_is_lost(pieces: list[bytes]) -> None:
    splitter = LineSplitter(longest=7)
    lines = [line for piece in pieces for line in splitter.feed(piece)] + splitter.end()
    assert all(len(line) <= 7 for line in lines)
    assert b"".join(lines).replace(b"\r", b"") == b"".join(pieces).replace(b"\n", b"").replace(b"\r", b"")


def test_a_log_turns_over_and_keeps_only_so_many_old_ones(tmp_path: Path) -> None:
    log = ProcessLog(tmp_path / "logs" / "p.log", max_bytes=10, kept=2)
    for number in range(8):
        log.write(b"line %d" % number)
    log.close()
    assert {path.name: path.read_text() for path in (tmp_path / "logs").iterdir()} == {
        "p.log.1": "line 6\nline 7\n",
        "p.log.2": "line 4\nline 5\n",
    }


def test_a_log_that_somebody_removed_is_begun_anew(tmp_path: Path) -> None:
    log = ProcessLog(tmp_path / "p.log")
    log.write(b"one")
    (tmp_path / "p.log").unlink()
    log.write(b"two")
    assert last_lines(tmp_path / "p.log", 5) == ["two"]
    log.close()


def test_a_log_goes_on_where_it_ended(tmp_path: Path) -> None:
    for text in (b"one", b"two"):
        log = ProcessLog(tmp_path / "p.log")
        log.write(text)
        log.close()
    assert last_lines(tmp_path / "p.log", 5) == ["one", "two"]
    assert last_lines(tmp_path / "p.log", 1) == ["two"]
    assert last_lines(tmp_path / "none.log", 1) == []


def test_prefixes_are_aligned_and_coloured_by_name() -> None:
    screen = io.StringIO()
    console = Console(screen, colour=True)
    console.expect(("a", "long-name"))
    console.line("a", "one")
    console.line("long-name", "two")
    assert screen.getvalue() == "\x1b[36ma         │\x1b[0m one\n\x1b[33mlong-name │\x1b[0m two\n"


def test_control_characters_never_reach_the_terminal() -> None:
    assert escaped("a\tb\x1b[2Jc\r\u202e") == "a\tb\\x1b[2Jc\\x0d\\x202e"


def test_json_log_lines_are_shortened_for_people_and_others_left_alone() -> None:
    line = '{"time":"t","event":"agent.call","process":"p","agent":"a","latency":0.12345,"level":"info","tags":["x"]}'
    assert shortened(line) == 'agent.call agent=a latency=0.123 tags=["x"]'
    assert shortened('{"event":"x","level":"error","message":"broke"}') == "ERROR x broke"
    assert shortened('{"no": "event"}') == '{"no": "event"}'
    assert shortened("{not json") == "{not json"


def test_a_console_whose_reader_went_away_is_silent() -> None:
    closed = io.StringIO()
    closed.close()
    console = Console(closed, colour=False)
    console.line("a", "one")
    console.line("a", "two")


class Full(io.StringIO):
    """A stream on a disk that is full until `room`."""

    room = False

    def flush(self) -> None:
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")


def test_a_console_on_a_full_disk_drops_lines_and_goes_on_when_there_is_room() -> None:
    screen = Full()
    console = Console(screen, colour=False)
    console.line("a", "one")
    console.say("two", loud=True)
    screen.room = True
    console.line("a", "three")
    assert screen.getvalue().endswith("a │ three\n")


def test_what_a_detached_host_says_itself_is_kept_small_and_apart_from_what_its_processes_say(tmp_path: Path) -> None:
    said = OwnLines(ProcessLog(tmp_path / "host.log", max_bytes=20, kept=1))
    for number in range(5):
        said.say(f"restart {number}", loud=True)
        said.line("worker", "not here")
    assert (tmp_path / "host.log.1").read_text() == "restart 2\nrestart 3\n"
    assert (tmp_path / "host.log").read_text() == "restart 4\n"
