"""The page's claim: what was measured, in words that need no glossary."""

from pathlib import Path
from typing import Any

import pytest
from evaluated_models import estimate, model

from videothinker.evaluation.intervals import difference
from videothinker.report.results import (
    claim,
    evaluated,
    lead,
    results_part,
    results_table,
    verdict,
)
from videothinker.run.directory import RunDirectory
from videothinker.status.snapshot import Snapshot, read_snapshot

BASE, BIAS, CDPO = model("base", 85, 31), model("bias", 99, 2), model("cdpo", 88, 42)


@pytest.fixture
def run(tmp_path: Path) -> Snapshot:
    directory = RunDirectory.create(tmp_path / "run", "name: trial\n")
    kl = {"direction": "repel", "anchor": "bias", "coefficient": 0.1}
    stages = [{"name": "bias", "kl": {"direction": "none"}}, {"name": "cdpo", "kl": kl}]
    unnamed: dict[str, Any] = {"evaluation": None}
    directory.summary({"stages": stages, "models": [BASE, unnamed, CDPO]})
    return read_snapshot(directory.path)


def test_the_claim_says_what_changed_between_the_first_and_the_last_model() -> None:
    assert claim([BASE, BIAS, CDPO]) == (
        "Questions that need thinking: 31% right before CDPO training, 42% after. Questions that "
        "only need looking: 85% right before, 88% after."
    )


def test_one_model_has_not_been_trained() -> None:
    assert claim([BASE]) == (
        "Before training, the model gets 31% of the questions that need thinking and 85% of the "
        "questions that only need looking right."
    )
    assert claim([]) == ""


def test_the_lead_explains_the_method_by_what_was_configured(run: Snapshot) -> None:
    said = lead(run, [BASE, BIAS, CDPO])
    assert said == (
        "CDPO is reinforcement learning on the model's own answers that also pushes the model away"
        " from a copy that was trained to answer by looking alone, the bias model."
    )
    assert "pushes" not in lead(run, [BASE, BIAS])


def test_the_lead_does_not_credit_repulsion_with_what_plain_grpo_reached_too(
    run: Snapshot,
) -> None:
    models = [BASE, BIAS, model("grpo", 88, 41), CDPO]
    assert lead(run, models).endswith("without that (plain GRPO) reached 41% and 88%.")


def test_the_verdict_tells_a_change_from_the_noise_of_the_questions() -> None:
    said = verdict([BASE, model("grpo", 88, 4), CDPO])
    assert "against the model before training +11 points" in said
    assert "), no more than the choice of questions explains; against plain GRPO +38" in said
    assert "), more than the choice of questions explains. Another training run" in said
    assert verdict([BASE]) == ""


def test_models_without_an_evaluation_are_left_out(run: Snapshot) -> None:
    assert evaluated(run) == [BASE, CDPO]


def test_the_difference_matches_newcombe_s_published_example() -> None:
    gap, low, high = difference(estimate(48, 80), estimate(56, 70))
    assert (gap, low, high) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)


def test_the_terminal_table_is_aligned_and_complete() -> None:
    table = results_table([BASE, {"name": "cdpo", "evaluation": None}])
    header, rule, base, cdpo = table.splitlines()
    assert header.split() == ["model", "observational", "inferential", "overall", "format", "n"]
    assert len(header) == len(rule) == len(base)
    assert "31.0 [22.8, 40.6]" in base
    assert cdpo.split() == ["cdpo", "-", "-", "-", "-", "0"]


def test_sorts_of_questions_stand_below_with_every_model(run: Snapshot) -> None:
    counting = {"mean": 0.5, "low": 0.25, "high": 0.75}
    sorted_base = {**BASE, "evaluation": {**BASE["evaluation"], "by_kind": {"number": counting}}}
    assert "number" not in results_table([BASE, CDPO])
    *_, head, rule, row = results_table([sorted_base, CDPO]).splitlines()
    assert head.split() == ["base", "cdpo"]
    assert set(rule) == {"-"}
    assert row.split() == ["answers:", "number", "50.0", "[25.0,", "75.0]", "-"]
    part = results_part([sorted_base, CDPO], {"base": 0, "cdpo": 1})
    assert part is not None
    assert part["sorts"] == {"answers: number": [("50.0", "25.0 to 75.0"), ("-", "")]}
