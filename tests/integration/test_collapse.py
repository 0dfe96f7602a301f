"""A policy that is pushed out of what it knows is stopped, and what it was before still stands."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from cli_process import Command

from cluster.loop.states import newest_state
from videothinker.config.kl import KLConfig
from videothinker.config.loading import to_yaml
from videothinker.config.settings import GuardConfig, RunConfig
from videothinker.files import read_lines

WINDOW = 3
STEPS = 24


@dataclass(frozen=True, kw_only=True, slots=True)
class Collapse:
    """A run that was made to collapse, when it is over."""

    run: Path
    code: int
    out: str
    err: str

    @property
    def message(self) -> str:
        """What the user is left with: the last line."""
        return self.err.splitlines()[-1]

    @property
    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = json.loads((self.run / "status.json").read_text())
        return status

    def means(self, key: str) -> dict[int, float]:
        """As the guard sees a reward: for the step that each window ends at, its mean."""
        each = [line[key] for line in read_lines(self.run / "metrics.jsonl")]
        return {end: fmean(each[end - WINDOW : end]) for end in range(WINDOW, len(each) + 1)}


@pytest.fixture(scope="module")
def collapse(
    run_config: RunConfig, taught_base: Path, tmp_path_factory: pytest.TempPathFactory
) -> Collapse:
    """Repelled from its own start by 3,000 times the paper's coefficient, a state every step.

    The rate is low enough that a window passes in which the policy still earns.
    """
    folder = tmp_path_factory.mktemp("collapse")
    cdpo = run_config.stages[1].model_copy(
        update={
            "steps": STEPS,
            "prompts_per_step": 8,
            "kl": KLConfig(direction="repel", anchor="base", coefficient=30.0),
            "guard": GuardConfig(window=WINDOW),
        }
    )
    learner = run_config.learner.model_copy(
        update={
            "learning_rate": 1e-4,
            "schedule": "constant",
            "gradient_checkpointing": False,
            "save_every": 1,
        }
    )
    config = run_config.model_copy(
        update={
            "out": folder / "run",
            "model": run_config.model.model_copy(update={"path": taught_base}),
            "data": run_config.data.model_copy(update={"validation": None}),
            "learner": learner,
            "stages": (cdpo,),
        }
    )
    file = folder / "config.yaml"
    file.write_text(to_yaml(config))
    code, out, err = Command("train", file).finish()
    return Collapse(run=config.out, code=code, out=out, err=err)


def test_a_collapse_ends_the_run_with_one_line_that_says_what_was_lost(collapse: Collapse) -> None:
    assert collapse.code == 1, collapse.err
    assert collapse.out == ""
    assert "Traceback" not in collapse.err
    assert f"the policy is collapsing: over the last {WINDOW} steps " in collapse.message
    lost = re.findall(r"(reward|format) was (\S+) after (\S+) at step (\d+)", collapse.message)
    assert lost
    for key, now, best, step in lost:
        means = collapse.means(key)
        assert float(now) == pytest.approx(means[max(means)], rel=0.01)
        assert float(best) == pytest.approx(max(means.values()), rel=0.01)
        assert float(best) == pytest.approx(means[int(step)], rel=0.01)


def test_the_message_names_the_divergence_and_what_to_set_instead(collapse: Collapse) -> None:
    assert "repulsion_ratio was " in collapse.message
    assert "stages.0.kl.coefficient below 30" in collapse.message
    assert "stages.0.guard.action=lower" in collapse.message


def test_the_status_says_that_the_guard_stopped_it_and_why(collapse: Collapse) -> None:
    lines = read_lines(collapse.run / "metrics.jsonl")
    assert len(lines) < STEPS
    assert collapse.status["state"] == "failed"
    assert collapse.status["error"] in collapse.message
    guard = collapse.status["guard"]
    assert (guard["stage"], guard["step"], guard["action"]) == ("cdpo", len(lines), "stop")
    assert guard["cause"] in collapse.message
    assert lines[-1]["guard"] == {"action": "stop", "cause": guard["cause"]}


def test_the_newest_state_is_whole_and_from_before_the_loss(collapse: Collapse) -> None:
    step, state = newest_state(collapse.run / "stages" / "cdpo")
    saved = sorted((collapse.run / "stages" / "cdpo" / "state").glob("step_*"))
    assert state == saved[-1]
    assert step < collapse.status["guard"]["step"]
    for key in ("reward", "format"):
        means = collapse.means(key)
        assert means[step] > 0.7 * max(means.values()), key
        assert means[step] > means[max(means)], key


def test_no_model_is_exported_from_a_collapse(collapse: Collapse) -> None:
    assert not (collapse.run / "stages" / "cdpo" / "model").exists()
