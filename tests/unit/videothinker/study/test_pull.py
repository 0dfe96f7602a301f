"""The slope that is read from rollouts is the loss's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from videothinker.config.kl import KLConfig
from videothinker.method.objective import policy_loss
from videothinker.mini import SHIPPED_BASE
from videothinker.mini.texts import OPENINGS
from videothinker.study.pull import PULLS, group_pull, mean_pull, parting, pull

CHOICE = 1
LENGTHS = (3, 5, 4)
TEXTS = (OPENINGS["reasoning"], OPENINGS["shortcut"], OPENINGS["reasoning"])
ADVANTAGES = (1.2, -0.4, -0.8)
LOG_ODDS = -0.3
OTHERS = -0.7
"""Log-prob of every token but the one that chooses."""
ANCHOR = -1.1
"""Of every token."""


def logprobs(log_odds: torch.Tensor) -> list[torch.Tensor]:
    """A policy of which only the choice between the wordings has a parameter."""
    rows = []
    for text, length in zip(TEXTS, LENGTHS, strict=True):
        chosen = torch.nn.functional.logsigmoid(
            log_odds if text == OPENINGS["reasoning"] else -log_odds
        )
        row = torch.full((length,), OTHERS)
        rows.append(torch.cat([row[:CHOICE], chosen[None], row[CHOICE + 1 :]]))
    return rows


def slope(kl: KLConfig) -> float:
    """Of the gain, by the loss that trains."""
    log_odds = torch.tensor(LOG_ODDS, requires_grad=True)
    rows = logprobs(log_odds)
    logp = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones(n) for n in LENGTHS], batch_first=True)
    loss, _ = policy_loss(
        logp,
        logp.detach(),
        None if kl.direction == "none" else torch.full_like(logp, ANCHOR),
        torch.tensor(ADVANTAGES),
        mask,
        direction=kl.direction,
        coefficient=kl.coefficient,
    )
    (gradient,) = torch.autograd.grad(-loss, log_odds)
    return float(gradient)


def row(texts: Sequence[str] = TEXTS, category: str = "inferential") -> dict[str, Any]:
    return {
        "category": category,
        "completions": list(texts),
        "logprobs": [one.tolist() for one in logprobs(torch.tensor(LOG_ODDS))],
        "anchor_logprobs": [[ANCHOR] * length for length in LENGTHS],
        "advantages": list(ADVANTAGES),
    }


@pytest.mark.parametrize("direction", ["none", "repel", "attract", "discount", "tie_break"])
def test_it_is_the_slope_of_the_loss_by_the_log_odds_of_reasoning(direction: Any) -> None:
    kl = KLConfig(direction=direction, coefficient=0.4)
    found = group_pull(row(), CHOICE, kl)
    assert found["all"] + found["divergence"] == pytest.approx(slope(kl), rel=1e-5)
    assert found["all"] == pytest.approx(slope(KLConfig()), rel=1e-5)
    assert found["inferential"] == found["all"]


def test_the_divergences_force_is_split_between_the_choice_and_the_rest() -> None:
    found = group_pull(row(), CHOICE, KLConfig(direction="repel", coefficient=0.4))
    by_token = 0.4 * abs(1 - np.exp(ANCHOR - OTHERS))
    parts = [by_token * (length - 1) / length for length in LENGTHS]
    assert found["elsewhere"] == pytest.approx(np.mean(parts), rel=1e-5)
    assert found["choice"] > 0


def test_an_answer_in_neither_wording_has_no_choice() -> None:
    kl = KLConfig(direction="repel", coefficient=0.4)
    found = group_pull(row(["else"] * 3), CHOICE, kl)
    assert found["all"] == found["divergence"] == found["choice"] == 0
    assert found["elsewhere"] > 0


def test_the_wordings_part_after_the_tag() -> None:
    assert parting(SHIPPED_BASE) >= 1


def test_the_first_steps_of_a_stage_are_read_and_averaged_over_groups(tmp_path: Path) -> None:
    place = parting(SHIPPED_BASE)
    (tmp_path / "rollouts").mkdir()
    for step in (1, 2, 11):
        rows = [row(category="observational"), row()]
        for one in rows:
            one["anchor_logprobs"] = None
            one["logprobs"] = [[OTHERS] * (place + 2)] * 3
        pq.write_table(
            pa.Table.from_pylist(rows), tmp_path / "rollouts" / f"grpo-{step:06}.parquet"
        )
    found = pull(tmp_path, "grpo", SHIPPED_BASE, KLConfig())
    assert found is not None
    assert {name: len(values) for name, values in found.items()} == {
        name: 2 if name in ("observational", "inferential") else 4 for name in PULLS
    }
    assert mean_pull([found, None]) == {name: values.mean() for name, values in found.items()}


def test_the_divergences_pull_is_that_of_each_steps_coefficient(tmp_path: Path) -> None:
    (tmp_path / "rollouts").mkdir()
    for step in (1, 2, 3):
        rows = pa.Table.from_pylist([row(["else"] * 3)])
        pq.write_table(rows, tmp_path / "rollouts" / f"cdpo-{step:06}.parquet")
    kl = KLConfig(direction="repel", coefficient=0.4, schedule="ramp", schedule_steps=2)
    found = pull(tmp_path, "cdpo", SHIPPED_BASE, kl)
    assert found is not None
    whole = group_pull(row(["else"] * 3), CHOICE, kl)["elsewhere"]
    assert found["elsewhere"] == pytest.approx([whole / 2, whole, whole])


def test_a_divergence_whose_gradient_is_not_the_log_probs_alone_is_left_out(tmp_path: Path) -> None:
    for kl in (
        KLConfig(direction="repel", estimator="exact"),
        KLConfig(direction="repel", target=1.0),
    ):
        assert pull(tmp_path, "bounded", SHIPPED_BASE, kl) is None
    assert mean_pull([None]) is None
