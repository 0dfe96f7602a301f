"""The short form of `make soak`: each kind of fault once, and nothing of it in what was trained."""

from __future__ import annotations

from pathlib import Path

import pytest
from attack import drawn_plan
from soak import Verdict, soak, soak_config

from videothinker.config.settings import VideoConfig
from videothinker.mini import SHIPPED_BASE

STEPS = 24
KILLS = {"rollout": 1, "scorer": 1, "learner": 1, "driver": 1}


@pytest.fixture(scope="module")
def verdict(
    mini_world: Path,
    mini_video: VideoConfig,
    tmp_path_factory: pytest.TempPathFactory,
) -> Verdict:
    """One worker, for a while two; killed, stopped, resumed, and compared with a quiet run."""
    out = tmp_path_factory.mktemp("soak")
    config = soak_config(
        SHIPPED_BASE,
        mini_world,
        out / "clips",
        mini_video,
        steps=STEPS,
        prompts_per_step=2,
        workers=1,
    )
    return soak(config, out, drawn_plan(STEPS, seed=3, kills=KILLS, stops=1, scales=(2, 1)))


def test_it_was_attacked_in_every_way_and_recovered_each_time(verdict: Verdict) -> None:
    assert verdict.kills == KILLS
    assert verdict.stops == {"rollout": 1}
    assert verdict.scaled == [2, 1]
    assert {"scorer", "learner", "driver", "rollout"} <= verdict.recovery_seconds.keys()


def test_every_prompt_was_trained_once_an_epoch_and_in_order(verdict: Verdict) -> None:
    assert verdict.steps == STEPS
    assert verdict.prompts > verdict.questions  # so there was a second epoch
    assert (verdict.lost, verdict.repeated, verdict.in_order) == (0, 0, True)


def test_it_learned_bit_for_bit_what_the_undisturbed_run_learned(verdict: Verdict) -> None:
    assert verdict.weights_moved > 0
    assert verdict.weights_equal
    assert verdict.metrics_equal


def test_the_killed_driver_left_no_process_behind(verdict: Verdict) -> None:
    assert verdict.left_behind == 0
