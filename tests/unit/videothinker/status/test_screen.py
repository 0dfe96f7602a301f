"""The screen: true, safe, and as large as the terminal; whatever state the files are in."""

import fcntl
import json
import time
from pathlib import Path
from typing import Any

import builders
import numpy as np
import pytest
from builders import completion
from rich.cells import cell_len

from videothinker.run.directory import RunDirectory
from videothinker.status.latest_group import latest_group
from videothinker.status.life import life
from videothinker.status.screen import Screen, as_dict, screen, spark
from videothinker.status.snapshot import read_snapshot
from videothinker.types import ScoredGroup

CONFIG = """\
name: trial
stages:
- {name: bias, steps: 4, prompts_per_step: 2}
- {name: cdpo, steps: 10, prompts_per_step: 4}
"""
HOSTILE = "\x1b[2J\x1b]0;owned\x07 red"


def scored(question: str, texts: tuple[str, ...], accuracies: tuple[float, ...]) -> ScoredGroup:
    values = np.array(accuracies, np.float32)
    return ScoredGroup(
        group=builders.group(
            *[completion(text, version=3) for text in texts],
            about=builders.question(text=question, options=(), category="inferential"),
        ),
        rewards={"soft_accuracy": values, "format": np.ones_like(values)},
        advantages=values - values.mean(),
        anchor_logprobs=None,
    )


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """Half of its first stage is done."""
    run = RunDirectory.create(tmp_path / "run", CONFIG)
    for step in (1, 2):
        line = {"stage": "bias", "step": step, "reward": step / 4, "samples": 16, "tokens": 320}
        run.record({**line, "inferential_accuracy": step / 2, "seconds": {"total": 2.0}})
    all_right = scored("And before?", ("A was",), (1.0,))
    both = scored("What next?", ("never said", "A is"), (0.0, 1.0))
    run.rollouts("bias", 2, [all_right, both, all_right])
    run.status(state="training", stage="bias", step=2, steps=4, weights_version=3)
    return run


def shown(path: Path, **size: Any) -> list[str]:
    snapshot = read_snapshot(path)
    return screen(snapshot, life(snapshot), latest_group(snapshot), Screen(**size))


def data(path: Path) -> dict[str, Any]:
    snapshot = read_snapshot(path)
    return as_dict(snapshot, life(snapshot), latest_group(snapshot))


def silent(run: RunDirectory, seconds: float, **fields: object) -> Path:
    """Its files as they stand that long after the driver's last word."""
    run.status(**fields)
    status = json.loads((run.path / "status.json").read_text())
    earlier = time.time() - seconds
    (run.path / "status.json").write_text(json.dumps({**status, "updated": earlier}))
    metrics = run.path / "metrics.jsonl"
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    metrics.write_text("".join(json.dumps({**line, "time": earlier}) + "\n" for line in lines))
    return run.path


def test_a_live_run_shows_stages_pace_figures_and_texts(run: RunDirectory) -> None:
    text = "\n".join(shown(run.path))
    assert text.startswith("trial: training stage bias ")
    assert "█░" in text
    assert "2/4  now" in text
    assert "0/10  to come" in text
    assert "30 steps/min, 8 samples/s, 160 tokens/s" in text
    assert "about 4 s for this stage, 44 s for the run" in text  # a cdpo step has twice the prompts
    assert "version 3" in text
    assert "What next? (inferential, right: A)" in text
    assert "right +2.00    A is" in text
    assert "wrong +1.00    never said" in text


def test_the_last_validation_is_a_line(run: RunDirectory) -> None:
    assert not any(line.startswith("validation") for line in shown(run.path))
    for step, mean in ((10, 0.25), (20, 0.5)):
        shares = {"observational": {"mean": 0.9}, "inferential": {"mean": None}}
        run.validated({"stage": "cdpo", "step": step, **shares, "overall": {"mean": mean}})
    [line] = [line for line in shown(run.path) if line.startswith("validation")]
    assert line.split(maxsplit=1)[1] == "after step 20 of cdpo: observational 90%, overall 50%"
    assert [one["step"] for one in data(run.path)["validations"]] == [10, 20]


def test_a_stage_that_ended_early_is_done_with_the_steps_it_made(run: RunDirectory) -> None:
    (stage,) = [one for one in data(run.path)["stages"] if one["name"] == "bias"]
    run.summary({"stages": [{"name": "bias", "steps": 2}]})
    (ended,) = [one for one in data(run.path)["stages"] if one["name"] == "bias"]
    assert (ended["done"], ended["state"]) == (2, "done")
    assert ended["steps"] == stage["steps"]


def test_workers_and_losses_are_told(run: RunDirectory) -> None:
    run.status(restarts={"rollout": 2})
    targets = [{"targets": ["127.0.0.1:1"], "labels": {"role": "rollout", "index": "0"}}]
    (run.path / "prometheus_targets.json").write_text(json.dumps(targets))
    run.event({"event": "started", "role": "rollout", "process": "rollout-1"})
    run.event({"event": "lost", "role": "rollout", "process": "rollout-1", "reason": "killed"})
    text = "\n".join(shown(run.path))
    assert "rollout 1 (2 lost)" in text
    assert "rollout-1, not replaced yet: killed" in text
    run.event({"event": "started", "role": "rollout", "process": "rollout-1"})
    assert "rollout-1, replaced: killed" in "\n".join(shown(run.path))


ROLES = {
    "anchor": {"memory_gb": 0.61, "memory_peak_gb": 0.7, "threads": 1, "tokens_per_second": 812.4},
    "learner": {
        "memory_gb": 38.21,
        "memory_peak_gb": 41.0,
        "utilisation": 0.92,
        "threads": 16,
        "tokens_per_second": 5210.0,
        "mfu": 0.412,
    },
}


def test_what_each_role_holds_and_does_is_a_line(run: RunDirectory) -> None:
    line = {"stage": "bias", "step": 3, "seconds": {"total": 2.0}, "sync_gb_per_second": 2.06}
    run.record({**line, "roles": ROLES})
    text = "\n".join(shown(run.path, width=80, height=24))
    assert "scorer         0.61 GB (peak 0.7), 1 thread, 812 tokens/s\n" in text
    learner = "learner        38.2 GB (peak 41), 92% busy, 16 threads, 5,210 tokens/s, MFU 41%\n"
    assert learner in text
    assert "version 3, 2.06 GB/s to an engine" in text
    found = data(run.path)
    assert (found["roles"], found["sync_gb_per_second"]) == (ROLES, 2.06)
    run.status(state="interrupted")
    assert "16 threads" not in "\n".join(shown(run.path))


@pytest.mark.parametrize("roles", [None, 3, {"learner": 3}, {"learner": {"memory_gb": "much"}}])
def test_a_run_without_such_figures_is_shown_without_them(run: RunDirectory, roles: Any) -> None:
    before = shown(run.path, width=100)
    run.record({"stage": "bias", "step": 2, "reward": 0.5, "roles": roles})
    assert len(shown(run.path, width=100)) <= len(before)
    assert "GB" not in "\n".join(shown(run.path))


def test_states_that_are_damaged_are_shown_with_what_is_wrong(run: RunDirectory) -> None:
    assert "damaged" not in "\n".join(shown(run.path))
    state = {"state": "stages/bias/state/step_000005", "reason": "progress.json is missing"}
    run.status(damaged=state, passed_over=[state, {"state": "another", "reason": "gone"}, 3])
    [line] = [line for line in shown(run.path, width=160) if line.startswith("damaged")]
    assert line.endswith("state/step_000005: progress.json is missing; another: gone")
    run.status(damaged=3, passed_over=3)
    assert "damaged" not in "\n".join(shown(run.path))


def test_the_screen_fits_the_smallest_terminal_and_uses_a_larger_one(run: RunDirectory) -> None:
    run.skip("bias", 1, "q", "no frame could be decoded " * 5)
    run.rollouts("bias", 2, [scored("why " * 80, ("wrong " * 80, "right " * 80), (0.0, 1.0))])
    run.status(guard={"action": "lower", "step": 2, "cause": "cause " * 30})
    small = shown(run.path, width=80, height=24)
    assert len(small) <= 24
    assert max(map(cell_len, small)) <= 80
    large = shown(run.path, width=160, height=60)
    assert 120 < max(map(cell_len, large)) <= 160


@pytest.mark.parametrize("width", [20, 41])
def test_even_a_narrow_terminal_is_not_overrun(run: RunDirectory, width: int) -> None:
    lines = shown(run.path, width=width, height=10)
    assert max(map(cell_len, lines)) <= width
    assert len(lines) == 10


def test_nothing_that_a_model_or_a_file_says_acts_on_the_terminal(run: RunDirectory) -> None:
    run.rollouts("bias", 2, [scored(HOSTILE, (HOSTILE, HOSTILE), (0.0, 1.0))])
    run.skip("bias", 1, "q", HOSTILE)
    run.event({"event": "lost", "role": HOSTILE, "process": HOSTILE, "reason": HOSTILE})
    run.status(state=HOSTILE, stage=HOSTILE, restarts={HOSTILE: 1}, guard={"cause": HOSTILE})
    (run.path / "config.yaml").write_text(
        json.dumps({"name": HOSTILE, "stages": [{"name": HOSTILE}]})
    )
    text = "".join(shown(run.path))
    assert text.isprintable()
    assert "␛[2J" in text


def test_a_terminal_without_unicode_gets_ascii(run: RunDirectory) -> None:
    run.rollouts("bias", 2, [scored("红色?", ("ü",), (1.0,))])
    text = "\n".join(shown(run.path, plain=True))
    assert text.isascii()
    assert "\\u7ea2\\u8272?" in text


def test_a_run_that_has_just_begun(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run", CONFIG)
    assert shown(run.path)[0].startswith("trial: has just begun")
    assert "0/4  to come" in "\n".join(shown(run.path))


def test_a_finished_run_has_no_pace_and_nothing_to_do(run: RunDirectory) -> None:
    run.status(state="finished", stage="cdpo", step=10)
    run.summary({"stages": [{"name": "bias"}, {"name": "cdpo"}]})
    text = "\n".join(shown(run.path))
    assert text.startswith("trial: finished")
    assert "10/10  done" in text
    assert "steps/min" not in text
    assert "--resume" not in text


def test_a_failed_run_shows_its_error_and_how_to_go_on(run: RunDirectory) -> None:
    run.status(state="failed", error="no space left on the disk. Free some")
    text = " ".join(" ".join(shown(run.path)).split())
    assert "failed at step 2 of stage bias" in text
    assert "Free some Go on with: videothinker train --resume" in text
    assert "2/4 stopped here" in text


def test_a_collapsed_run_is_not_told_to_go_on_as_it_would_collapse_again(run: RunDirectory) -> None:
    run.status(state="failed", error="Start another run", guard={"action": "stop", "step": 2})
    text = "\n".join(shown(run.path))
    assert "Start another run" in text
    assert "--resume" not in text


@pytest.mark.parametrize("state", ["interrupted", "stopped"])
def test_a_run_that_was_ended_says_how_to_go_on(run: RunDirectory, state: str) -> None:
    run.status(state=state)
    assert f"trial: {state} at step 2 of stage bias" in shown(run.path)[0]
    assert any("--resume" in line for line in shown(run.path))


def test_a_driver_that_died_without_a_word_is_found_out(run: RunDirectory) -> None:
    (run.path / "driver.lock").touch()
    path = silent(run, 120, state="training")
    text = " ".join(shown(path))
    assert text.startswith("trial: died without a word")
    assert "status.json says 'training', but nothing heard for 2 min 0 s" in text
    assert "--resume" in text
    assert (data(path)["state"], data(path)["alive"]) == ("training", False)


def test_nor_is_it_taken_for_alive_because_the_clock_was_set_back(run: RunDirectory) -> None:
    (run.path / "driver.lock").touch()
    assert data(silent(run, -3600, state="training"))["alive"] is False


def test_a_driver_in_a_long_step_is_not_called_dead(run: RunDirectory) -> None:
    with (run.path / "driver.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        path = silent(run, 1200, state="training")
        assert data(path)["alive"] is True
        assert "nothing heard for 20 min" in shown(path)[0]


def test_a_run_that_is_gone_on_with_is_not_over(run: RunDirectory) -> None:
    run.status(state="interrupted")
    with (run.path / "driver.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert data(run.path)["alive"] is True
    assert data(run.path)["alive"] is False


def test_where_nobody_can_tell_the_screen_says_so(run: RunDirectory) -> None:
    path = silent(run, 3600, state="training")
    assert data(path)["alive"] is None
    assert any("cannot be told from here" in line for line in shown(path))


def test_torn_and_foreign_files_cost_only_what_they_held(run: RunDirectory) -> None:
    with (run.path / "metrics.jsonl").open("ab") as file:
        file.write(b'{"stage": "bias", "step": 3, "rew\n\xff\xfe\n[1]\n{"step": null}\n{"stage"')
    (run.path / "status.json").write_text('{"state": "trai')
    (run.path / "summary.json").write_text("[")
    (run.path / "rollouts" / "bias-000002.parquet").write_bytes(b"PAR1")
    (run.path / "prometheus_targets.json").write_text('[{"labels": 3}, 7, {"targets": null}]')
    text = "\n".join(shown(run.path))
    assert "not readable: status.json, summary.json" in text
    assert "reward" in text
    assert "What next?" not in text


def test_a_file_that_holds_something_else_is_not_readable(run: RunDirectory) -> None:
    (run.path / "status.json").write_text("[1]")
    (run.path / "prometheus_targets.json").write_text('{"labels": {}}')
    (run.path / "config.yaml").write_text("only words")
    expected = "not readable: status.json, config.yaml, prometheus_targets.json"
    assert expected in shown(run.path, width=120)


def test_the_data_keep_what_the_run_says_and_add_the_rest(run: RunDirectory) -> None:
    found = json.loads(json.dumps(data(run.path)))
    assert (found["state"], found["step"], found["weights_version"]) == ("training", 2, 3)
    assert found["alive"] is True
    assert [stage["state"] for stage in found["stages"]] == ["current", "to come"]
    assert found["pace"]["steps_per_minute"] == pytest.approx(30)
    assert found["recent"]["reward"] == [0.25, 0.5]
    assert found["group"]["wrong"] == {"text": "never said", "reward": 1.0}


def test_a_sparkline_rises_with_its_values_and_leaves_gaps() -> None:
    assert spark([0.0, None, 0.5, 1.0], 0.0, 1.0) == "▁ ▅█"
    assert spark([3.0, 3.0], 3.0, 3.0) == "▁▁"
    assert spark([0.0, 1.0], 0.0, 1.0, plain=True).isascii()
