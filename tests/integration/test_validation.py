"""A stage that is validated while it trains, and paid by functions of the user's: whole runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from same_training import asked_order, largest_difference, untimed

from cluster.train import run
from cluster.workers.learner import Learner
from videothinker.config.loading import to_yaml
from videothinker.config.rewards import RewardConfig
from videothinker.config.settings import RunConfig
from videothinker.files import read_json, read_lines
from videothinker.run.directory import RunDirectory

pytestmark = pytest.mark.timeout(900)

STEPS, INTERRUPTED_AT = 6, 4
REWARDS = '''
import time


def spread(completion, question):
    """Something that differs within most groups."""
    return (sum(map(ord, completion)) % 97) / 97


def fragile(completions, question):
    print("{")
    if question.id == BROKEN:
        time.sleep(60)
    return [0.0] * len(completions)
'''


def config_of(whole: RunConfig, folder: Path, rewards: Path, **stage: Any) -> RunConfig:
    """One stage, whose samples depend on nothing but its seed."""
    own = (
        RewardConfig(call=f"{rewards}:spread"),
        RewardConfig(call=f"{rewards}:fragile", seconds=5),
    )
    one = whole.stages[0].model_copy(update={"name": "grpo", "steps": STEPS, **stage})
    rollout = whole.rollout.model_copy(update={"prompts_together": 2})
    changes = {"out": folder, "rewards": own, "rollout": rollout, "stages": (one,)}
    data = whole.data.model_copy(update={"max_skipped_share": 0.5})
    return whole.model_copy(update={**changes, "data": data})


def test_validation_changes_no_weight_and_a_reward_that_hangs_costs_its_group(
    run_config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second run is validated, and ended by Ctrl-C between two validations and resumed."""
    rewards = tmp_path / "rewards.py"
    plain = config_of(run_config, tmp_path / "plain", rewards, validate_every=0)
    [*_, (broken, *_)] = asked_order(plain.stages[0].questions, plain.seed, 3, 4)
    rewards.write_text(REWARDS.replace("BROKEN", repr(broken)))
    run(plain, RunDirectory.create(plain.out, to_yaml(plain)))
    assert not (plain.out / "validation.jsonl").exists()
    reasons = {line["reason"] for line in read_lines(plain.out / "skipped.jsonl")}
    assert reasons == {
        "reward rewards.py:fragile: took longer than 5 s for one group (its `seconds`)"
    }

    wanted = {"validate_every": 2, "validate_questions": 6, "keep_best": "overall"}
    config = config_of(run_config, tmp_path / "validated", rewards, **wanted)
    directory = RunDirectory.create(config.out, to_yaml(config))
    usual = Learner.step

    def interrupted(learner: Learner, step: int, *rest: Any) -> Any:
        if step == INTERRUPTED_AT:
            raise KeyboardInterrupt
        return usual(learner, step, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(config, directory)
    summary = run(config, RunDirectory.open(config.out))

    validated = untimed(config.out)
    for line in validated:
        for key in [key for key in line if key.startswith("validated_")]:
            assert line["step"] in (3, 5)
            del line[key]
    assert validated == untimed(plain.out)
    models = [out / "stages" / "grpo" / "model" for out in (plain.out, config.out)]
    assert largest_difference(*models) == 0
    lines = read_lines(config.out / "validation.jsonl")
    assert [line["step"] for line in lines] == [2, 4]
    assert {line["answered"] for line in lines} == {6}
    best = config.out / "stages" / "grpo" / "best"
    means = [line["overall"]["mean"] for line in lines]
    lineage = read_json(best / "lineage.json")
    assert lineage["steps"] == (2 if means[0] >= means[1] else 4)
    assert largest_difference(best, models[1]) > 0
    assert lineage["rewards"][0].startswith("rewards.py:spread (")
    assert summary["rewards"] == [lineage["rewards"]]
