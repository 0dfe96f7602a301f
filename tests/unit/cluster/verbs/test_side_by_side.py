"""Some commands at a time; what becomes of one is its own affair."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_process import MARK, heed_ctrl_c, living

from cluster.verbs.side_by_side import Command, run_all


def job(folder: Path, name: str, code: str) -> Command:
    return Command(name=name, arguments=("-c", code), log=folder / name / "log")


def test_a_job_that_fails_is_reported_with_its_last_words_and_the_others_are_finished(
    tmp_path: Path,
) -> None:
    ended: list[int] = []
    failures = run_all(
        [
            job(tmp_path, "bad", "print('first'); raise SystemExit('no room\\n')"),
            job(tmp_path, "good", "print('fine')"),
            job(tmp_path, "mute", "raise SystemExit(3)"),
        ],
        at_once=1,
        look=ended.append,
    )
    assert failures == {
        "bad": f"no room (exit code 1; all of it in {tmp_path / 'bad' / 'log'})",
        "mute": f"it said nothing (exit code 3; all of it in {tmp_path / 'mute' / 'log'})",
    }
    assert (tmp_path / "good" / "log").read_text() == "fine\n"
    assert ended[-1] == 3


def test_no_more_run_at_once_than_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "times"
    code = (
        "import time; start = time.time(); time.sleep(0.3);"
        f" open({str(file)!r}, 'a').write(f'{{start}} {{time.time()}}\\n')"
    )
    run_all([job(tmp_path, str(n), code) for n in range(4)], 2, lambda ended: None)
    spans = [tuple(map(float, line.split())) for line in file.read_text().splitlines()]
    assert len(spans) == 4
    for start, _ in spans:
        assert sum(begun <= start < over for begun, over in spans) <= 2


def started(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """A process that runs a job of a minute, once that has begun; and the job's mark."""
    mark = f"side-by-side-{os.getpid()}-{folder.name}"
    code = (
        "from pathlib import Path\n"
        "from cluster.verbs.side_by_side import Command, run_all\n"
        f"folder = Path({str(folder)!r})\n"
        "sleep = 'import time; print(1, flush=True); time.sleep(60)'\n"
        "run_all([Command(name='x', arguments=('-c', sleep), log=folder / 'log')], 1, print)\n"
    )
    root = Path(__file__).parents[4]
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, MARK: mark, "PYTHONPATH": str(root)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=heed_ctrl_c,
    )
    deadline = time.monotonic() + 20
    while not ((folder / "log").is_file() and (folder / "log").read_text()):
        assert time.monotonic() < deadline, "the job did not begin"
        time.sleep(0.05)
    return process, mark


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_nothing_outlives_who_started_it(tmp_path: Path, sign: signal.Signals) -> None:
    process, mark = started(tmp_path)
    process.send_signal(sign)
    process.wait(20)
    deadline = time.monotonic() + 10
    while living(mark) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert living(mark) == []
