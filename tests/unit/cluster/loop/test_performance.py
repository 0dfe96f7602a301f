"""What a line of metrics.jsonl says of the roles: how fast they were, and what they hold."""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from builders import run_config, usage
from stand_ins import PART_BYTES, PROMPT_TOKENS, Pacing, Rank, Scorer, Stage

from cluster.loop.step import RoleWork, held, peak, rates
from videothinker.config.kl import KLConfig
from videothinker.config.settings import FaultsConfig, RolloutConfig, StageConfig
from videothinker.files import read_lines
from videothinker.model.families.known import shape_of
from videothinker.model.flops import forward_flops
from videothinker.process import metrics
from videothinker.types import AnchorScores, RolloutGroup

A6000 = "NVIDIA RTX A6000"


def test_of_several_processes_the_fullest_counts_and_cards_are_averaged() -> None:
    heard = [
        usage(memory=2_000_000_000, peak=5_000_000_000, utilisation=0.5, threads=4),
        usage(memory=3_000_000_000, peak=4_000_000_000, utilisation=1.0, threads=4),
        None,
    ]
    assert held(heard) == {
        "memory_gb": 3.0,
        "memory_peak_gb": 5.0,
        "utilisation": 0.75,
        "threads": 4,
    }
    assert held([usage()])["utilisation"] is None
    assert held([None]) == held([]) == {}


def test_mfu_is_the_rate_over_what_all_cards_can_do() -> None:
    cards = [usage(card=A6000), usage(card=A6000)]
    most = peak(cards, "bfloat16")
    assert most == 2 * 154.8e12
    work = RoleWork(tokens=100, seconds=2.0, flops=1.548e14)
    assert rates(work, most) == {
        "tokens_per_second": 50,
        "flops_per_second": 7.74e13,
        "mfu": pytest.approx(0.25),
    }
    assert rates(replace(work, flops=None), most) == {"tokens_per_second": 50}
    assert rates(replace(work, seconds=0.0), most) == {}


@pytest.mark.parametrize(
    ("cards", "dtype"),
    [
        ([A6000, A6000], "float32"),
        ([A6000, "Tesla T4"], "bfloat16"),
        ([A6000, None], "bfloat16"),
        ([], "bfloat16"),
    ],
)
def test_where_one_card_is_unknown_there_is_no_mfu(cards: list[str | None], dtype: str) -> None:
    most = peak([usage(card=card) for card in cards], dtype)
    assert most is None
    assert rates(RoleWork(tokens=1, seconds=1.0, flops=1.0), most)["mfu"] is None


def test_an_engine_over_two_cards_counts_for_both() -> None:
    assert peak([usage(card=A6000, cards=2)], "bfloat16") == 2 * peak(
        [usage(card=A6000)], "bfloat16"
    )


def test_what_a_process_has_not_said_yet_is_not_guessed() -> None:
    assert peak([usage(card=A6000), None], "bfloat16") is None


class OnCard(Rank):
    """A learner on a GPU."""

    usage = usage(memory=30_000_000_000, peak=40_000_000_000, utilisation=0.9, card=A6000)


class Timed(Scorer):
    """Says how long it took: half a second a group, of two scorers."""

    async def logprobs(self, group: RolloutGroup, *rest: Any) -> AnchorScores:
        return replace(await super().logprobs(group, *rest), seconds=0.5)


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Of two steps, of four groups each of eight completions."""
    folder = tmp_path_factory.mktemp("run")
    stage = StageConfig(
        name="cdpo",
        questions=folder / "questions.parquet",
        steps=2,
        prompts_per_step=4,
        kl=KLConfig(direction="repel", anchor="base"),
    )
    config = run_config(
        folder,
        stage,
        model={"path": folder / "model", "dtype": "bfloat16"},
        rollout=RolloutConfig(workers=1),
        cluster={"device": "cpu", "scorers": 2},
        faults=FaultsConfig(heartbeat_seconds=0.02, silent_seconds=5),
    )
    run = Stage(
        config,
        learning=0.25,
        learner=lambda _: OnCard(0.25),
        anchor=lambda _: Timed(Pacing(0.0)),
    )
    with closing(run):
        return read_lines(run.train(lambda *_: None).path / "metrics.jsonl")


def test_each_role_s_figures_are_in_the_step_s_line(lines: list[dict[str, Any]]) -> None:
    roles = lines[-1]["roles"]
    assert list(roles) == ["rollout", "anchor", "learner"]
    assert roles["rollout"]["memory_gb"] == 0.6
    assert roles["learner"]["memory_peak_gb"] == 40
    assert roles["learner"]["utilisation"] == 0.9


def test_rates_are_of_the_time_at_work(lines: list[dict[str, Any]]) -> None:
    line = lines[-1]
    tokens = line["tokens"]
    assert line["roles"]["learner"]["tokens_per_second"] == pytest.approx(tokens / 0.25)
    assert line["roles"]["anchor"]["tokens_per_second"] == pytest.approx(tokens / (4 * 0.5 / 2))
    sampling = line["seconds"]["generate"]
    assert line["roles"]["rollout"]["tokens_per_second"] == pytest.approx(tokens / sampling)


def test_learner_and_scorer_are_counted_by_the_formula(
    lines: list[dict[str, Any]], tmp_path: Path, mini_base: Path
) -> None:
    shape, line = shape_of(Path(mini_base)), lines[-1]
    learner, anchor = line["roles"]["learner"], line["roles"]["anchor"]
    assert learner["flops_per_second"] * 0.25 == pytest.approx(
        3
        * anchor["flops_per_second"]
        * 1.0  # the same passes, once forward and with their way back
    )
    least = 4 * sum(forward_flops(shape, 64, PROMPT_TOKENS).values())
    assert anchor["flops_per_second"] > least
    assert learner["mfu"] == pytest.approx(learner["flops_per_second"] / 154.8e12)
    assert anchor["mfu"] is None


def test_the_last_update_of_an_engine_has_its_rate(lines: list[dict[str, Any]]) -> None:
    assert lines[-1]["sync_gb_per_second"] > PART_BYTES / 1e9 / 5
    assert metrics.WEIGHTS_BYTES._value.get() == PART_BYTES


def test_prometheus_is_told_what_the_known_cards_can_do(lines: list[dict[str, Any]]) -> None:
    assert metrics.PEAK_FLOPS.labels("learner")._value.get() == 154.8e12
    assert math.isnan(metrics.PEAK_FLOPS.labels("anchor")._value.get())
