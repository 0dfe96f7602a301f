"""A run whose disk is full, and then broken where it can do without: it trains the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_process import Command
from failing_disk import BROKEN, FULL, fault, preloaded
from mini_worlds import MINI_VIDEO
from same_training import largest_difference, untimed
from soak import soak_config

from videothinker.config.loading import to_yaml
from videothinker.files import read_json
from videothinker.mini import SHIPPED_BASE

MODEL = Path("stages") / "cdpo" / "model"
SPARED = {
    "rollouts": "rollouts",
    "events.jsonl": "events",
    "prometheus_targets.json": ".prometheus_targets",
    "report.html": ".report",
}
"""What a run goes on without, and how the names begin under which it is written."""


@pytest.mark.slow  # the same faults without processes: unit/videothinker/test_failing_disk.py
def test_a_run_goes_on_after_a_full_disk_and_beside_a_broken_one(
    tmp_path: Path, mini_world: Path
) -> None:
    cache, file = tmp_path / "clips", tmp_path / "c.yaml"
    config = soak_config(
        SHIPPED_BASE, mini_world, cache, MINI_VIDEO, steps=3, prompts_per_step=2, workers=1
    )
    learner = config.learner.model_copy(update={"save_every": 1})
    told = config.model_copy(update={"learner": learner, "report_to": ("tensorboard",)})
    file.write_text(to_yaml(told))
    whole, bad = tmp_path / "whole", tmp_path / "bad"
    code, _, said = Command("train", file, f"out={whole}", f"data.cache={tmp_path}/own").finish()
    assert code == 0, said

    state = f"{bad}/stages/cdpo/state/.step_000002*"
    broken = preloaded(tmp_path) | fault(f"@({state}|{cache}/*)", "write", error=FULL)
    code, _, said = Command("train", file, f"out={bad}", environment=broken).finish()
    assert code == 1, said
    assert said.count(f"{bad}/stages/cdpo/state/step_000002: ") == 1, said
    assert "Traceback" not in said
    assert said.count("data.cache: decoded clips cannot be kept") == 1, said
    assert read_json(bad / "status.json")["state"] == "failed"
    assert [path.name for path in (bad / "stages/cdpo/state").iterdir()] == ["step_000001"]

    names = "|".join((*SPARED.values(), "tensorboard"))
    broken = preloaded(tmp_path) | fault(f"{bad}/@({names})*", "open", "write", error=BROKEN)
    code, _, said = Command("train", file, f"out={bad}", environment=broken).finish()
    assert code == 0, said
    for name in SPARED:
        assert said.count(f"the run goes on without its {name}: ") == 1, said
    assert "report_to: tensorboard failed, and the run goes on without it" in said
    assert largest_difference(whole / MODEL, bad / MODEL) == 0
    assert untimed(whole) == untimed(bad)
