"""Drafts change how many steps a sample takes, and nothing of what is sampled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from actors.drafting import mend
from actors.drafting.drafter import Drafter
from actors.rollout import RolloutWorker
from actors.vllm_engine import VllmEngine
from videothinker.config.settings import RolloutConfig, VideoConfig
from videothinker.errors import InputError
from videothinker.method.prompts import training_text
from videothinker.mini import SHIPPED_BASE
from videothinker.model.parts import as_part
from videothinker.model.policy import Policy, load_model
from videothinker.model.processing import PromptBuilder
from videothinker.process import metrics
from videothinker.types import Completion, Prompt, Question

DRAFTS, LENGTH = 4, 12
"""Tokens of an answer, which names one of a few events up to there."""
SAMPLES, ROUNDS = 64, 24


@pytest.fixture(scope="module")
def worker() -> RolloutWorker:
    """In this process, without Ray."""
    config = RolloutConfig(max_model_len=512, cache_gb=0.25, drafts=DRAFTS)
    return RolloutWorker("here", SHIPPED_BASE, "float32", config, 48, "cpu")


@pytest.fixture(scope="module")
def policy() -> Policy:
    return Policy(load_model(SHIPPED_BASE, "float32"))


@pytest.fixture(scope="module")
def asked(
    mini_world: Path, mini_questions: list[Question], read_here: Any, mini_video: VideoConfig
) -> list[Prompt]:
    builder = PromptBuilder(SHIPPED_BASE, mini_world / "raw" / "videos", read_here(mini_video))
    return [builder.build(one, training_text(one)) for one in mini_questions[:4]]


@pytest.fixture(scope="module")
def engine(worker: RolloutWorker, asked: list[Prompt]) -> VllmEngine:
    """It has given answers to guess from."""
    list(sample(worker._engine, asked, 48))
    return worker._engine


def sample(
    engine: VllmEngine,
    prompts: Sequence[Prompt],
    tokens: int,
    temperature: float = 1.0,
    seed: int = 0,
    samples: int = SAMPLES,
) -> list[Completion]:
    seeds = range(seed, seed + len(prompts))
    groups = engine.sample(
        prompts, samples=samples, temperature=temperature, max_tokens=tokens, seeds=seeds
    )
    return [one for _, group in sorted(groups, key=lambda found: found[0]) for one in group]


def logprobs(
    policy: Policy, prompt: Prompt, found: Sequence[Sequence[int]], temperature: float
) -> list[np.ndarray]:
    with torch.no_grad():
        rows, _ = policy([(prompt, [np.asarray(one) for one in found])], temperature)
    return [row[: len(one)].numpy() for row, one in zip(rows, found, strict=True)]


def surprise(
    engine: VllmEngine, policy: Policy, prompt: Prompt, temperature: float
) -> tuple[float, float]:
    """How likely beginnings so often, or more unlike what they should be, are; and how far their
    log-probs are from the policy's.
    """
    drawn = [
        one
        for number in range(ROUNDS)
        for one in sample(engine, [prompt], LENGTH, temperature, SAMPLES * number)
    ]
    counts = Counter(tuple(one.token_ids.tolist()) for one in drawn)
    expected = dict(zip(counts, logprobs(policy, prompt, list(counts), temperature), strict=True))
    gap = max(float(np.abs(expected[(*one.token_ids,)] - one.logprobs).max()) for one in drawn)
    chances = {one: float(np.exp(found.sum())) for one, found in expected.items()}
    often = [one for one, chance in chances.items() if chance * len(drawn) >= 5]
    observed = [counts[one] for one in often]
    due = [chances[one] * len(drawn) for one in often]
    observed.append(len(drawn) - sum(observed))
    due.append(len(drawn) - sum(due))
    return float(chisquare(observed, due).pvalue), gap


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_beginnings_come_as_often_as_the_model_says_whatever_was_guessed(
    engine: VllmEngine, policy: Policy, asked: list[Prompt], temperature: float
) -> None:
    drafted, accepted = metrics.DRAFTED_TOKENS._value.get(), metrics.ACCEPTED_TOKENS._value.get()
    chance, gap = surprise(engine, policy, asked[0], temperature)
    drafted = metrics.DRAFTED_TOKENS._value.get() - drafted
    accepted = metrics.ACCEPTED_TOKENS._value.get() - accepted
    assert 100 < accepted < drafted - 100  # both ways of ending a draft were taken
    assert chance > 1e-3
    assert gap < 1e-4


def test_the_comparison_finds_a_sampler_that_takes_every_draft(
    engine: VllmEngine, policy: Policy, asked: list[Prompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    from vllm.v1.sample import rejection_sampler

    drawn = rejection_sampler.generate_uniform_probs
    monkeypatch.setattr(
        rejection_sampler, "generate_uniform_probs", lambda *given: drawn(*given).zero_()
    )
    chance, gap = surprise(engine, policy, asked[0], 1.0)
    assert chance < 1e-9
    assert gap < 1e-4  # its log-probs alone would not tell


def test_a_most_likely_answer_is_the_same_with_and_without(
    engine: VllmEngine, asked: list[Prompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_drafts = sample(engine, asked, 48, 0.0, samples=1)
    monkeypatch.setattr(Drafter, "propose", lambda _, sampled, *rest, **more: [[] for _ in sampled])
    without = sample(engine, asked, 48, 0.0, samples=1)
    for ours, theirs in zip(with_drafts, without, strict=True):
        np.testing.assert_array_equal(ours.token_ids, theirs.token_ids)


def test_weights_that_come_in_the_middle_sample_what_follows(
    engine: VllmEngine, policy: Policy, asked: list[Prompt]
) -> None:
    """Guesses of the old weights are checked by the new."""
    changed = Policy(load_model(SHIPPED_BASE, "float32"))
    with torch.no_grad():
        for parameter in changed.model.parameters():
            parameter *= 0.9
    part = as_part(1, changed.model.named_parameters())

    def begun() -> bool:
        running = engine._engine.output_processor.request_states.values()
        return any(one.detokenizer.num_output_tokens() >= 6 for one in running)

    with ThreadPoolExecutor(1) as pool:
        sampling = pool.submit(sample, engine, asked[:1], 48)
        while not engine._thread.call(begun):
            assert not sampling.done()
        engine.load(1, [part])
        drawn = sampling.result()
    assert {0, 1} == {int(version) for one in drawn for version in one.weights_versions}
    tokens = [one.token_ids for one in drawn]
    for version, theirs in enumerate((policy, changed)):
        found = logprobs(theirs, asked[0], tokens, 1.0)
        for one, expected in zip(drawn, found, strict=True):
            own = one.weights_versions == version
            np.testing.assert_allclose(one.logprobs[own], expected[own], atol=1e-4)


CPU = torch.device("cpu")


@pytest.fixture
def constrain(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """vLLM's place of the mend, with a function in it that the test gives."""
    from vllm.v1.sample import rejection_sampler

    def put(expand: Callable[..., Any]) -> Any:
        monkeypatch.setattr(rejection_sampler, "expand_batch_to_tokens", expand)
        return rejection_sampler

    return put


def test_temperatures_that_were_never_written_are_mended(constrain: Callable[..., Any]) -> None:
    sampler = constrain(lambda values, *rest, **more: values.new_zeros(rest[1]))
    mend.mend_temperatures(CPU)
    assert sampler.expand_batch_to_tokens is mend.spread


def test_what_is_right_is_left_alone(constrain: Callable[..., Any]) -> None:
    def right(*given: Any, **named: Any) -> Any:
        return mend.spread(*given, **named)

    sampler = constrain(right)
    mend.mend_temperatures(CPU)
    assert sampler.expand_batch_to_tokens is right


def test_a_fault_in_another_place_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from vllm.v1.sample import rejection_sampler

    monkeypatch.setattr(
        rejection_sampler, "apply_sampling_constraints", lambda logits, *rest: logits
    )
    monkeypatch.setattr(rejection_sampler, "expand_batch_to_tokens", None)
    with pytest.raises(InputError, match=r"rollout\.drafts: this version of vLLM"):
        mend.mend_temperatures(CPU)
