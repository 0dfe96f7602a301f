"""Every key of a stage's `kl` and `guard` changes what its run does, or is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import completion, earned, group, run_config
from torch import Tensor

from cluster.loop.lineage import Lineage
from learner.losses import Assignment, Losses
from videothinker.config.checks.run import cross_checks
from videothinker.config.kl import KLConfig
from videothinker.config.loading import dotted_keys
from videothinker.config.settings import RunConfig
from videothinker.method.guard import StageGuard
from videothinker.method.scoring import score_groups
from videothinker.model.checkpoint import budget_of
from videothinker.run.directory import RunDirectory
from videothinker.types import AnchorScores

REPEL = {"kl.direction": "repel", "kl.anchor": "base"}
TIE_BREAK = {"kl.direction": "tie_break", "kl.coefficient": 0.5}
BLIND = {**REPEL, "kl.anchor_view": "blind"}
EARLY = {**REPEL, "kl.schedule": "early", "kl.schedule_steps": 10}
GROWING = {**TIE_BREAK, "kl.schedule": "ramp", "kl.schedule_steps": 10}
LOWER = {**REPEL, "guard.action": "lower", "guard.lowerings": 1}
TABLE: list[tuple[dict[str, Any], str, Any, set[str]]] = [
    (REPEL, "kl.direction", "attract", {"update"}),
    (REPEL, "kl.anchor", "bias", {"anchor"}),
    (REPEL, "kl.anchor", "/models/other", {"anchor"}),
    (BLIND, "kl.anchor", "policy", {"moved"}),
    ({**BLIND, "kl.anchor": "policy"}, "kl.anchor_every", 5, {"moved"}),
    (REPEL, "kl.anchor_view", "frame", {"seen"}),
    (REPEL, "kl.coefficient", 0.02, {"update", "coefficients"}),
    (REPEL, "kl.target", 0.3, {"coefficients"}),
    (EARLY, "kl.schedule", "ramp", {"update", "coefficients"}),
    (EARLY, "kl.schedule_steps", 20, {"coefficients"}),
    (GROWING, "kl.schedule_steps", 20, {"update", "coefficients"}),
    (REPEL, "kl.estimator", "k1", {"update"}),
    (REPEL, "kl.estimator", "k2", {"update"}),
    (REPEL, "kl.estimator", "policy", {"update"}),
    (REPEL, "kl.estimator", "exact", {"update"}),
    (REPEL, "kl.bound", 0.5, {"update"}),
    (REPEL, "kl.applies_to", "answer", {"update"}),
    (REPEL, "kl.applies_to", "thinking", {"update"}),
    (REPEL, "kl.skip_equal_groups", True, {"update"}),
    (TIE_BREAK, "kl.likelihood", "absolute", {"update", "compared"}),
    (REPEL, "guard.action", "off", {"verdicts"}),
    (REPEL, "guard.action", "lower", {"verdicts", "coefficients"}),
    (REPEL, "guard.window", 6, {"verdicts"}),
    (LOWER, "guard.lowerings", 2, {"verdicts", "coefficients"}),
]
"""Settings, one of them changed, and which parts of the run that changes, no others."""

RIGHT, WRONG = "<think>x</think><answer>A</answer>", "<think>x</think><answer>B</answer>"
SAMPLED = np.full(4, -1.0, np.float32)
ANCHORED = np.array([-1.1, -3.0, -0.8, -1.9], np.float32)
INITIAL = np.array([-1.0, -2.5, -0.9, -1.0], np.float32)


def run_of(out: Path, settings: dict[str, Any]) -> RunConfig:
    """A bias stage and the stage with these settings."""
    parts: dict[str, dict[str, Any]] = {"kl": {}, "guard": {}}
    for key, value in settings.items():
        section, name = key.split(".")
        parts[section][name] = value
    stages = [{"name": "bias", "questions": "q"}, {"name": "cdpo", "questions": "q", **parts}]
    return run_config(Path("x"), *stages, out=out)


class FixedPolicy:
    """A policy whose log-probs are the parameters."""

    def __init__(self) -> None:
        self.logp = torch.full((2, 4), -1.0, requires_grad=True)

    def __call__(self, groups: Any, temperature: float, anchored: Any, _: bool) -> Any:
        scores = (self.logp, torch.zeros(2, 4))
        return scores if anchored is None else (*scores, self.logp.square() / 4)


def update(config: RunConfig, *texts: str) -> list[float]:
    """The loss's slopes by log-probs in the first step, for a group of two completions."""
    kl = config.stages[-1].kl
    exact = kl.estimator == "exact"
    said = [completion(text, 4, logprobs=SAMPLED, version=1, answer_start=2) for text in texts]
    states = (np.zeros((4, 1), np.float32),) * 2 if exact else None
    initial = (INITIAL, INITIAL) if kl.compares else None
    scores = AnchorScores(logprobs=(ANCHORED, ANCHORED), hidden=states, initial_logprobs=initial)
    about = group(*said)
    names = [reward.title for reward in config.rewards]
    coefficient = StageGuard(config.stages[-1]).coefficient(1)
    [scored] = score_groups([(about, earned(about, names), scores)], kl, coefficient)
    policy = FixedPolicy()
    task = Assignment(
        model=Path("m"),
        dtype="float32",
        learner=config.learner,
        kl=kl,
        temperature=1.0,
        steps=9,
        budget=budget_of(config),
        logprob_tolerance=1.0,
    )
    losses = Losses(
        trainee=policy,  # type: ignore[arg-type]
        task=task,
        anchor_head=torch.zeros(1, 1) if exact else None,
        world=1,
        device="cpu",
    )
    [loss], _ = losses.of([(scored, None, 1.0)], coefficient, 1)  # type: ignore[list-item]
    slopes: Tensor = torch.autograd.grad(loss, policy.logp)[0]
    return slopes.flatten().tolist()


def moved(kl: KLConfig) -> list[int]:
    """After which step the policy was what is the anchor of each."""
    return [kl.anchored_after(done) for done in range(9)] if kl.moves else []


def effects(out: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """What a run under these settings does, part by part; it ends in a collapse."""
    config = run_of(out, settings)
    assert list(cross_checks(config)) == []
    steering = StageGuard(config.stages[-1])
    rewards = [1.6, 1.5, 1.7] * 5 + [0.1] * 30
    verdicts, coefficients = [], []
    for step, reward in enumerate(rewards, start=1):
        verdicts.append(steering.watch({"step": step, "reward": reward, "kl": 0.2}).action)
        coefficients.append(steering.coefficient(step + 1))
    return {
        "anchor": Lineage(RunDirectory(out), config).anchor(config.stages[-1]),
        "compared": config.stages[-1].kl.compares,
        "seen": config.stages[-1].kl.anchor_view,
        "moved": moved(config.stages[-1].kl),
        "update": update(config, RIGHT, WRONG) + update(config, WRONG, WRONG),
        "coefficients": coefficients,
        "verdicts": verdicts,
    }


@pytest.mark.parametrize(
    ("settings", "key", "value", "changed"), TABLE, ids=[f"{row[1]}={row[2]}" for row in TABLE]
)
def test_a_key_changes_its_part_of_the_run_and_no_other(
    tmp_path: Path, settings: dict[str, Any], key: str, value: Any, changed: set[str]
) -> None:
    before, after = effects(tmp_path, settings), effects(tmp_path, {**settings, key: value})
    assert {part for part in before if before[part] != after[part]} == changed


def test_no_key_is_without_a_row() -> None:
    prefix = "stages.N."
    keys = {key.removeprefix(prefix) for key in dotted_keys()}
    assert {key for _, key, _, _ in TABLE} == {
        key for key in keys if key.startswith(("kl.", "guard."))
    }


@pytest.mark.parametrize("key", sorted(KLConfig.model_fields.keys() - {"direction"}))
def test_without_a_direction_no_other_key_of_the_divergence_is_accepted(
    tmp_path: Path, key: str
) -> None:
    value = next(value for _, name, value, _ in TABLE if name == f"kl.{key}")
    for given in ({f"kl.{key}": value}, {"kl.direction": "none", f"kl.{key}": value}):
        [sentence] = cross_checks(run_of(tmp_path, given))
        assert f"{key} = {value!r} would have no effect" in sentence
