"""A run whose disk is full, and then broken where it can do without; and one that goes on from its
copy: they train the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cli_process import Command, wait_for
from failing_disk import BROKEN, FULL, fault, preloaded
from mini_worlds import MINI_VIDEO
from same_training import largest_difference, untimed
from soak import soak_config

from videothinker.config.loading import to_yaml
from videothinker.config.settings import RunConfig
from videothinker.files import atomic_write, read_json, read_lines
from videothinker.mini import SHIPPED_BASE
from videothinker.run.copies import RunCopy
from videothinker.run.directory import WISH

MODEL = Path("stages") / "cdpo" / "model"
SPARED = {
    "rollouts": "rollouts",
    "events.jsonl": "events",
    "prometheus_targets.json": ".prometheus_targets",
    "report.html": ".report",
}
"""What a run goes on without, and how the names begin under which it is written."""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, mini_world: Path) -> RunConfig:
    """Three steps with a state after each."""
    cache = tmp_path_factory.mktemp("whole") / "clips"
    config = soak_config(
        SHIPPED_BASE, mini_world, cache, MINI_VIDEO, steps=3, prompts_per_step=2, workers=1
    )
    learner = config.learner.model_copy(update={"save_every": 1})
    return config.model_copy(update={"learner": learner})


@pytest.fixture(scope="module")
def whole(config: RunConfig) -> Path:
    """A run that nothing happens to."""
    out, file = config.data.cache.with_name("run"), config.data.cache.with_name("c.yaml")
    file.write_text(to_yaml(config))
    code, _, said = Command("train", file, f"out={out}").finish()
    assert code == 0, said
    return out


@pytest.mark.slow  # the same faults without processes: unit/videothinker/test_failing_disk.py
def test_a_run_goes_on_after_a_full_disk_and_beside_a_broken_one(
    config: RunConfig, whole: Path, tmp_path: Path
) -> None:
    bad, cache, file = tmp_path / "bad", tmp_path / "clips", tmp_path / "c.yaml"
    data = config.data.model_copy(update={"cache": cache})
    file.write_text(
        to_yaml(config.model_copy(update={"data": data, "report_to": ("tensorboard",)}))
    )
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


@pytest.mark.slow  # without processes: unit/videothinker/run/test_copies.py
def test_another_machine_goes_on_from_a_copy(
    config: RunConfig, whole: Path, tmp_path: Path
) -> None:
    file, here, there = (tmp_path / name for name in ("c.yaml", "here", "there"))
    copied = config.model_copy(update={"copy_to": f"file://{tmp_path}/share/run"})
    file.write_text(to_yaml(copied))
    slow = fault(f"{here}/*", "open", "write", "fsync", "rename", delay=20)  # as a share is
    first = Command("train", file, f"out={here}", environment=preloaded(tmp_path) | slow)
    wait_for(lambda: len(read_lines(here / "metrics.jsonl")) > 0, first)
    atomic_write(here / WISH, '{"id": "w", "stop": true}')  # the verb would take longer than steps
    code, _, said = first.finish()
    assert code == 0, said
    shutil.rmtree(here)
    code, _, said = Command("train", file, f"out={there}").finish()
    assert code == 0, said
    assert f"fetching {there} from file://{tmp_path}/share/run" in said
    assert largest_difference(whole / MODEL, there / MODEL) == 0
    assert untimed(whole) == untimed(there)
    newest = RunCopy(copied.copy_to or "").newest()
    assert newest is not None
    assert {str(MODEL / "model.safetensors"), "report.html"} <= newest["files"].keys()
    assert not [name for name in newest["files"] if "/state/" in name]
