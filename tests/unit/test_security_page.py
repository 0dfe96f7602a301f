"""SECURITY.md promises what tests show."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`([\w/]*test_\w+\.py)`", PAGE)))
TESTS = [file.as_posix() for file in (ROOT / "tests").rglob("test_*.py")]


@pytest.mark.parametrize("name", NAMED)
def test_every_test_that_the_page_names_is_there(name: str) -> None:
    assert [file for file in TESTS if file.endswith(f"/{name}")]


def test_the_page_names_the_one_that_shows_it_all_at_once() -> None:
    assert "tests/integration/test_hostile_run.py" in NAMED
