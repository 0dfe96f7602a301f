"""What is compared with the table, on a small package of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from contract.checking import faults
from contract.table import table

CODE = """
class Kept:
    declared: int
    def __init__(self):
        self.assigned = 1

def handed(**options): pass
def gets(first, second=2): pass
def taken(**options): return options["inside"]
def wrapped(function):
    def around(*args, **kwargs): return function(*args, **kwargs)
    return around
@wrapped
def hidden(first, second=2): pass
def plain(first, second=2, *, third=3): pass
"""


@pytest.fixture(autouse=True)
def package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A package to rely on, named `theirs`."""
    (tmp_path / "theirs.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "theirs", raising=False)


@pytest.mark.parametrize(
    "line",
    [
        "theirs.Kept.declared",
        "theirs.Kept.assigned",
        "theirs.plain(first, third=...)",
        "theirs.plain(first, second, third=3)",
        "theirs.plain(first=..., second=2)",
        "theirs.handed(first=..., second=2) >> theirs.gets",
        "theirs.taken(inside=...)",
        "theirs.hidden(first, second=2)",
    ],
)
def test_what_is_there_passes(line: str) -> None:
    assert faults(table({"ours.py": line})) == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("theirs.gone", "ours.py: theirs.gone is not there"),
        ("theirs.Kept.gone", "ours.py: theirs.Kept.gone is not there"),
        ("nowhere.name", "ours.py: nowhere.name is not there"),
        ("theirs.plain(second, first)", "theirs.plain begins with"),
        ("theirs.plain(first, second, third)", "theirs.plain begins with"),
        ("theirs.plain(first, fourth=...)", "theirs.plain takes no fourth"),
        ("theirs.plain(first, second=5)", "theirs.plain has second=2, and we trust in 5"),
        ("theirs.plain(second=...)", "theirs.plain asks for first"),
        ("theirs.hidden(first, third=...)", "theirs.hidden takes no third"),
        ("theirs.taken(outside=...)", "theirs.taken takes no outside"),
        ("theirs.handed(first=..., third=...) >> theirs.gets", "theirs.handed takes no third"),
        ("theirs.handed(first=..., second=5) >> theirs.gets", "has second=2, and we trust in 5"),
    ],
)
def test_what_is_not_as_the_table_says_is_a_fault(line: str, said: str) -> None:
    [fault] = faults(table({"ours.py": line}))
    assert said in fault
