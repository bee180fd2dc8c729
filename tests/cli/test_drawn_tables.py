"""Tables fit where they are shown, and lose nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mesh.cli.tables import draw


def test_columns_stand_under_their_headings() -> None:
    assert draw(["NAME", "LOAD"], [["a", "0.5"], ["longer", "1"]], 80).splitlines() == [
        "NAME     LOAD",
        "─────────────",
        "a        0.5",
        "longer   1",
    ]


def test_what_is_too_wide_is_folded_at_blanks() -> None:
    assert draw(["A", "WORDS"], [["1", "two words and more"]], 16).splitlines() == [
        "A   WORDS",
        "────────────────",
        "1   two words",
        "    and more",
    ]


def test_an_id_stays_whole_as_long_as_words_can_be_folded() -> None:
    assert draw(["ID", "WHY"], [["j" * 20, "four words of reason"]], 33).splitlines()[2:] == [
        "j" * 20 + "   four words",
        " " * 20 + "   of reason",
    ]


def test_wide_characters_take_two_columns() -> None:
    assert draw(["A", "B"], [["東京", "x"], ["abcd", "y"]], 80).splitlines()[2:] == ["東京   x", "abcd   y"]


def test_lines_within_a_cell_stay_lines() -> None:
    assert draw(["A", "B"], [["1\n2", "x"]], 80).splitlines()[2:] == ["1   x", "2"]


def test_columns_for_which_there_is_no_room_stand_below_their_row_and_names_stay_whole() -> None:
    job, why = "j" * 24, "nobody was there to do it"
    assert draw(["ID", "STATE", "OWNER", "WHY", "NOTE"], [[job, "failed", "vm-ship-1", why, "–"]], 50).splitlines() == [
        "ID                         STATE    OWNER",
        "─" * 45,
        f"{job}   failed   vm-ship-1",
        f"    why {why}",
    ]


cells = st.text(st.characters(codec="ascii", categories=("L", "N", "P")), max_size=40)


@given(st.lists(st.tuples(cells, cells, cells), max_size=5), st.integers(30, 120))
def test_nothing_is_lost_and_no_line_is_too_long(rows: list[tuple[str, str, str]], width: int) -> None:
    drawn = draw(["A", "B", "Ω"], rows, width)
    assert all(len(line) <= width for line in drawn.splitlines())
    shown = "".join(drawn.splitlines()[2:]).replace("ω", "")  # the heading of what stands below
    assert sorted(shown.replace(" ", "")) == sorted("".join(map("".join, rows)))
