"""Every family at a real model's layout, with its real words and real clips: sampler, learner and
transformers are one model, before and after updates.

Put in on purpose and seen to fail: positions one off, or by transformers' rule (Qwen2.5-VL; the two
are one for Qwen3-VL), windows that are not cut, no deep features, a placeholder that is too short
(64 completions; plain rows); frames without their times (prompts); a head that is not published or
stays behind (after every update).
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from batches import Batch, made_up, with_made_up_rewards
from builders import group
from learner_ranks import Ranks
from naive import naive_logprobs
from qwen_words import tokenizer
from real_models import write_real
from real_prompts import QUESTIONS, TIMES, VIDEO, write_videos

from actors.vllm_engine import VllmEngine
from cluster.loop.states import newest_state, save_state
from learner.losses import Assignment
from videothinker.config.kl import KLConfig
from videothinker.config.learner import LearnerConfig
from videothinker.config.settings import RolloutConfig, VideoConfig
from videothinker.method.prompts import training_text
from videothinker.model.checkpoint import Budget
from videothinker.model.families.known import KNOWN, frames_for
from videothinker.model.policy import Policy, completion_mask, load_model
from videothinker.model.processing import ClipSource, PromptBuilder
from videothinker.types import INITIAL_VERSION, Completion, Prompt, Question, WeightsPart

TOLERANCE = 1e-4
VISIBLE = 100 * TOLERANCE
"""By so much at least a fault has to move log-probs, or agreement would say little."""
STEPS = range(2, 5)
SAMPLES, TOKENS = 8, 8
ZERO = {"Qwen2.5-VL-3B-Instruct": 2, "Qwen3-VL-8B-Instruct": 0}
"""One model whose head is its embeddings, one whose is not; and how each is trained."""


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_videos(tmp_path_factory.mktemp("videos"))


@pytest.fixture(scope="module", params=ZERO)
def released(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


Reads = Callable[[VideoConfig], ClipSource]


def build(
    model: Path, videos: Path, read_here: Reads, questions: Sequence[Question]
) -> list[Prompt]:
    builder = PromptBuilder(model, videos, read_here(frames_for(model, VIDEO)))
    return [builder.build(one, training_text(one)) for one in questions]


@pytest.fixture(scope="module")
def ranks() -> Iterator[Ranks]:
    with closing(Ranks(1)) as ranks:
        yield ranks


def begin(ranks: Ranks, model: Path, released: str) -> int:
    """How many parts are published."""
    task = Assignment(
        model=model,
        dtype="float32",
        learner=LearnerConfig(learning_rate=1e-3, max_grad_norm=1.0, zero_stage=ZERO[released]),
        kl=KLConfig(),
        temperature=1.0,
        steps=10,
        budget=Budget(video=VIDEO, dtype="float32", max_tokens=TOKENS, max_model_len=1024),
        logprob_tolerance=1e6,  # these tests do the judging
    )
    return len(ranks.all("start_stage", task))


@dataclass(frozen=True, kw_only=True)
class Learner:
    """One that has made an update, on completions that nobody sampled, and was exported."""

    base: Path
    export: Path
    parts: int


@pytest.fixture(scope="module")
def learner(
    ranks: Ranks,
    released: str,
    videos: Path,
    read_here: Reads,
    tmp_path_factory: pytest.TempPathFactory,
) -> Learner:
    folder = tmp_path_factory.mktemp("learner")
    base, export = folder / "base", folder / released
    write_real(base, released)
    parts = begin(ranks, base, released)
    ranks.step(1, made_up(build(base, videos, read_here, QUESTIONS[1:3]), 1))
    ranks.all("save_model", export, base)
    return Learner(base=base, export=export, parts=parts)


@pytest.fixture(scope="module")
def model(learner: Learner) -> Path:
    """What everybody reads: also the engine, and whoever builds prompts."""
    return learner.export


@pytest.fixture(scope="module")
def prompts(model: Path, videos: Path, read_here: Reads) -> list[Prompt]:
    return build(model, videos, read_here, QUESTIONS)


@pytest.fixture(scope="module")
def policy(model: Path) -> Policy:
    return Policy(load_model(model, "float32"))


@pytest.fixture(scope="module")
def engine(model: Path) -> Iterator[VllmEngine]:
    yield VllmEngine(model, "float32", RolloutConfig(max_model_len=1024, cache_gb=0.25), "cpu")
    gc.collect()


Groups = list[tuple[Completion, ...]]


def sample(engine: VllmEngine, prompts: Sequence[Prompt]) -> Groups:
    """A group of each prompt."""
    seeds = range(len(prompts))
    drawn = engine.sample(prompts, samples=SAMPLES, temperature=1.0, max_tokens=TOKENS, seeds=seeds)
    return [completions for _, completions in sorted(drawn)]


def scored(policy: Policy, prompt: Prompt, completions: Sequence[Completion]) -> np.ndarray:
    """Log-probs of all their tokens, one after the other."""
    with torch.no_grad():
        logp, _ = policy([(prompt, [one.token_ids for one in completions])], 1.0)
    rows = zip(logp.numpy(), completions, strict=True)
    return np.concatenate([row[: len(one.token_ids)] for row, one in rows])


def largest_gap(policy: Policy, prompts: Sequence[Prompt], groups: Groups) -> float:
    return max(
        np.abs(scored(policy, prompt, some) - np.concatenate([one.logprobs for one in some])).max()
        for prompt, some in zip(prompts, groups, strict=True)
    )


@pytest.fixture(scope="module")
def sampled(engine: VllmEngine, prompts: list[Prompt]) -> Groups:
    """What the initial model answers."""
    return sample(engine, prompts)


@dataclass(frozen=True, kw_only=True)
class Trained:
    """After the last update."""

    gaps: list[float]
    """The learner's, of each step before its update."""
    published: list[dict[str, str]]
    """Each version's tensors by checksum."""
    answers: Groups
    last: Batch
    """What the last step learnt from."""
    states: Path
    """Before that step."""
    export: Path


def published(ranks: Ranks, version: int, parts: int) -> list[WeightsPart]:
    return [ranks.all("publish", version, number)[1] for number in range(parts)]


def checksums(parts: Sequence[WeightsPart]) -> dict[str, str]:
    return {name: one.checksum for part in parts for name, one in part.tensors.items()}


def paid(prompts: Sequence[Prompt], groups: Groups, step: int) -> Batch:
    return [
        (with_made_up_rewards(group(*some, about=prompt.question), 10 * step + number), prompt)
        for number, (prompt, some) in enumerate(zip(prompts, groups, strict=True))
    ]


@pytest.fixture(scope="module")
def trained(
    ranks: Ranks,
    learner: Learner,
    engine: VllmEngine,
    prompts: list[Prompt],
    sampled: Groups,
    tmp_path_factory: pytest.TempPathFactory,
) -> Trained:
    """Updated and published, three times, on what the engine then samples."""
    folder = tmp_path_factory.mktemp("trained")
    gaps, versions, answers = [], [], sampled
    published(ranks, INITIAL_VERSION, learner.parts)  # what the engine has by now
    for step in STEPS:
        batch = paid(prompts, answers, step)
        if step == STEPS[-1]:
            save_state(ranks, folder, step - 1)  # type: ignore[arg-type]
        gaps.append(ranks.step(step, batch).stats["logprob_gap_max"])
        parts = published(ranks, step, learner.parts)
        engine.load(step, parts)
        versions.append(checksums(parts))
        answers = sample(engine, prompts)
    ranks.all("save_model", folder / "model", learner.base)
    return Trained(
        gaps=gaps,
        published=versions,
        answers=answers,
        last=batch,
        states=folder,
        export=folder / "model",
    )


def placeholder(prompt: Prompt, released: str) -> str:
    """What stands for everything that a prompt shows."""
    texts = []
    for one in prompt.shown:
        times, height, width = one.grid
        frame = height * width // 4
        if one.medium == "picture":
            texts.append("<|image_pad|>" * frame)
        elif "Qwen2.5" in released:
            texts.append("<|video_pad|>" * frame * times)
        else:
            pads = f"<|vision_start|>{'<|video_pad|>' * frame}<|vision_end|>"
            texts.append("".join(f"<{t} seconds>{pads}" for t in TIMES[prompt.question.id]))
    return "".join(f"<|vision_start|>{text}<|vision_end|>" for text in texts)


@pytest.mark.parametrize("name", [*TIMES, "a picture", "words alone"])
def test_a_prompt_is_the_released_one_with_a_token_for_each_merged_patch(
    released: str, prompts: list[Prompt], name: str
) -> None:
    [prompt] = [one for one in prompts if one.question.id == name]
    system = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    expected = (
        f"{system if 'Qwen2.5' in released else ''}<|im_start|>user\n"
        f"{placeholder(prompt, released)}{training_text(prompt.question)}<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    words = tokenizer(released)
    assert words.decode(prompt.token_ids) == expected
    assert prompt.token_ids.tolist() == words(expected)["input_ids"]


def test_clips_are_long_and_short(prompts: list[Prompt]) -> None:
    grids = {one.grid for prompt in prompts for one in prompt.shown if one.medium == "video"}
    assert {times for times, _, _ in grids} == {2, 4, 5}


def test_64_completions_of_the_sampler_have_the_learners_log_probs(
    policy: Policy, prompts: list[Prompt], sampled: Groups
) -> None:
    assert sum(len(some) for some in sampled) == 64
    assert largest_gap(policy, prompts, sampled) < TOLERANCE


def later_by_one(policy: Policy, prompt: Prompt, monkeypatch: pytest.MonkeyPatch) -> Prompt:
    """All words after what is shown."""
    [*_, (_, _, marks)] = policy.family.apart(prompt)
    positions = policy.family.positions(prompt.token_ids, prompt.shown)
    positions[:, marks[-1] + 1 :] += 1
    monkeypatch.setattr(policy.family, "positions", lambda *_: positions)
    return replace(prompt, next_position=prompt.next_position + 1)


def pixels_elsewhere(policy: Policy, prompt: Prompt, monkeypatch: pytest.MonkeyPatch) -> Prompt:
    """The last merged patch comes first."""
    merged = prompt.pixel_values.reshape(-1, 4, prompt.pixel_values.shape[1])
    return replace(prompt, pixel_values=merged[::-1].reshape(prompt.pixel_values.shape).copy())


@pytest.mark.parametrize("wrong", [later_by_one, pixels_elsewhere])
def test_a_wrong_place_or_pixel_would_show(
    policy: Policy,
    prompts: list[Prompt],
    sampled: Groups,
    wrong: Callable[[Policy, Prompt, pytest.MonkeyPatch], Prompt],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prompt, some = prompts[0], sampled[0]
    right = scored(policy, prompt, some)
    apart = scored(policy, wrong(policy, prompt, monkeypatch), some) - right
    assert np.abs(apart).max() > VISIBLE


OWN: dict[str, tuple[str, Any]] = {
    "Qwen2.5-VL-3B-Instruct": ("window_size", 11_200),
    "Qwen3-VL-8B-Instruct": ("deepstack_visual_indexes", []),
}
"""What a family's tower has of its own, and the same left out."""


def test_a_tower_without_what_its_family_has_would_show(
    policy: Policy,
    released: str,
    prompts: list[Prompt],
    sampled: Groups,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = scored(policy, prompts[0], sampled[0])
    monkeypatch.setattr(policy.model.model.visual, *OWN[released])
    assert np.abs(scored(policy, prompts[0], sampled[0]) - before).max() > VISIBLE


def test_a_packed_row_has_the_log_probs_and_gradients_of_plain_rows(
    policy: Policy, model: Path, prompts: list[Prompt], sampled: Groups
) -> None:
    plain = load_model(model, "float32")
    policy.zero_grad()
    for prompt, some in zip(prompts, sampled, strict=True):
        tokens = [some[0].token_ids, some[1].token_ids[:5], some[2].token_ids[:1]]
        packed, _ = policy([(prompt, tokens)], 1.0)
        mask = completion_mask([len(one) for one in tokens], packed.device)
        naive = naive_logprobs(plain, prompt, tokens, 1.0) * mask
        torch.testing.assert_close(packed, naive, atol=TOLERANCE, rtol=0)
        packed.sum().backward()
        naive.sum().backward()
    found = dict(policy.model.named_parameters())
    for name, parameter in plain.named_parameters():
        apart = (found[name].grad - parameter.grad).norm() / parameter.grad.norm()
        assert apart < TOLERANCE, f"{name}: {apart:.2g}"


def test_sampler_and_learner_agree_after_every_update(
    trained: Trained, prompts: list[Prompt]
) -> None:
    last = Policy(load_model(trained.export, "float32"))
    gaps = [*trained.gaps, largest_gap(last, prompts, trained.answers)]
    assert len(gaps) == len(STEPS) + 1
    assert all(0 < gap < TOLERANCE for gap in gaps), gaps  # 0 is of no token at all


def test_a_head_of_its_own_reaches_the_engine_and_one_that_stayed_behind_would_show(
    trained: Trained, model: Path, released: str, prompts: list[Prompt]
) -> None:
    names = [{name for name in one if "lm_head" in name} for one in trained.published]
    assert names == [set() if KNOWN[released].tied else {"lm_head.weight"}] * len(STEPS)
    for name in ("lm_head.weight", "model.language_model.embed_tokens.weight"):
        sums = [one[name] for one in trained.published if name in one]
        assert len(set(sums)) == len(sums)
    stale = Policy(load_model(trained.export, "float32"))
    with torch.no_grad():
        stale.model.lm_head.weight.copy_(load_model(model, "float32").lm_head.weight)
    assert largest_gap(stale, prompts[:1], trained.answers[:1]) > VISIBLE


def test_transformers_scores_an_export_as_vllm_answers_from_it(
    model: Path, prompts: list[Prompt], sampled: Groups
) -> None:
    plain = load_model(model, "float32")
    for prompt, some in zip(prompts, sampled, strict=True):
        with torch.no_grad():
            rows = naive_logprobs(plain, prompt, [one.token_ids for one in some], 1.0).numpy()
        for row, one in zip(rows, some, strict=True):
            np.testing.assert_allclose(row[: len(one.logprobs)], one.logprobs, atol=TOLERANCE)


def test_a_learner_goes_on_from_a_state_bit_for_bit(
    trained: Trained, ranks: Ranks, learner: Learner, released: str
) -> None:
    begin(ranks, learner.base, released)
    step, state = newest_state(trained.states)
    assert step == STEPS[-2]
    ranks.all("load_state", state)
    ranks.step(STEPS[-1], trained.last)
    again = published(ranks, STEPS[-1], learner.parts)
    assert checksums(again) == trained.published[-1]
