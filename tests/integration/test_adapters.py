"""An adapter that is trained, and the same in a live engine: beside its weights or added to them.

No Ray: an engine in this process, a learner's rank in another.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from batches import Batch, with_made_up_rewards
from builders import group
from learner_ranks import Ranks
from small_models import write_llava_onevision, write_qwen3_vl

from actors.vllm_engine import VllmEngine
from learner.rank import Assignment
from videothinker.config.lora import LoraConfig
from videothinker.config.settings import KLConfig, LearnerConfig, RolloutConfig, VideoConfig
from videothinker.method.prompts import training_text
from videothinker.model.checkpoint import Budget
from videothinker.model.families.known import frames_for
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
    size = RolloutConfig(max_model_len=1024, cache_gb=0.25)
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
    moved: list[float]
    """By each update, how far the learner's opinion of what was sampled before it moved."""
    parts: list[list[WeightsPart]]
    """Of every version."""
    export: Path
    answers: Groups


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
    export = tmp_path_factory.mktemp("trained") / "adapter"
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
    parts, gaps = [published(ranks, INITIAL_VERSION, count)], []
    engine.load(INITIAL_VERSION, parts[0])
    for step in range(INITIAL_VERSION + 1, INITIAL_VERSION + UPDATES + 1):
        batch = paid(prompts, sample(engine, prompts), step)
        assert sum(len(scored.group.completions) for scored, _ in batch) == 64
        gaps.append(ranks.step(step, batch).stats["logprob_gap_max"])
        parts.append(published(ranks, step, count))
        engine.load(step, parts[-1])
    answers = sample(engine, prompts)
    gaps.append(ranks.step(step + 1, paid(prompts, answers, step)).stats["logprob_gap_max"])
    ranks.all("save_model", export, base)
    return Trained(gaps=gaps, moved=[], parts=parts, export=export, answers=answers)


def test_sampler_and_learner_agree_before_and_after_every_update(trained: Trained) -> None:
    assert len(trained.gaps) == UPDATES + 1
    assert max(trained.gaps) < TOLERANCE, trained.gaps
