"""Several updates from one step's groups: real DeepSpeed against plain torch, without Ray."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from batches import Batch, made_up
from learner_ranks import Ranks

from learner.losses import Assignment
from videothinker.config.kl import KLConfig
from videothinker.config.learner import LearnerConfig
from videothinker.config.settings import VideoConfig
from videothinker.method.objective import policy_loss
from videothinker.model.checkpoint import Budget
from videothinker.model.families.known import family_in
from videothinker.model.policy import Policy, completion_mask, load_model
from videothinker.types import Prompt

RATE = 3e-3
SWITCHES: dict[str, dict[str, Any]] = {
    "ppo": {},
    "sequence": {"ratio": "sequence"},
    "cispo": {"clip": "cispo", "aggregation": "token"},
    "smooth": {"clip": "smooth", "clip_width": 0.05},
    "budget": {"aggregation": "budget"},
    "bonus": {"entropy_bonus": 0.02},
    "malus": {"entropy_bonus": -0.02},
}


@pytest.fixture(scope="module")
def ranks(request: pytest.FixtureRequest) -> Iterator[Ranks]:
    found = Ranks(request.param)
    yield found
    found.close()


def by_deepspeed(
    ranks: Ranks, model: Path, video: VideoConfig, batch: Batch, **settings: Any
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Weights and report after two updates in one step."""
    learner = LearnerConfig(
        learning_rate=RATE, max_grad_norm=1e9, schedule="constant", updates_per_step=2, **settings
    )
    assignment = Assignment(
        model=model,
        dtype="float32",
        learner=learner,
        kl=KLConfig(),
        temperature=1.0,
        steps=10,
        budget=Budget(video=video, dtype="float32", max_tokens=24, max_model_len=512),
        logprob_tolerance=1e6,
    )
    ranks.all("start_stage", assignment)
    report = ranks.step(1, batch, updates=2)
    return safetensors.numpy.load(ranks.weights()), report.stats


def by_torch(model: Path, batch: Batch, **settings: Any) -> dict[str, np.ndarray]:
    """The same, a group at a time, as one would write it."""
    trained = load_model(model, "float32").train()
    policy = Policy(trained)
    optimizer = torch.optim.AdamW(trained.parameters(), RATE, weight_decay=0.0)

    def said(part: Batch) -> list[tuple[torch.Tensor, ...]]:
        return [
            policy([(prompt, [c.token_ids for c in one.group.completions])], 1.0, None, True)
            for one, prompt in part
        ]

    bonus = settings.pop("entropy_bonus", 0.0)
    size = len(batch) // 2
    with torch.no_grad():
        before = [logp for logp, _ in said(batch)]
    for half in range(2):
        part = batch[half * size : (half + 1) * size]
        tokens = [[len(c.token_ids) for c in one.group.completions] for one, _ in part]
        losses = []
        for place, ((one, _), (logp, entropy)) in enumerate(zip(part, said(part), strict=True)):
            loss, _ = policy_loss(
                logp,
                before[half * size + place],
                None,
                torch.from_numpy(one.advantages),
                completion_mask(tokens[place], logp.device),
                max_tokens=24 if settings.get("aggregation") == "budget" else None,
                entropy=entropy if bonus else None,
                entropy_bonus=bonus,
                **settings,
            )
            weight = 1 / size
            if settings.get("aggregation") == "token":
                weight = sum(tokens[place]) / sum(map(sum, tokens))
            losses.append(weight * loss)
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    name_of = family_in(trained.config).released_name
    return {name_of(name): p.detach().numpy() for name, p in trained.named_parameters()}


@pytest.mark.parametrize(
    ("switch", "ranks"), [*((name, 1) for name in SWITCHES), ("cispo", 2)], indirect=["ranks"]
)
def test_two_updates_are_those_that_one_would_write_by_hand(
    switch: str, ranks: Ranks, prompts: list[Prompt], mini_base: Path, mini_video: VideoConfig
) -> None:
    batch = made_up(prompts, 1) + made_up(prompts, 2)
    found, report = by_deepspeed(ranks, mini_base, mini_video, batch, **SWITCHES[switch])
    expected = by_torch(mini_base, batch, **SWITCHES[switch])
    assert found.keys() == expected.keys()
    model = load_model(mini_base, "float32")
    name_of = family_in(model.config).released_name
    start = {name_of(name): p.detach().numpy() for name, p in model.named_parameters()}
    way, apart = (
        np.sqrt(sum(float(np.square(expected[name] - other[name]).sum()) for name in expected))
        for other in (start, found)
    )
    assert apart < 0.01 * way  # Adam makes steps of a small gradient's rounding
    assert report["learning_rate"] == RATE
