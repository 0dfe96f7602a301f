"""What a run of many steps costs whoever looks at it or goes on with it.

Bounds are far above what was measured, and far below what grew with the steps (RESULTS.md).
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from builders import shipped_config
from long_runs import STAGE, long_run

from videothinker.files import each_line, last_lines, read_lines
from videothinker.method.guard import StageGuard
from videothinker.report.page import write_report
from videothinker.report.timeline import happenings
from videothinker.run.directory import RunDirectory
from videothinker.status.snapshot import MOST_STEPS, read_snapshot
from videothinker.status.watch import look

SHORT, LONG = 500, 20_000


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    folder = tmp_path_factory.mktemp("long")
    return {steps: long_run(folder / str(steps), steps).path for steps in (SHORT, LONG)}


def seconds(work: Callable[[], object]) -> float:
    """Of this processor, the second time."""
    work()
    started = time.process_time()
    work()
    return time.process_time() - started


def peak_mb(work: Callable[[], object]) -> float:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def test_one_look_takes_as_long_as_at_a_short_run(runs: dict[int, Path]) -> None:
    short, long = (seconds(lambda run=run: look(run)) for run in runs.values())
    assert long < 4 * short + 0.1


def test_the_page_of_a_long_run_is_made_of_what_it_has_room_for(runs: dict[int, Path]) -> None:
    short, long = (seconds(lambda run=run: write_report(run)) for run in runs.values())
    assert long < 20 * short  # forty times as many steps; 6 times was seen
    assert (runs[LONG] / "report.html").stat().st_size < 600_000
    assert "room for one step in 5" in (runs[LONG] / "report.html").read_text()
    assert "room for one step" not in (runs[SHORT] / "report.html").read_text()


def test_of_a_long_run_each_stage_has_its_first_and_last_step(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run", "name: long\n")
    steps = {"brief": 2, "long": 2 * MOST_STEPS + 2, "last": 3}
    for stage, count in steps.items():
        with (run.path / "metrics.jsonl").open("a") as file:
            file.writelines(
                f'{{"step": {step}, "stage": "{stage}"}}\n' for step in range(1, count + 1)
            )
    snapshot = read_snapshot(run.path)
    places = [(line["stage"], line["step"]) for line in snapshot.metrics]
    assert snapshot.every == 3
    assert len(places) < MOST_STEPS
    assert {(stage, step) for stage, count in steps.items() for step in (1, count)} <= {*places}


def test_who_goes_on_holds_no_more_of_a_long_run(tmp_path: Path) -> None:
    run, stage = long_run(tmp_path / "run", 2_000), shipped_config().stages[1]

    def resume() -> None:
        RunDirectory.open(run.path).forget_after(STAGE, 1_990)
        StageGuard.replay(stage, each_line(run.path / "metrics.jsonl"))

    assert peak_mb(resume) < 2  # its lines are 4 MB, and 20 once they are read
    assert len(read_lines(run.path / "metrics.jsonl")) == 1_990
    assert read_lines(run.path / "metrics.jsonl")[-1]["step"] == 1_990


def test_the_newest_lines_are_read_from_the_end(tmp_path: Path, runs: dict[int, Path]) -> None:
    file = runs[SHORT] / "metrics.jsonl"
    for count in (1, 3, SHORT, SHORT + 1):
        assert last_lines(file, count) == read_lines(file)[-count:]
    torn = tmp_path / "torn.jsonl"
    torn.write_text('{"a": 1}\n{"a": "' + 10_000 * "x" + '"}\n{"a"')
    assert last_lines(torn, 2) == read_lines(torn)
    assert last_lines(tmp_path / "none.jsonl", 2) == []
    assert peak_mb(lambda: last_lines(runs[LONG] / "metrics.jsonl", 5)) < 0.5


def test_many_losses_are_told_in_time() -> None:
    kinds = ("lost", "started", "served")
    events = [
        {"time": float(moment), "event": kind, "process": f"rollout-{moment % 64}"}
        for moment in range(10_000)
        for kind in kinds
    ]
    ends = [float(moment) for moment in range(50_000)]
    assert seconds(lambda: happenings(events, ends)) < 2  # minutes, if each looks at all the others
