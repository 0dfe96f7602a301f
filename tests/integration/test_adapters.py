"""An adapter that is trained, and the same in a live engine: beside its weights or added to them.

No Ray: an engine in this process, a learner's rank in another.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from batches import Batch, with_made_up_rewards
from builders import group
from learner_ranks import Ranks
from small_models import write_llava_onevision, write_qwen3_vl

from actors.vllm_engine import VllmEngine
from learner.losses import Assignment
from videothinker.config.kl import KLConfig
from videothinker.config.learner import LearnerConfig
from videothinker.config.lora import LoraConfig
from videothinker.config.settings import AdapterWay, RolloutConfig, VideoConfig
from videothinker.errors import WeightsError
from videothinker.method.prompts import training_text
from videothinker.model.adapters import merge
from videothinker.model.checkpoint import Budget
from videothinker.model.families.known import frames_for
from videothinker.model.policy import Policy, load_model
from videothinker.model.processing import PromptBuilder
from videothinker.types import INITIAL_VERSION, Completion, Prompt, Question, WeightsPart

TOLERANCE = 1e-4
VISIBLE = 100 * TOLERANCE
"""By so much at least an update moves log-probs, or agreement would say little."""
UPDATES = 5
LONG = 96
KINDS = {
    "beside": ("mini", LoraConfig(rank=4)),
    "added": ("mini", LoraConfig(rank=4, vision=True)),
    "of some": ("qwen3", LoraConfig(rank=12, alpha=6, targets=("q_proj", "down_proj"))),
    "added, of another house": ("llava", LoraConfig(rank=4, vision=True)),
}


Groups = list[tuple[Completion, ...]]


def sample(engine: VllmEngine, prompts: Sequence[Prompt]) -> Groups:
    """64 completions: a group of each prompt."""
    seeds = range(len(prompts))
    drawn = engine.sample(prompts, samples=8, temperature=1.0, max_tokens=LONG, seeds=seeds)
    return [completions for _, completions in sorted(drawn)]


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def lora(kind: str) -> LoraConfig:
    return KINDS[kind][1]


@pytest.fixture(scope="module")
def base(kind: str, mini_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    written = {"qwen3": write_qwen3_vl, "llava": write_llava_onevision}
    model = KINDS[kind][0]
    return (
        written[model](tmp_path_factory.mktemp(model) / "model") if model != "mini" else mini_base
    )


@pytest.fixture(scope="module")
def prompts(
    base: Path,
    mini_world: Path,
    mini_questions: list[Question],
    read_here: Any,
    mini_video: VideoConfig,
) -> list[Prompt]:
    clips = read_here(frames_for(base, mini_video))
    builder = PromptBuilder(base, mini_world / "raw" / "videos", clips)
    return [builder.build(one, training_text(one)) for one in mini_questions[:8]]


@pytest.fixture(scope="module")
def engine(base: Path, lora: LoraConfig) -> Iterator[VllmEngine]:
    way: AdapterWay = "merged" if lora.vision else "request"
    size = RolloutConfig(max_model_len=1024, cache_gb=0.25, adapters=way)
    yield VllmEngine(base, "float32", size, "cpu", lora=lora)
    gc.collect()


@pytest.fixture(scope="module")
def ranks() -> Iterator[Ranks]:
    with closing(Ranks(1)) as ranks:
        yield ranks


@dataclass(frozen=True, kw_only=True)
class Trained:
    """After the last update."""

    gaps: list[float]
    """The learner's, of each step before its update."""
    parts: list[list[WeightsPart]]
    """Of the last two versions."""
    adapters: list[Path]
    """The same in PEFT's format."""


def published(ranks: Ranks, version: int, parts: int) -> list[WeightsPart]:
    return [ranks.all("publish", version, number)[1] for number in range(parts)]


def paid(prompts: Sequence[Prompt], groups: Groups, step: int) -> Batch:
    return [
        (with_made_up_rewards(group(*some, about=prompt.question), 10 * step + number), prompt)
        for number, (prompt, some) in enumerate(zip(prompts, groups, strict=True))
    ]


@pytest.fixture(scope="module")
def trained(
    ranks: Ranks,
    base: Path,
    lora: LoraConfig,
    engine: VllmEngine,
    prompts: list[Prompt],
    tmp_path_factory: pytest.TempPathFactory,
) -> Trained:
    """64 completions of each version, which the next step learns from."""
    folder = tmp_path_factory.mktemp("trained")
    task = Assignment(
        model=base,
        dtype="float32",
        learner=LearnerConfig(learning_rate=0.02, max_grad_norm=1.0, lora=lora),
        kl=KLConfig(),
        temperature=1.0,
        steps=100,
        budget=Budget(dtype="float32", video=VideoConfig(), max_tokens=LONG, max_model_len=1024),
        logprob_tolerance=1e6,  # these tests do the judging
    )
    count = len(ranks.all("start_stage", task))
    gaps, parts, adapters = [], [published(ranks, INITIAL_VERSION, count)], []
    engine.load(INITIAL_VERSION, parts[0])
    for step in range(1, UPDATES + 2):
        batch = paid(prompts, sample(engine, prompts), step)
        assert sum(len(scored.group.completions) for scored, _ in batch) == 64
        gaps.append(ranks.step(step, batch).stats["logprob_gap_max"])
        parts.append(published(ranks, step, count))
        adapters.append(folder / str(step))
        ranks.all("save_model", adapters[-1], base)
        engine.load(step, parts[-1])
    return Trained(gaps=gaps, parts=parts[-2:], adapters=adapters[-2:])


@pytest.fixture(scope="module")
def policies(trained: Trained) -> list[Policy]:
    return [Policy(load_model(adapter, "float32")) for adapter in trained.adapters]


def of_tokens(policy: Policy, prompt: Prompt, completions: Sequence[Completion]) -> np.ndarray:
    """Log-probs of all their tokens, one after the other."""
    with torch.no_grad():
        logp, _ = policy([(prompt, [one.token_ids for one in completions])], 1.0)
    rows = zip(logp.numpy(), completions, strict=True)
    return np.concatenate([row[: len(one.token_ids)] for row, one in rows])


def sampled_with(completions: Sequence[Completion]) -> np.ndarray:
    return np.concatenate([one.logprobs for one in completions])


def test_sampler_and_learner_agree_before_and_after_every_update(trained: Trained) -> None:
    assert len(trained.gaps) == UPDATES + 1
    assert max(trained.gaps) < TOLERANCE, trained.gaps


def test_an_update_that_came_in_the_middle_counts_from_its_token_on(
    engine: VllmEngine, prompts: list[Prompt], trained: Trained, policies: list[Policy]
) -> None:
    before, after = trained.parts
    first, second = UPDATES, UPDATES + 1
    engine.load(first, before)
    with ThreadPoolExecutor(1) as caller:
        sampling = caller.submit(sample, engine, prompts)
        while not any(one.running for one in [engine.work()]):
            pass
        engine.load(second, after)
        groups = sampling.result()
    counted = {first: 0, second: 0}
    for prompt, some in zip(prompts, groups, strict=True):
        versions = np.concatenate([one.weights_versions for one in some])
        gaps = np.abs([of_tokens(one, prompt, some) - sampled_with(some) for one in policies])
        assert gaps[versions - first, np.arange(len(versions))].max() < TOLERANCE
        for version in counted:
            counted[version] += int((versions == version).sum())
    assert min(counted.values()) > 50, counted


def test_the_whole_model_that_it_is_merged_into_says_the_same_of_64_completions(
    engine: VllmEngine,
    prompts: list[Prompt],
    trained: Trained,
    policies: list[Policy],
    base: Path,
    tmp_path: Path,
) -> None:
    merge(load_model(base, "float32"), trained.adapters[-1], tmp_path / "whole")
    whole, alone = Policy(load_model(tmp_path / "whole", "float32")), policies[-1]
    initial, gaps, moved = Policy(load_model(base, "float32")), [], []
    engine.load(UPDATES + 1, trained.parts[-1])
    for prompt, some in zip(prompts, sample(engine, prompts), strict=True):
        said = of_tokens(alone, prompt, some)
        gaps += [np.abs(said - of_tokens(whole, prompt, some)).max()]
        gaps += [np.abs(said - sampled_with(some)).max()]
        moved.append(np.abs(said - of_tokens(initial, prompt, some)).max())
    assert max(gaps) < TOLERANCE
    assert max(moved) > VISIBLE


def test_an_adapter_that_lacks_a_matrix_is_refused_and_the_one_before_stays(
    engine: VllmEngine, prompts: list[Prompt], trained: Trained
) -> None:
    expected = sample(engine, prompts)
    part = trained.parts[-1][0]
    fewer = replace(part, tensors=dict(list(part.tensors.items())[1:]))
    with pytest.raises(WeightsError, match=r"1 of \d+ tensors missing, first .*lora_A"):
        engine.load(part.version, [fewer])
    name, stored = next(iter(part.tensors.items()))
    damaged = replace(part, tensors=part.tensors | {name: replace(stored, checksum="another")})
    with pytest.raises(WeightsError, match=f"checksum of {name} is not the published one"):
        engine.load(part.version, [damaged])
    again = sample(engine, prompts)
    for ours, theirs in zip(chain(*again), chain(*expected), strict=True):
        np.testing.assert_array_equal(ours.logprobs, theirs.logprobs)
