"""Text from outside, made fit for a terminal: nothing in it acts, and its width is known.

Questions, completions and reasons may hold escape sequences that would move the cursor, rename the
window or turn the reading direction. Whatever is printed goes through `visible`. Widths are those
of rich's tables (`rich.cells`), the one part of it that loads in a few milliseconds.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence
from itertools import zip_longest

from rich.cells import cell_len, chop_cells, set_cell_size

UNSEEN = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
"""Unicode categories without a sign of their own."""
JOINERS = "\u200c\u200d"
"""Without a sign of their own, yet part of how words are written in several scripts."""
GAP = "  "
"""Between two columns of a table."""


def visible(text: str) -> str:
    """The same text with every character that would act on a terminal replaced by one that shows
    it: a newline by a space, an escape by its picture.
    """
    return "".join(_sign(character) for character in text)


def safe(text: str) -> str:
    """Several lines made visible; what ends a line stays."""
    return "\n".join(map(visible, text.split("\n")))


def clip(text: str, width: int) -> str:
    """As much of a visible text as fits, with an ellipsis where some of it did not."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(0, width - 1)).rstrip() + "…"


def wrap(text: str, width: int, most: int) -> list[str]:
    """A visible text in lines of at most this width, broken at spaces where there are some; what
    does not fit into `most` lines is clipped.
    """
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if cell_len(longer) <= width:
            lines[-1:] = [longer]
        else:
            lines += chop_cells(word, width)
    if len(lines) > most:
        lines[most - 1 :] = [clip(" ".join(lines[most - 1 :]), width)]
    return lines or [""]


def text_table(*blocks: Sequence[Sequence[str]], right: Collection[int] = ()) -> str:
    """Rows of cells made visible, in columns as wide as their widest cell, a rule between blocks; a
    header is a block of one row.

    Columns numbered in `right` are aligned there, the others on the left. A row may end early: its
    last cell then runs on over the columns it has none in, and widens none.
    """
    shown = [[list(map(visible, row)) for row in block] for block in blocks if block]
    rows = [row for block in shown for row in block]
    most = max(map(len, rows), default=0)
    bound = (row if len(row) == most else row[:-1] for row in rows)
    widths = [max(map(cell_len, cells)) for cells in zip_longest(*bound, fillvalue="")]
    rule = "\n" + "-" * (sum(widths) + len(GAP) * (most - 1)) + "\n"
    return rule.join("\n".join(_row(row, widths, right) for row in block) for block in shown)


def _row(cells: Sequence[str], widths: Sequence[int], right: Collection[int]) -> str:
    padded = []
    for place, (cell, width) in enumerate(zip(cells, widths, strict=False)):
        space = " " * (width - cell_len(cell))
        padded.append(space + cell if place in right else cell + space)
    return GAP.join(padded).rstrip()


def _sign(character: str) -> str:
    code = ord(character)
    if character in "\n\r\t":
        return " "
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    if unicodedata.category(character) in UNSEEN and character not in JOINERS:
        return f"\\u{code:04x}"
    return character
