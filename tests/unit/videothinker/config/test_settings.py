from pathlib import Path

import pytest
from pydantic import ValidationError

from videothinker.config.kl import KLConfig
from videothinker.config.learner import LearnerConfig
from videothinker.config.loading import dotted_keys
from videothinker.config.settings import ClusterConfig, RunConfig, StageConfig

SMALLEST = {
    "name": "x",
    "out": "runs/x",
    "model": {"path": "m"},
    "data": {"videos": "v"},
    "stages": [{"name": "only", "questions": "q.parquet"}],
}


def test_defaults_are_the_papers_values() -> None:
    config = RunConfig.model_validate(SMALLEST)
    assert config.learner.learning_rate == 1e-6
    assert config.learner.schedule == "linear"
    assert config.learner.max_grad_norm == 20.0
    assert (config.learner.clip_low, config.learner.clip_high) == (0.2, 0.28)
    assert config.sampling.group_size == 8
    assert config.sampling.max_tokens == 768
    assert config.video.max_pixels == 128 * 28 * 28
    assert config.stages[0].steps == 500
    assert config.stages[0].kl.direction == "none"
    assert KLConfig().coefficient == 0.01


def test_a_loaded_configuration_cannot_change() -> None:
    config = RunConfig.model_validate(SMALLEST)
    with pytest.raises(ValidationError):
        config.seed = 1  # type: ignore[misc]


def test_coefficient_is_never_negative() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        KLConfig(direction="repel", coefficient=-0.01)


def test_a_group_of_one_is_refused() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 2"):
        RunConfig.model_validate({**SMALLEST, "sampling": {"group_size": 1}})


def test_a_stage_name_is_usable_as_a_folder() -> None:
    with pytest.raises(ValidationError, match="pattern"):
        StageConfig(name="../bias", questions=Path("q"))


def test_text_numbers_become_numbers() -> None:
    assert LearnerConfig.model_validate({"learning_rate": "1e-6"}).learning_rate == 1e-6


def test_metrics_are_bound_to_an_address() -> None:
    with pytest.raises(
        ValidationError, match=r"not an IPv4 address; 127.0.0.1 is for this machine"
    ):
        ClusterConfig(metrics_host="localhost")
    assert ClusterConfig(metrics_host="0.0.0.0").metrics_host == "0.0.0.0"


def test_every_key_is_listed_here() -> None:
    """A new key must be deliberate: who sets it differently, and what breaks if it is derived?"""
    assert sorted(dotted_keys()) == sorted(KEYS)


KEYS = [
    "name",
    "out",
    "seed",
    "rewards.N.name",
    "rewards.N.call",
    "rewards.N.weight",
    "rewards.N.seconds",
    "rewards.N.memory_gb",
    "report_to",
    "copy_to",
    "model.path",
    "model.dtype",
    "pinned",
    "data.videos",
    "data.validation",
    "data.validation_questions",
    "data.validation_likeliest",
    "data.cache",
    "data.cache_gb",
    "data.loaders",
    "data.category",
    "data.probes",
    "data.decode_seconds",
    "data.max_skipped_share",
    "video.fps",
    "video.min_frames",
    "video.max_frames",
    "video.min_pixels",
    "video.max_pixels",
    "video.picture_max_pixels",
    "video.picture_min_pixels",
    "video.total_pixels",
    "prompts.wording",
    "sampling.group_size",
    "sampling.temperature",
    "sampling.max_tokens",
    "sampling.refill",
    "learner.learning_rate",
    "learner.schedule",
    "learner.warmup_steps",
    "learner.max_grad_norm",
    "learner.clip_low",
    "learner.clip_high",
    "learner.clip_width",
    "learner.updates_per_step",
    "learner.overlap",
    "learner.ratio",
    "learner.clip",
    "learner.entropy_bonus",
    "advantage.scale",
    "advantage.baseline",
    "learner.aggregation",
    "learner.importance_cap",
    "learner.mask_truncated",
    "learner.freeze",
    "learner.lora.rank",
    "learner.lora.alpha",
    "learner.lora.dropout",
    "learner.lora.targets",
    "learner.lora.vision",
    "learner.ranks",
    "learner.zero_stage",
    "learner.offload",
    "learner.gradient_checkpointing",
    "learner.save_every",
    "learner.keep_states",
    "rollout.workers",
    "rollout.tensor_parallel",
    "rollout.max_model_len",
    "rollout.cache_gb",
    "rollout.prompts_together",
    "rollout.units_at_once",
    "rollout.max_staleness",
    "rollout.in_flight",
    "rollout.adapters",
    "rollout.drafts",
    "rollout.sleep",
    "weights.path",
    "cluster.address",
    "cluster.device",
    "cluster.logprob_tolerance",
    "cluster.metrics_host",
    "cluster.metrics_tls.certificate",
    "cluster.metrics_tls.clients",
    "cluster.metrics_tls.key",
    "cluster.scorers",
    "faults.heartbeat_seconds",
    "faults.silent_seconds",
    "faults.start_seconds",
    "faults.prepare_seconds",
    "faults.generate_seconds",
    "faults.score_seconds",
    "faults.learn_seconds",
    "faults.sync_seconds",
    "faults.save_seconds",
    "faults.restarts",
    "faults.attempts",
    "faults.backoff_seconds",
    "stages.N.name",
    "stages.N.questions",
    "stages.N.limit",
    "stages.N.category",
    "stages.N.steps",
    "stages.N.prompts_per_step",
    "stages.N.replay",
    "stages.N.draw.by",
    "stages.N.draw.share",
    "stages.N.draw.of",
    "stages.N.draw.column",
    "stages.N.draw.least",
    "stages.N.draw.most",
    "stages.N.draw.rest",
    "stages.N.validate_every",
    "stages.N.validate_questions",
    "stages.N.keep_best",
    "stages.N.patience",
    "stages.N.kl.direction",
    "stages.N.kl.anchor",
    "stages.N.kl.anchor_view",
    "stages.N.kl.anchor_every",
    "stages.N.kl.coefficient",
    "stages.N.kl.target",
    "stages.N.kl.schedule",
    "stages.N.kl.schedule_steps",
    "stages.N.kl.estimator",
    "stages.N.kl.bound",
    "stages.N.kl.applies_to",
    "stages.N.kl.likelihood",
    "stages.N.kl.skip_equal_groups",
    "stages.N.guard.action",
    "stages.N.guard.lowerings",
    "stages.N.guard.window",
]


def test_an_anchors_path_is_fixed_when_it_is_read_and_a_name_stays_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert KLConfig(anchor="runs/bias/model").anchor == str(tmp_path / "runs/bias/model")
    assert KLConfig(anchor="base").anchor == "base"
