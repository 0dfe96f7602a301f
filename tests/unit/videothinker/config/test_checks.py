"""Settings that would do nothing, or leave nothing to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import builders
import pytest

from videothinker.config.checks.run import cross_checks

IDLE = "stages.0.kl.skip_equal_groups = True has no effect with sampling.refill = 2"


def problems(folder: Path, section: str, settings: dict[str, Any]) -> list[str]:
    stage = {"name": "only", "questions": "q.parquet", "steps": 10, "prompts_per_step": 4}
    return list(cross_checks(builders.run_config(folder, stage, **{section: settings})))


@pytest.mark.parametrize(
    ("section", "settings", "sentence"),
    [
        ("learner", {"offload": True, "zero_stage": 0}, "offload = True: with learner.zero_stage"),
        (
            "learner",
            {"freeze": ["vision", "merger", "embeddings", "layers"]},
            "freeze names every part of the model: nothing is left to train",
        ),
        (
            "learner",
            {"lora": {}, "freeze": ["vision"]},
            "freeze = ['vision'] has no effect with learner.lora",
        ),
        (
            "learner",
            {"lora": {"targets": ["q_prj"]}},
            "lora.targets: 'q_prj' is no matrix of the language model. Did you mean 'q_proj'?",
        ),
        (
            "learner",
            {"lora": {"targets": ["lm_head"]}},
            "lora.targets: 'lm_head' is no matrix of the language model. Known: q_proj, k_proj",
        ),
        (
            "learner",
            {"lora": {"targets": ["q_proj", "q_proj"]}},
            "lora.targets: the same matrix is named twice",
        ),
        ("rollout", {"adapters": "merged"}, "adapters = 'merged' has no effect without learner.lo"),
        ("cluster", {"scorers": 0}, "scorers = 0: the learner scores where anchor and policy are"),
        ("learner", {"warmup_steps": 10}, "warmup_steps = 10: stages.0.steps = 10 end before"),
        ("rollout", {"in_flight": True}, "in_flight = True has no effect with rollout.max_stal"),
        (
            "rollout",
            {"sleep": True, "max_staleness": 1},
            "sleep = True: with rollout.max_staleness = 1 engines sample while the learner works",
        ),
        ("rollout", {"units_at_once": 2}, "units_at_once = 2 has no effect: no step of this run"),
        ("rollout", {"units_at_once": 2, "workers": 2}, "units_at_once = 2 has no effect"),
        (
            "rollout",
            {"units_at_once": 2, "workers": 2, "prompts_together": 2},
            "units_at_once = 2 has no effect",
        ),
        (
            "rollout",
            {"units_at_once": 2, "workers": 4, "max_staleness": 0, "prompts_together": 1},
            "units_at_once = 2 has no effect",
        ),
        ("rollout", {"drafts": 4, "prompts_together": 2}, "drafts = 4: what an engine guesses"),
        ("rollout", {"drafts": 4, "tensor_parallel": 2}, "drafts = 4: an engine over several proc"),
    ],
)
def test_a_setting_that_cannot_take_effect_is_refused(
    tmp_path: Path, section: str, settings: dict[str, Any], sentence: str
) -> None:
    (found,) = problems(tmp_path, section, settings)
    assert found.startswith(f"{section}.{sentence}")


@pytest.mark.parametrize(
    ("section", "settings"),
    [
        ("learner", {"offload": True}),
        ("learner", {"freeze": ["vision", "merger", "embeddings"]}),
        ("learner", {"warmup_steps": 9}),
        ("learner", {"lora": {}}),
        ("learner", {"lora": {"targets": ["q_proj"], "vision": True}, "zero_stage": 3}),
        ("rollout", {"max_staleness": 1}),
        ("rollout", {"sleep": True}),
        ("rollout", {"max_staleness": 1, "in_flight": True}),
        ("rollout", {"drafts": 4}),
        ("rollout", {"units_at_once": 2, "max_staleness": 1}),
        ("rollout", {"units_at_once": 2, "prompts_together": 2}),
        ("rollout", {"units_at_once": 2, "workers": 3, "prompts_together": 1}),
    ],
)
def test_its_neighbour_that_can_is_not(
    tmp_path: Path, section: str, settings: dict[str, Any]
) -> None:
    assert problems(tmp_path, section, settings) == []


@pytest.mark.parametrize(
    ("stage", "refill", "said"),
    [
        ({"limit": 4}, 2, "sampling.refill = 2: every step of stages.0 asks all of its questions"),
        ({"kl": {"direction": "repel", "anchor": "base", "skip_equal_groups": True}}, 2, IDLE),
        ({"limit": 5}, 2, None),
        ({"limit": 4}, 0, None),
        ({"kl": {"direction": "repel", "anchor": "base", "skip_equal_groups": True}}, 0, None),
    ],
)
def test_refill_is_refused_where_it_changes_nothing_or_something_else_does_not(
    tmp_path: Path, stage: dict[str, Any], refill: int, said: str | None
) -> None:
    usual = {"name": "only", "questions": "q.parquet", "steps": 10, "prompts_per_step": 4}
    config = builders.run_config(tmp_path, usual | stage, sampling={"refill": refill})
    found = list(cross_checks(config))
    assert [one.startswith(said or "?") for one in found] == [True] * (said is not None)


def test_steps_that_may_be_refilled_are_not_sampled_side_by_side(tmp_path: Path) -> None:
    rollout = {"units_at_once": 2, "max_staleness": 1}
    stage = {"name": "only", "questions": "q.parquet", "steps": 10, "prompts_per_step": 4}
    config = builders.run_config(tmp_path, stage, rollout=rollout, sampling={"refill": 1})
    [found] = cross_checks(config)
    assert found.startswith("rollout.units_at_once = 2 has no effect")


@pytest.mark.parametrize(("adapters", "refused"), [("request", True), ("merged", False)])
def test_an_engine_with_an_adapter_beside_its_weights_has_no_drafts(
    tmp_path: Path, adapters: str, refused: bool
) -> None:
    stage = {"name": "only", "questions": "q.parquet", "steps": 10, "prompts_per_step": 4}
    rollout = {"drafts": 4, "adapters": adapters}
    config = builders.run_config(tmp_path, stage, rollout=rollout, learner={"lora": {}})
    found = [one.startswith("rollout.drafts = 4: an engine wi") for one in cross_checks(config)]
    assert found == [True] * refused


def test_a_function_may_not_be_called_as_a_part_of_ours(tmp_path: Path) -> None:
    rewards = ["accuracy", {"call": "rewards.py:deduction"}]
    stage = {"name": "only", "questions": "q.parquet", "steps": 10, "prompts_per_step": 4}
    [found] = cross_checks(builders.run_config(tmp_path, stage, rewards=rewards))
    assert "deduction is the name of a reward of ours" in found


def test_out_may_not_be_a_file(tmp_path: Path) -> None:
    file, stage = tmp_path / "file", {"name": "only", "questions": "q.parquet"}
    file.touch()
    config = builders.run_config(tmp_path, stage).model_copy(update={"out": file / "run"})
    [said] = cross_checks(config)
    assert f"{file} is a file" in said


@pytest.mark.parametrize(
    ("lora", "rollout", "cluster", "sentence"),
    [
        ({"vision": True}, {"adapters": "request"}, {}, "learner.lora.vision = True: vLLM has no"),
        ({"rank": 600}, {"adapters": "request"}, {}, "learner.lora.rank = 600: vLLM has room for"),
        ({}, {"adapters": "request", "sleep": True}, {}, "rollout.sleep = True: an engine that"),
        ({}, {}, {"scorers": 0, "zero_stage": 3}, "zero_stage = 3: no rank of the learner has a"),
        ({"vision": True}, {"adapters": "merged", "sleep": True}, {"scorers": 0}, None),
        ({"rank": 600}, {}, {"scorers": 0}, None),
    ],
)
def test_where_an_adapter_cannot_be_is_said(
    tmp_path: Path,
    lora: dict[str, Any],
    rollout: dict[str, Any],
    cluster: dict[str, Any],
    sentence: str | None,
) -> None:
    stage = {"name": "only", "questions": "q.parquet", "steps": 10, "prompts_per_step": 4}
    zero = {"zero_stage": cluster["zero_stage"]} if "zero_stage" in cluster else {}
    config = builders.run_config(
        tmp_path,
        stage,
        learner={"lora": lora, **zero},
        rollout=rollout,
        cluster={"scorers": cluster.get("scorers", 1)},
    )
    found = list(cross_checks(config))
    assert [sentence in one for one in found] == [True] if sentence else found == []
