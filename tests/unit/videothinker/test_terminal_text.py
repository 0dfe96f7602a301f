"""Foreign text on a terminal: it is read, it never acts."""

import pytest
from rich.cells import cell_len

from videothinker.terminal_text import clip, safe, text_table, visible, wrap


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x1b]0;title\x07", "␛[2J␛]0;title␇"),
        ("a\nb\tc\rd", "a b c d"),
        ("\x7f\x9b31m", "␡\\u009b31m"),
        ("\u202egnp.exe\u2066", "\\u202egnp.exe\\u2066"),
        ("\ud800 \u2028", "\\ud800 \\u2028"),
        ("Frage nach dem Würfel 红色 می‌خواهم", "Frage nach dem Würfel 红色 می‌خواهم"),
    ],
)
def test_what_would_act_is_shown_and_what_is_written_stays(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_several_lines_stay_several_and_nothing_else_acts() -> None:
    assert safe("a\n\x1b[1mb") == "a\n␛[1mb"


def test_wide_characters_count_twice_and_combining_ones_not_at_all() -> None:
    assert cell_len("红色") == 4
    assert cell_len("e\u0301") == 1


@pytest.mark.parametrize("width", [1, 2, 3, 7, 20])
@pytest.mark.parametrize(
    "text", ["红色方块移开之后会发生什么", "plain text of some length", "", "ab"]
)
def test_a_clipped_text_never_exceeds_its_width(text: str, width: int) -> None:
    assert cell_len(clip(text, width)) <= width
    assert clip(text, 100) == text


def test_a_clipped_text_says_that_there_was_more() -> None:
    assert clip("abcdef", 4) == "abc…"


def test_wrapping_keeps_every_word_and_breaks_those_that_do_not_fit() -> None:
    assert wrap("one two three", 8, 5) == ["one two", "three"]
    assert wrap("aaaaaaaa bb", 3, 5) == ["aaa", "aaa", "aa", "bb"]
    assert wrap("one two three four", 8, 2) == ["one two", "three f…"]
    assert wrap("", 8, 2) == [""]


def test_a_table_s_columns_are_as_wide_as_their_widest_cell_and_aligned_as_asked() -> None:
    rows = [("红色", "5", "a"), ("e\u0301", "10", "")]
    assert text_table([("name", "n", "x")], rows, right=[1]) == (
        "name   n  x\n-----------\n红色   5  a\ne\u0301     10"
    )


def test_nothing_in_a_table_s_cells_acts_or_moves_a_column() -> None:
    assert text_table([("\x1b[2J", "b"), ("a\nb", "c")]) == "␛[2J  b\na b   c"


def test_a_row_that_ends_early_runs_on_and_widens_no_column() -> None:
    rows = [("a", "one that is long"), ("bb", "two", "three")]
    assert text_table(rows) == "a   one that is long\nbb  two  three"


def test_a_table_of_nothing_is_empty() -> None:
    assert text_table([], []) == ""
