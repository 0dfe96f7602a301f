"""One engine, several callers: who gets what, and what new weights in the middle of it do."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from actors import vllm_engine
from actors.rollout import RolloutWorker
from actors.vllm_engine import VllmEngine
from actors.vllm_input import engine_input
from videothinker.config.settings import RolloutConfig, VideoConfig
from videothinker.method.prompts import training_text
from videothinker.model.parts import as_part
from videothinker.model.policy import Policy, load_model
from videothinker.model.processing import ClipSource, PromptBuilder
from videothinker.types import Completion, Prompt, Question, WeightsPart

TOLERANCE = 1e-4
SIZE = RolloutConfig(max_model_len=512, cache_gb=0.25)
LONG, SHORT = 96, 24
Groups = dict[int, tuple[Completion, ...]]


@pytest.fixture(scope="module")
def worker(mini_base: Path) -> RolloutWorker:
    """In this process, without Ray."""
    return RolloutWorker("here", mini_base, "float32", SIZE, LONG, "cpu")


@pytest.fixture(scope="module")
def engine(worker: RolloutWorker) -> VllmEngine:
    return worker._engine


@pytest.fixture(scope="module")
def prompts(
    mini_base: Path,
    mini_world: Path,
    mini_questions: list[Question],
    read_here: Any,
    mini_video: VideoConfig,
) -> list[Prompt]:
    clips: ClipSource = read_here(mini_video)
    builder = PromptBuilder(mini_base, mini_world / "raw" / "videos", clips)
    return [builder.build(q, training_text(q)) for q in mini_questions[:8]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Edition:
    """The tiny model under one version of weights, on the disk, as a block, and to compare with."""

    checkpoint: Path
    weights: WeightsPart
    policy: Policy


@pytest.fixture(scope="module")
def editions(mini_base: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Edition]:
    """Versions 0 (the checkpoint), 1 and 2, far enough apart that log-probs tell them."""
    made = []
    for version in range(3):
        model = load_model(mini_base, "float32")
        generator = torch.Generator().manual_seed(version)
        with torch.no_grad():
            for parameter in model.parameters():
                noise = torch.randn(parameter.shape, generator=generator)
                parameter += 0.02 * bool(version) * noise
        folder = tmp_path_factory.mktemp("edition") / "model"
        shutil.copytree(mini_base, folder)
        if version:
            model.save_pretrained(folder)
        weights = as_part(version, model.named_parameters())
        made.append(Edition(checkpoint=folder, weights=weights, policy=Policy(model)))
    return made


@pytest.fixture
def callers() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def sample(
    engine: VllmEngine, prompts: Sequence[Prompt], tokens: int = SHORT, samples: int = 4
) -> Groups:
    seeds = range(len(prompts))
    return dict(
        engine.sample(prompts, samples=samples, temperature=1.0, max_tokens=tokens, seeds=seeds)
    )


def wait_for_tokens(engine: VllmEngine, tokens: int) -> None:
    """Until some completion has so many."""

    def longest() -> int:
        running = engine._engine.output_processor.request_states.values()
        return max((one.detokenizer.num_output_tokens() for one in running), default=0)

    while engine._thread.call(longest) < tokens:
        pass


def gaps(policy: Policy, prompt: Prompt, completions: Sequence[Completion]) -> list[np.ndarray]:
    """Of each token, how far the sampler's log-prob is from this policy's."""
    with torch.no_grad():
        logp, _ = policy([(prompt, [c.token_ids for c in completions])], 1.0)
    return [
        np.abs(row[: len(c.logprobs)].numpy() - c.logprobs)
        for row, c in zip(logp, completions, strict=True)
    ]


def assert_equal(found: Groups, expected: Groups) -> None:
    assert found.keys() == expected.keys()
    for number, completions in expected.items():
        for ours, theirs in zip(found[number], completions, strict=True):
            np.testing.assert_array_equal(ours.token_ids, theirs.token_ids)
            np.testing.assert_array_equal(ours.logprobs, theirs.logprobs)


def step_by_hand(engine: VllmEngine, prompts: Sequence[Prompt]) -> Groups:
    """The plainest way to ask vLLM: forget, add all, step until nothing is left."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    vllm = engine._engine
    vllm.reset_prefix_cache()
    vllm.reset_encoder_cache()
    for index, prompt in enumerate(prompts):
        params = SamplingParams(
            n=4,
            temperature=1.0,
            max_tokens=SHORT,
            seed=index,
            logprobs=0,
            logit_bias=engine._bias,
            stop_token_ids=engine._end_tokens,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        vllm.add_request(f"by hand {index}", engine_input(prompt, engine._family), params)
    found: Groups = {}
    while vllm.has_unfinished_requests():
        for output in vllm.step():
            if output.finished:
                found[int(output.request_id.split()[-1])] = tuple(
                    vllm_engine.completion(one, [(0, {})], engine._decode) for one in output.outputs
                )
    return found


def test_a_call_alone_gives_what_stepping_by_hand_gives_bit_for_bit(
    engine: VllmEngine, prompts: list[Prompt]
) -> None:
    expected = engine._thread.call(lambda: step_by_hand(engine, prompts))
    sample(engine, prompts[3:])  # which would leave something to remember
    assert_equal(sample(engine, prompts), expected)


def test_callers_at_the_same_time_get_their_own_groups(
    engine: VllmEngine, prompts: list[Prompt], editions: list[Edition], callers: ThreadPoolExecutor
) -> None:
    shares = [prompts[:2], prompts[2:4], prompts[4:6], prompts[6:]]
    answers = [callers.submit(sample, engine, some, SHORT, n + 2) for n, some in enumerate(shares)]
    for number, (some, answer) in enumerate(zip(shares, answers, strict=True)):
        groups = answer.result()
        assert sorted(groups) == [0, 1]
        for index, completions in groups.items():
            assert len(completions) == number + 2
            found = gaps(editions[0].policy, some[index], completions)
            assert max(gap.max() for gap in found) < TOLERANCE


def test_a_prompt_that_vllm_refuses_takes_the_whole_call_along_and_nobody_else(
    engine: VllmEngine, prompts: list[Prompt], callers: ThreadPoolExecutor
) -> None:
    others = callers.submit(sample, engine, prompts[:2], LONG)
    wait_for_tokens(engine, 1)
    endless = replace(prompts[0], token_ids=np.full(600, 40), shown=())
    with pytest.raises(Exception, match="longer than the maximum model length of 512"):
        sample(engine, [prompts[1], endless])
    assert len(others.result()) == 2
    assert not engine._histories


def test_who_stops_listening_leaves_nothing_behind(
    engine: VllmEngine, prompts: list[Prompt]
) -> None:
    expected = sample(engine, prompts[2:4])
    groups = engine.sample(prompts, samples=4, temperature=1.0, max_tokens=LONG, seeds=range(8))
    next(groups)
    groups.close()  # type: ignore[attr-defined]
    assert_equal(sample(engine, prompts[2:4]), expected)


@pytest.fixture(scope="module")
def interrupted(
    engine: VllmEngine, prompts: list[Prompt], editions: list[Edition]
) -> tuple[Groups, dict[int, list[Any]]]:
    """Groups during which versions 1 and 2 arrived, and vLLM's own account of who sampled what."""
    accounts: dict[int, list[Any]] = {}
    ours = vllm_engine.completion

    def overheard(output: Any, *arguments: Any) -> Completion:
        completion = ours(output, *arguments)
        accounts[id(completion)] = output.weight_versions
        return completion

    def load(edition: Edition) -> None:
        engine._engine.set_weight_version(str(edition.weights.version))
        engine._load(edition.weights.version, [edition.weights])

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as caller:
        patch.setattr(vllm_engine, "completion", overheard)
        engine._thread.call(lambda: load(editions[0]))
        sampling = caller.submit(sample, engine, prompts, LONG)
        for edition, tokens in zip(editions[1:], (20, 50), strict=True):
            wait_for_tokens(engine, tokens)
            engine._thread.call(lambda edition=edition: load(edition))
        return sampling.result(), accounts


def test_tokens_have_the_log_probs_of_the_weights_that_sampled_them(
    interrupted: tuple[Groups, Any], prompts: list[Prompt], editions: list[Edition]
) -> None:
    groups, _ = interrupted
    sampled = [0, 0, 0]
    for index, completions in groups.items():
        found = [gaps(edition.policy, prompts[index], completions) for edition in editions]
        for row, completion in enumerate(completions):
            own = np.stack([gap[row] for gap in found])
            versions = completion.weights_versions
            assert versions.dtype == np.int32
            assert len(versions) == len(completion.token_ids)
            assert own[versions, np.arange(len(versions))].max() < TOLERANCE
            for version in range(3):
                sampled[version] += int((versions == version).sum())
                others = own[version][versions != version]
                assert not len(others) or np.median(others) > 100 * TOLERANCE
    assert min(sampled) > 100


def test_versions_are_those_that_vllm_itself_reports(
    engine: VllmEngine, interrupted: tuple[Groups, Any]
) -> None:
    groups, accounts = interrupted
    completions = [one for completions in groups.values() for one in completions]
    mixed = 0
    for completion in completions:
        reported = np.empty(len(completion.token_ids), np.int32)
        for span in accounts[id(completion)]:
            reported[span.start : span.end] = int(span.version)
        np.testing.assert_array_equal(completion.weights_versions, reported)
        mixed += len(set(reported.tolist())) == 3
    assert mixed


def test_an_engine_updated_in_flight_equals_a_fresh_one(
    interrupted: Any, engine: VllmEngine, prompts: list[Prompt], editions: list[Edition]
) -> None:
    found = sample(engine, prompts)
    fresh = VllmEngine(editions[2].checkpoint, "float32", SIZE, "cpu")
    assert_equal(found, sample(fresh, prompts))
    assert {v for group in found.values() for c in group for v in c.weights_versions} == {2}


def test_an_engine_keeps_nothing_of_the_part_it_was_given(
    engine: VllmEngine, prompts: list[Prompt], editions: list[Edition]
) -> None:
    weights = editions[1].weights
    engine.load(1, [weights])
    expected = sample(engine, prompts)
    own = {name: replace(s, content=s.content.copy()) for name, s in weights.tensors.items()}
    engine.load(1, [replace(weights, tensors=own)])
    for stored in own.values():
        stored.content[:] = 0
    assert_equal(sample(engine, prompts), expected)


def test_a_group_is_as_old_as_its_oldest_token(
    worker: RolloutWorker,
    engine: VllmEngine,
    prompts: list[Prompt],
    editions: list[Edition],
    callers: ThreadPoolExecutor,
) -> None:
    engine.load(1, [editions[1].weights])
    stream = worker.generate(1, 4, 1.0, [0, 1], *prompts[:2])
    sampling = callers.submit(list, stream)
    wait_for_tokens(engine, 10)
    assert worker.load(2, editions[2].weights) == 2
    for _, group in sampling.result():
        seen = np.concatenate([c.weights_versions for c in group.completions])
        assert group.weights_version == seen.min() == 1
        assert seen.max() == 2
