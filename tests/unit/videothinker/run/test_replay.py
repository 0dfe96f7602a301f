"""Completions of another model within a group: what they count, and how they are kept."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import builders
import numpy as np
import pytest
import torch
from batches import random_batch, slope

from videothinker.errors import InputError
from videothinker.method.objective import policy_loss, replay
from videothinker.run.replay import read_replay, write_replay
from videothinker.types import Completion

LAST = torch.tensor([False, False, False, True])


def test_a_good_replayed_completion_counts_in_full_and_a_bad_one_as_far_as_it_is_still_said() -> (
    None
):
    sampler = torch.full((4, 2), -1.0)
    policy = torch.full((4, 2), -1.5)
    everyone = torch.ones(4, dtype=torch.bool)
    good = replay(torch.ones(4), policy, sampler, everyone)
    bad = replay(-torch.ones(4), policy, sampler, everyone)
    torch.testing.assert_close(good, torch.ones(4))
    torch.testing.assert_close(bad, torch.full((4,), -math.exp(-1.0)))


def test_a_bad_completion_never_counts_more_than_once_and_own_ones_are_as_they_were() -> None:
    advantages = torch.tensor([-1.0, 1.0, -1.0, -1.0])
    policy, sampler = torch.full((4, 2), -0.5), torch.full((4, 2), -1.0)
    torch.testing.assert_close(replay(advantages, policy, sampler, LAST), advantages)
    torch.testing.assert_close(
        replay(advantages, policy - 9, sampler, LAST), torch.tensor([-1.0, 1.0, -1.0, 0.0])
    )


def test_a_replayed_completion_feels_no_divergence_and_says_nothing_of_the_sampler() -> None:
    logp, anchor, _, mask = random_batch(0, torch.float64)
    still = torch.zeros(4, dtype=torch.float64)
    loss, stats = policy_loss(
        logp,
        logp.detach(),
        anchor,
        still,
        mask,
        direction="repel",
        coefficient=0.1,
        sampler_logp=logp.detach() - 3 * LAST[:, None],
        replayed=LAST,
    )
    felt = slope(loss, logp).abs().sum(1)
    assert felt[3] == 0
    assert (felt[:3] > 0).all()
    assert stats["importance_mean"] == pytest.approx(1.0)


def test_a_good_replayed_completion_is_learned_alike_however_unlikely_it_has_become() -> None:
    logp, _, _, mask = random_batch(0, torch.float64)
    slopes = []
    for cap, likelier in itertools.product((None, 2.0), (0.0, 3.0)):
        loss, _ = policy_loss(
            logp,
            logp.detach(),
            None,
            LAST.double(),
            mask,
            sampler_logp=logp.detach() + likelier * LAST[:, None],
            importance_cap=cap,
            replayed=LAST,
        )
        slopes.append(slope(loss, logp))
    assert slopes[0][3].abs().sum() > 0
    for other in slopes[1:]:
        torch.testing.assert_close(slopes[0], other)


def test_replayed_completions_without_their_sampler_are_refused() -> None:
    logp, _, advantages, mask = random_batch(0, torch.float64)
    with pytest.raises(ValueError, match="replayed: needs sampler_logp"):
        policy_loss(logp, logp, None, advantages, mask, replayed=LAST)


def completion(text: str, start: int | None) -> Completion:
    length = len(text)
    logprobs = -np.arange(length)
    return builders.completion(text, length, logprobs=logprobs, version=3, answer_start=start)


def test_what_is_replayed_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "stage" / "replay.parquet"
    written = {"q1": (completion("one", 1), completion("two!", None)), "q2": (completion("3", 0),)}
    write_replay(file, written)
    read = read_replay(file)
    assert list(read) == ["q1", "q2"]
    for question, completions in written.items():
        for before, after in zip(completions, read[question], strict=True):
            for name in ("token_ids", "logprobs", "weights_versions"):
                wanted, found = getattr(before, name), getattr(after, name)
                np.testing.assert_array_equal(wanted, found)
                assert wanted.dtype == found.dtype
            assert before.text == after.text
            assert before.answer_start == after.answer_start


def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "replay.parquet"
    file.write_bytes(b"PAR1 no")
    with pytest.raises(InputError, match=r"replay\.parquet: what was sampled.*out=DIR"):
        read_replay(file)
