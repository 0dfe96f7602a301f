"""The page's account of time, losses and what was left out."""

from pathlib import Path
from typing import Any

import pytest

from videothinker.report.page import write_report
from videothinker.report.timeline import happenings, timeline_part
from videothinker.run.directory import RunDirectory
from videothinker.status.snapshot import read_snapshot

HOSTILE = "<script>alert('&')</script>"


def event(moment: float, kind: str, process: str, **more: Any) -> dict[str, Any]:
    return {"time": moment, "event": kind, "process": process, **more}


def told(*events: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one.kind, one.process) for one in happenings(events, (5, 105))]


BEGUN = (event(0, "started", "learner-0"), event(0, "started", "rollout-0"))


def test_a_loss_is_told_once_and_its_replacement_gives_the_time_it_took() -> None:
    lost = event(10, "lost", "rollout-0", reason="rollout-0, sampling: killed")
    [loss] = [
        one
        for one in happenings([*BEGUN, lost, event(41, "started", "rollout-0")], ())
        if one.kind == "lost"
    ]
    assert (loss.reason, loss.back_after) == ("sampling: killed", 31)


def test_scaling_is_told_in_both_directions() -> None:
    events = (event(10, "started", "rollout-1"), event(20, "left", "rollout-1"))
    assert told(*BEGUN, *events) == [("joined", "rollout-1"), ("left", "rollout-1")]


def test_a_new_driver_is_one_resumption_until_it_has_made_a_step() -> None:
    again = [event(100 + n, "started", f"rollout-{n}") for n in range(3)]
    later = event(106, "started", "rollout-3")
    assert told(*BEGUN, event(99, "started", "learner-0"), *again, later) == [
        ("resumed", "learner-0"),
        ("joined", "rollout-3"),
    ]


def test_a_stage_s_learner_that_makes_way_for_the_next_one_s_is_no_news() -> None:
    released = event(50, "released", "learner-0")
    assert told(*BEGUN, released, event(55, "started", "learner-0")) == []


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    run = RunDirectory.create(tmp_path / "run", "name: trial\n")
    for step in (1, 2):
        seconds = {"wait": 3.0, "generate": 2.5, "learn": 1.0, "sync": 0.5, "total": 5.0}
        run.record({"stage": "cdpo", "step": step, "seconds": seconds})
    return run


def page_of(run: RunDirectory) -> str:
    return " ".join(write_report(run.path).read_text().split())


def test_the_phases_of_a_step_add_up_to_it(run: RunDirectory) -> None:
    text = page_of(run)
    assert "</b> 5 s a step, 2 steps" in text
    assert (
        "waiting for samples 3 s, learning 1 s, weights to the engines 0.5 s, the rest 0.5 s"
        in text
    )
    assert "generate 2.5 s" in text


def test_what_the_roles_held_and_did_is_a_table_without_what_nobody_knows(
    run: RunDirectory,
) -> None:
    for step, (tokens, mfu) in enumerate(((900, 0.3), (1100, 0.5)), start=3):
        learner = {"memory_peak_gb": 40.0 + step, "tokens_per_second": tokens, "mfu": mfu}
        anchor = {"memory_peak_gb": 9.0, "tokens_per_second": 12.5, "utilisation": None}
        line = {"stage": "cdpo", "step": step, "seconds": {"total": 5.0}}
        run.record({**line, "roles": {"anchor": anchor, "learner": learner}})
    run.record({"stage": "cdpo", "step": 5, "seconds": {"total": 5.0}, "sync_gb_per_second": 2.5})
    text = page_of(run)
    assert "<th>stage</th><th>role</th><th>GB at its peak</th><th>tokens/s</th><th>MFU</th>" in text
    assert "<td>cdpo</td><td>learner</td><td>44</td><td>1,000</td><td>40%</td>" in text
    assert "<td>cdpo</td><td>scorer</td><td>9</td><td>12.5</td><td>-</td>" in text
    assert "took new weights at 2.5 GB/s" in text
    assert "card busy" not in text


def test_of_a_run_without_such_figures_there_is_no_table(run: RunDirectory) -> None:
    assert "held of its device" not in page_of(run)


def test_a_loss_is_marked_on_the_step_in_which_it_happened(run: RunDirectory) -> None:
    run.event({"event": "started", "process": "rollout-0"})
    run.event({"event": "lost", "process": "rollout-0", "reason": HOSTILE})
    run.record({"stage": "cdpo", "step": 3, "seconds": {"total": 60.0}})
    text = page_of(run)
    assert text.count('class="sign lost" d=') == 2  # for wide screens and for phones
    assert "<title>cdpo, step 3: rollout-0 lost: &lt;script&gt;" in text
    assert "<script" not in text


def test_what_went_wrong_is_listed_with_its_reasons(run: RunDirectory) -> None:
    run.event({"event": "lost", "process": "rollout-0", "reason": HOSTILE})
    for number in (1, 2):
        run.skip("cdpo", 1, f"q{number}", f"/data/video_{number}.mp4: no frame could be decoded")
    run.skip("cdpo", 2, HOSTILE, HOSTILE)
    text = page_of(run)
    assert "lost: 1 rollout" in text
    assert "left out: 3" in text
    assert "<td>2</td><td>/data/video_1.mp4: no frame could be decoded</td><td>q1</td>" in text
    assert "<script" not in text


def test_where_nothing_went_wrong_the_page_says_so(run: RunDirectory) -> None:
    text = page_of(run)
    assert "No process was lost." in text
    assert "No sample was left out." in text


def test_a_run_without_times_has_no_timeline(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run", "name: trial\n")
    run.record({"stage": "cdpo", "step": 1, "seconds": None})
    assert timeline_part(read_snapshot(run.path)) is None
