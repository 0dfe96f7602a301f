"""Groups that are older than the policy they train: how old, and what is made of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from cluster.train import run
from videothinker.config.kl import KLConfig
from videothinker.config.loading import to_yaml
from videothinker.config.settings import RunConfig
from videothinker.files import read_lines
from videothinker.run.directory import RunDirectory

STEPS = 4
MODES: dict[str, dict[str, dict[str, Any]]] = {
    "between units": {
        "rollout": {"workers": 2, "max_staleness": 1, "prompts_together": 2},
        "sampling": {},
    },
    "in flight": {  # one worker and long completions, so that weights find them unfinished
        "rollout": {
            "max_staleness": 1,
            "prompts_together": 1,
            "units_at_once": 2,
            "in_flight": True,
        },
        "sampling": {"max_tokens": 160},
    },
}
MODES["in flight, straight from the learner"] = MODES["in flight"] | {"weights": {"path": "ipc"}}

SLOW = [mode for mode in MODES if mode != "in flight"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """What a run left on the disk; the policy of step N has weights version N."""

    mode: str
    lines: list[dict[str, Any]]
    rows: list[dict[str, Any]]


@pytest.fixture(
    scope="module",
    params=["in flight", *[pytest.param(mode, marks=pytest.mark.slow) for mode in SLOW]],
)
def finished(
    request: pytest.FixtureRequest, run_config: RunConfig, tmp_path_factory: pytest.TempPathFactory
) -> Finished:
    mode = MODES[request.param]
    out: Path = tmp_path_factory.mktemp("stale") / "run"
    # an untrained model earns nothing; this moves it all the same
    push = KLConfig(direction="repel", anchor="base", coefficient=0.1, estimator="k1")
    stage = run_config.stages[1].model_copy(update={"name": "only", "steps": STEPS, "kl": push})
    learner = run_config.learner.model_copy(update={"importance_cap": 2.0})
    config = run_config.model_copy(
        update={
            "out": out,
            "rollout": run_config.rollout.model_copy(update=mode["rollout"]),
            "weights": run_config.weights.model_copy(update=mode.get("weights", {})),
            "sampling": run_config.sampling.model_copy(update=mode["sampling"]),
            "data": run_config.data.model_copy(update={"validation": None}),
            "learner": learner,
            "stages": (stage,),
        }
    )
    run(config, RunDirectory.create(out, to_yaml(config)))
    files = sorted((out / "rollouts").glob("*.parquet"))
    rows = [row for file in files for row in pq.read_table(file).to_pylist()]
    return Finished(mode=request.param, lines=read_lines(out / "metrics.jsonl"), rows=rows)


def test_no_group_is_older_than_allowed_and_some_are_as_old(finished: Finished) -> None:
    ages = [row["step"] - row["weights_version"] for row in finished.rows]
    assert len(ages) == 4 * STEPS
    assert set(ages) == {0, 1}


def test_every_token_has_a_version_and_the_group_the_oldest(finished: Finished) -> None:
    mixed = 0
    for row in finished.rows:
        for tokens, versions in zip(row["token_ids"], row["weights_versions"], strict=True):
            assert len(versions) == len(tokens)
            assert versions == sorted(versions)
            mixed += len(set(versions)) > 1
        assert row["weights_version"] == min(map(min, row["weights_versions"]))
    assert bool(mixed) == finished.mode.startswith("in flight")


def test_tokens_of_the_policy_itself_agree_with_it_and_only_older_ones_drift(
    finished: Finished,
) -> None:
    first, *later = finished.lines
    assert first["fresh_share"] == 1
    assert first["logprob_drift"] == 0
    assert first["importance_mean"] == pytest.approx(1, abs=1e-4)
    assert all(line["logprob_gap_max"] < 1e-4 for line in finished.lines)
    stale = [line for line in later if line["fresh_share"] < 1]
    assert stale
    for line in stale:
        assert line["logprob_drift"] > 1e-3
        assert abs(line["importance_mean"] - 1) > 1e-4
