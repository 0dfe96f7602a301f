"""The check of a GPU goes on whatever a part does, and says how each ended."""

from __future__ import annotations

import sys
import time

import psutil
from gpu_check.__main__ import PARTS, Outcome, found_by, page

FINDING = '{"passed": true, "said": "well", "figures": {"rate": 1.5}}'


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_the_last_line_is_the_finding() -> None:
    found = found_by(python(f"print('noise'); print('{FINDING}')"), 20)
    assert found == {"passed": True, "said": "well", "figures": {"rate": 1.5}}


def test_a_part_that_does_not_end_is_ended_with_what_it_started() -> None:
    code = (
        "import subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(4321)'])\n"
        "time.sleep(4321)"
    )
    found = found_by(python(code), 2)
    assert (found["passed"], found["said"]) == (False, "not done after 2 s")
    time.sleep(0.2)
    left = [one for one in psutil.process_iter(["cmdline"]) if "time.sleep(4321)" in str(one.info)]
    assert left == []


def test_a_part_that_fails_says_why() -> None:
    found = found_by(python("raise RuntimeError('no such kernel')"), 20)
    assert (found["passed"], found["said"]) == (False, "RuntimeError: no such kernel")


def test_a_part_that_says_nothing_has_not_passed() -> None:
    for code in ("", "print('done')", "print('[1]')"):
        found = found_by(python(code), 20)
        assert (found["passed"], found["said"]) == (False, "it ended without a finding")


def test_the_page_has_a_line_a_part_with_its_verdict() -> None:
    outcomes = [
        Outcome(part="one", asks="?", passed=True, said="well", figures={"rate": 1.234}, seconds=3),
        Outcome(part="two", asks="?", passed=False, said="gone", figures={}, seconds=4),
    ]
    text = page(outcomes, "cuda")
    assert "| one | pass | well | rate 1.23 | 3 |" in text
    assert "| two | FAIL | gone |  | 4 |" in text


def test_all_parts_together_take_no_more_than_twelve_minutes() -> None:
    assert sum(part.limit for part in PARTS) <= 12 * 60
