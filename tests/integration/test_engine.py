"""The sampler alone: its distribution, its positions, and updates that must not pass unnoticed."""

from __future__ import annotations

import os
import re
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from actors.rollout import RolloutWorker
from actors.vllm_engine import VllmEngine
from videothinker.config.settings import RolloutConfig, VideoConfig
from videothinker.errors import WeightsError
from videothinker.method.prompts import training_text
from videothinker.mini.render import encode
from videothinker.model.families.known import family_in
from videothinker.model.parts import as_part
from videothinker.model.policy import Policy, load_model
from videothinker.model.processing import ClipSource, PromptBuilder
from videothinker.model.shape import PREFILL_AT_ONCE
from videothinker.types import Completion, Prompt, Question, WeightsPart

Build = Callable[..., list[Prompt]]
ReadHere = Callable[[VideoConfig], ClipSource]


@pytest.fixture(scope="module")
def worker(mini_base: Path) -> RolloutWorker:
    """In this process, without Ray."""
    return RolloutWorker(
        "here",
        mini_base,
        "float32",
        RolloutConfig(max_model_len=512, cache_gb=0.25),
        24,
        "cpu",
    )


@pytest.fixture(scope="module")
def engine(worker: RolloutWorker) -> VllmEngine:
    return worker._engine


@pytest.fixture(scope="module")
def policy(mini_base: Path) -> Policy:
    return Policy(load_model(mini_base, "float32"))


@pytest.fixture(scope="module")
def build(
    mini_base: Path, mini_world: Path, mini_questions: list[Question], read_here: ReadHere
) -> Build:
    def prompts(video: VideoConfig, count: int = 2) -> list[Prompt]:
        builder = PromptBuilder(mini_base, mini_world / "raw" / "videos", read_here(video))
        return [builder.build(q, training_text(q)) for q in mini_questions[:count]]

    return prompts


def largest_gap(
    policy: Policy, prompt: Prompt, completions: Sequence[Completion], temperature: float
) -> float:
    with torch.no_grad():
        logp, _ = policy([(prompt, [c.token_ids for c in completions])], temperature)
    return max(
        float(np.abs(row[: len(c.logprobs)].numpy() - c.logprobs).max())
        for row, c in zip(logp, completions, strict=True)
    )


def sample(
    engine: VllmEngine, prompts: Sequence[Prompt], temperature: float = 1.0
) -> dict[int, tuple[Completion, ...]]:
    seeds = range(len(prompts))
    return dict(
        engine.sample(prompts, samples=8, temperature=temperature, max_tokens=24, seeds=seeds)
    )


def test_log_probs_are_those_of_the_sampling_temperature(
    engine: VllmEngine, policy: Policy, build: Build, mini_video: VideoConfig
) -> None:
    prompts = build(mini_video)
    for index, completions in sample(engine, prompts, 0.6).items():
        assert largest_gap(policy, prompts[index], completions, 0.6) < 1e-4


def test_what_lies_in_the_engine_is_exported_while_it_samples(
    worker: RolloutWorker, build: Build, mini_video: VideoConfig
) -> None:
    host, port = worker.serve_metrics()

    def figures() -> tuple[float, ...]:
        with urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=5) as page:
            text = page.read().decode()
        names = ('requests{state="running"}', 'requests{state="waiting"}', "cache_share")
        return tuple(
            float(re.search(rf"^videothinker_engine_{re.escape(name)} (\S+)", text, re.M)[1])
            for name in names
        )

    seen = []
    with ThreadPoolExecutor(1) as pool:
        sampling = pool.submit(sample, worker._engine, build(mini_video))
        while not sampling.done():
            seen.append(figures())
    running, waiting, cache = np.max(seen, axis=0)
    assert running == 2 * 8
    assert waiting <= 2 * 8
    assert 0 < cache <= 1
    assert figures() == (0, 0, 0)


def test_a_prompt_is_taken_in_once_for_its_group(
    engine: VllmEngine, build: Build, mini_video: VideoConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = engine._engine.engine_core.engine_core.scheduler
    schedule, computed = scheduler.schedule, list[int]()

    def counting(*arguments: object, **options: object) -> object:
        planned = schedule(*arguments, **options)
        computed.append(planned.total_num_scheduled_tokens)
        return planned

    monkeypatch.setattr(scheduler, "schedule", counting)
    prompts = build(mini_video)
    groups = sample(engine, prompts)
    # the last token of a completion is never put in
    answers = sum(len(one.token_ids) - 1 for group in groups.values() for one in group)
    asked = sum(len(prompt.token_ids) for prompt in prompts)
    # of what does not fill a block of 32, each completion computes its own
    assert sum(computed) - answers <= asked + 2 * 7 * 32


def test_positions_follow_the_clips_real_length_and_frame_rate(
    engine: VllmEngine,
    policy: Policy,
    mini_base: Path,
    tmp_path: Path,
    mini_video: VideoConfig,
    read_here: ReadHere,
) -> None:
    """Eight seconds at an odd rate: time, not the frame's sides, decides where text goes on."""
    frames = np.random.default_rng(0).integers(0, 255, (16, 84, 140, 3), dtype=np.uint8)
    encode(frames, tmp_path / "long.mp4")
    limits = {"fps": 1.0, "min_frames": 12, "max_frames": 12, "total_pixels": 12 * 84 * 140}
    clips = read_here(mini_video.model_copy(update=limits))
    builder = PromptBuilder(mini_base, tmp_path, clips)
    question = Question(
        id="q", video="long.mp4", text="What happens?", options=(("A", "Nothing"),), answer="A"
    )
    prompt = builder.build(question, training_text(question))
    assert prompt.shown[0].seconds_per_grid == pytest.approx(2 / (12 / 16 * 2))
    [completions] = sample(engine, [prompt]).values()
    assert largest_gap(policy, prompt, completions, 1.0) < 1e-4


def test_no_completion_holds_a_vision_token(
    engine: VllmEngine, policy: Policy, build: Build, mini_video: VideoConfig
) -> None:
    forbidden = family_in(policy.model.config).forbidden
    prompts = build(mini_video, 12)
    tokens = np.concatenate(
        [c.token_ids for group in sample(engine, prompts).values() for c in group]
    )
    assert len(tokens) > 1500  # an unhindered random model would emit about a dozen
    assert not np.isin(tokens, forbidden).any()


def test_seeds_decide_the_samples_and_differ_within_a_group(
    engine: VllmEngine, build: Build, mini_video: VideoConfig
) -> None:
    prompts = build(mini_video, 1)
    first, again = (sample(engine, prompts)[0] for _ in range(2))
    assert [c.token_ids.tolist() for c in first] == [c.token_ids.tolist() for c in again]
    assert len({tuple(c.token_ids.tolist()) for c in first}) == 8


def test_more_prompts_than_one_step_of_the_engine_can_take_in_are_all_answered(
    engine: VllmEngine, build: Build, mini_video: VideoConfig
) -> None:
    """A prompt that vLLM splits over two steps would end a seeded request on a CPU."""
    prompts = build(mini_video, 24) * 3
    assert sum(len(prompt.token_ids) for prompt in prompts) > 2 * PREFILL_AT_ONCE["cpu"]
    assert len(sample(engine, prompts)) == len(prompts)


def test_a_worker_refuses_a_version_it_does_not_hold(
    worker: RolloutWorker, build: Build, mini_video: VideoConfig
) -> None:
    with pytest.raises(WeightsError, match="holds weights version 0, asked for 3"):
        list(worker.generate(3, 8, 1.0, [0], *build(mini_video, 1)))


Parts = list[WeightsPart]


@pytest.fixture
def other(policy: Policy) -> Parts:
    """Other weights, in two parts."""
    tensors = [(name, 0.9 * p.detach()) for name, p in policy.model.named_parameters()]
    return [as_part(1, tensors[:20]), as_part(1, tensors[20:])]


def damaged(parts: Parts) -> Parts:
    """A bit of the last tensor is another."""
    name, stored = list(parts[-1].tensors.items())[-1]
    content = stored.content.copy()
    content[-1] ^= 1
    tensors = parts[-1].tensors | {name: replace(stored, content=content)}
    return [*parts[:-1], replace(parts[-1], tensors=tensors)]


def incomplete(parts: Parts) -> Parts:
    """The first part alone."""
    return parts[:1]


def foreign(parts: Parts) -> Parts:
    """One tensor more."""
    return [*parts, as_part(1, [("model.extra.weight", torch.zeros(3))])]


def mixed(parts: Parts) -> Parts:
    """Parts of two versions."""
    return [parts[0], replace(parts[1], version=2)]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (damaged, "the checksum of .* is not the published one"),
        (incomplete, r"\d+ of \d+ tensors missing, first "),
        (foreign, r"1 of \d+ tensors unknown, first .*extra"),
        (mixed, "a part is of version 2"),
    ],
)
def test_an_update_that_is_wrong_is_refused_and_the_old_weights_stay(
    worker: RolloutWorker,
    policy: Policy,
    other: Parts,
    build: Build,
    mini_video: VideoConfig,
    wrong: Callable[[Parts], Parts],
    said: str,
) -> None:
    with pytest.raises(WeightsError, match=f"weights version 1 were not loaded: {said}"):
        worker.load(1, *wrong(other))
    prompts = build(mini_video, 1)
    assert largest_gap(policy, prompts[0], sample(worker._engine, prompts)[0], 1.0) < 1e-4


def test_vllm_reads_safetensors_alone_and_no_code_of_a_model(engine: VllmEngine) -> None:
    settings = engine._llm.llm_engine.vllm_config
    assert settings.load_config.load_format == "safetensors"
    assert not settings.model_config.trust_remote_code
    assert os.environ["VLLM_ALLOW_INSECURE_SERIALIZATION"] == "0"


def test_weights_in_parts_are_loaded_whole(
    worker: RolloutWorker, other: Parts, mini_base: Path, build: Build, mini_video: VideoConfig
) -> None:
    prompts = build(mini_video, 1)
    assert worker.load(1, *other) == 1
    changed = Policy(load_model(mini_base, "float32"))
    with torch.no_grad():
        for parameter in changed.model.parameters():
            parameter *= 0.9
    assert largest_gap(changed, prompts[0], sample(worker._engine, prompts)[0], 1.0) < 1e-4
