"""Published methods, each laid over the same configuration, for two steps on real engines."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from builders import CONFIGS
from same_engines import same_engines

from cluster.train import run
from videothinker.config.learner import LearnerConfig
from videothinker.config.loading import load_config, to_yaml
from videothinker.config.settings import RunConfig
from videothinker.files import read_lines
from videothinker.mini import SHIPPED_BASE
from videothinker.run.directory import RunDirectory

METHODS = sorted(path.stem for path in (CONFIGS / "methods").glob("*.yaml"))
SEVERAL = {"gspo", "cispo", "drpo"}
"""Those of several updates a step."""
AFTER_BIAS = {"cdpo", "jtt", "product", "reweigh"}
ALWAYS = {"gspo", "jtt"}
"""The others' settings are held against torch in test_learner_updates.py."""


@pytest.fixture(scope="module")
def whole(run_config: RunConfig) -> RunConfig:
    """Both stages, with a base that earns; it answers no validation question."""
    bias, last = run_config.stages
    return run_config.model_copy(
        update={
            "model": run_config.model.model_copy(update={"path": SHIPPED_BASE}),
            "data": run_config.data.model_copy(update={"validation": None}),
            "learner": LearnerConfig(learning_rate=1e-3),
            "stages": (
                bias.model_copy(update={"steps": 1}),
                last.model_copy(update={"steps": 2, "limit": 24}),
            ),
        }
    )


@pytest.fixture(scope="module", autouse=True)
def engines(whole: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One start for all methods."""
    with same_engines(whole, tmp_path_factory.mktemp("engines") / "run"):
        yield


@pytest.mark.parametrize(
    "method",
    [pytest.param(one, marks=[] if one in ALWAYS else pytest.mark.slow) for one in METHODS],
)
def test_a_method_trains(method: str, whole: RunConfig, tmp_path: Path) -> None:
    """Of the bias stage one step, where it is needed."""
    *_, last = whole.stages
    stages = whole.stages if method in AFTER_BIAS else (last,)
    file, out = tmp_path / "config.yaml", tmp_path / "run"
    written = to_yaml(whole.model_copy(update={"stages": stages}))
    file.write_text(written.replace("anchor: bias", "anchor: base"))
    overlay = str(CONFIGS / "methods" / f"{method}.yaml")
    config = load_config(file, [overlay, f"out={out}"])
    run(config, RunDirectory.create(out, to_yaml(config)))
    lines = [line for line in read_lines(out / "metrics.jsonl") if line["stage"] == last.name]
    assert len(lines) == 2
    assert all(math.isfinite(line["loss"]) and line["logprob_gap_max"] < 1e-4 for line in lines)
    if method in SEVERAL:  # the first update's ratios are 1, those after it are not
        assert {line["samples"] for line in lines} == {8 * config.sampling.group_size}
    if method == "jtt":
        assert (out / "stages" / last.name / "judged.parquet").is_file()
    if method == "gspo":
        assert any(line["clip_share"] > 0 for line in lines)
