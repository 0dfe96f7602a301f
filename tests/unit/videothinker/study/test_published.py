"""What the pages say in words about the study is what the published results hold."""

from __future__ import annotations

import json
import re
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

ROOT = Path(__file__).parents[4]
STUDY = "docs/study.md"


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    results: dict[str, Any] = json.loads((ROOT / "docs/study/results.json").read_text())
    return results


@pytest.fixture(scope="module")
def values(found: dict[str, Any]) -> dict[str, Any]:
    """By the names that the sentences below use."""
    named: dict[str, Any] = {"cells": len(found["cells"]), "questions": found["questions"]}
    for arm, entry in found["arms"].items():
        named[arm] = {metric: one["mean"] for metric, one in entry.items()}
        named[f"{arm}_interval"] = {metric: interval(one) for metric, one in entry.items()}
        named[f"{arm}_by_base"] = {
            metric: [
                fmean(
                    cell["arms"][arm][metric]
                    for cell in found["cells"].values()
                    if cell["warm_start"] == start
                )
                for start in found["warm_starts"]
            ]
            for metric in ("inferential", "overall")
        }
    for pair, entry in found["paired"].items():
        kinds = {metric: one for metric, one in entry.items() if isinstance(one, dict)}
        named[pair.replace("-", "_")] = {
            metric: f"{one['mean']:.2f} {interval(one)}" for metric, one in kinds.items()
        }
    for arm, entry in found["pull"].items():
        named[f"{arm}_pull"] = {name: 1000 * value for name, value in entry.items()}
    return named


def interval(one: dict[str, float]) -> str:
    return f"[{one['low'] + 0.0:.2f}, {one['high']:.2f}]"


SAID = [
    "{questions[overall]} test questions, {questions[observational]} of them observational",
    "The bias model takes the shortcut: {bias[observational]:.2f} observational,"
    " {bias[inferential]:.2f} inferential",
    "inferential accuracy falls from {base[inferential]:.2f} to {grpo[inferential]:.2f}, a loss of"
    " {base_minus_grpo[inferential]}",
    "{grpo[divergence]:.2f} nats a token away",
    "at a coefficient of 0.3 it is {cdpo_30[inferential]:.2f}, which is"
    " {cdpo_30_minus_grpo[inferential]} above plain GRPO",
    "helps on the shipped base ({cdpo_01_by_base[inferential][0]:.2f} inferential)",
    "({cdpo_01_by_base[inferential][1]:.2f} and {cdpo_01_by_base[inferential][2]:.2f})",
    "observational accuracy is {cdpo_30[observational]:.2f} {cdpo_30_interval[observational]} in"
    " place of {grpo[observational]:.2f}",
    "{cdpo_30[cosmetic]:.2f} of the inferential answers are cosmetic",
    "{bounded[inferential]:.2f} and {adaptive[inferential]:.2f} inferential,"
    " {bounded[overall]:.2f} and {adaptive[overall]:.2f} of all",
    "away from the base {repel_base[inferential]:.2f}, away from a model that was trained on a fair"
    " mix {repel_balanced[inferential]:.2f}. Attraction to the bias model:"
    " {attract_bias[inferential]:.2f}",
    "gives {attract_base[inferential]:.2f} {attract_base_interval[inferential]}",
    "{attract_base_by_base[inferential][0]:.2f}, {attract_base_by_base[inferential][1]:.2f} and"
    " {attract_base_by_base[inferential][2]:.2f}",
    "inferential {discount_50[inferential]:.2f}, which is {discount_50_minus_grpo[inferential]}"
    " above plain GRPO, and {discount_50[overall]:.2f} of all questions right,"
    " {discount_50_minus_grpo[overall]} above it",
    "({discount_50_by_base[inferential][0]:.2f}, {discount_50_by_base[inferential][1]:.2f} and"
    " {discount_50_by_base[inferential][2]:.2f})",
    "({discount_50_by_base[overall][0]:.2f}, {discount_50_by_base[overall][1]:.2f} and"
    " {discount_50_by_base[overall][2]:.2f}, against {grpo_by_base[overall][0]:.2f},"
    " {grpo_by_base[overall][1]:.2f} and {grpo_by_base[overall][2]:.2f})",
    "come to the same {discount_25[inferential]:.2f} and {discount_75[inferential]:.2f}",
    "{discount_50[cosmetic]:.2f} of the inferential answers are cosmetic; the aim",
    "ends below plain GRPO overall ({discount_25_by_base[overall][1]:.2f})",
    "{replay_4[overall]:.2f} of all questions, inferential {replay_4[inferential]:.2f},"
    " {replay_4[cosmetic]:.2f} cosmetic",
    "{replay_4_by_base[inferential][0]:.2f}, {replay_4_by_base[inferential][1]:.2f} and"
    " {replay_4_by_base[inferential][2]:.2f} by base model",
    "with {grpo_pull[observational]:.1f}, inferential ones towards reasoning with"
    " {grpo_pull[inferential]:+.1f}",
    "the sum is {grpo_pull[all]:.1f}",
    "An even mix comes to {balanced_pull[all]:+.1f}. Repulsion at 0.01 adds"
    " {cdpo_01_pull[divergence]:+.1f}",
    "at 0.3 it adds {cdpo_30_pull[divergence]:+.1f}",
    "({cdpo_30_pull[elsewhere]:.1f} against {cdpo_30_pull[choice]:.1f} at this one)",
    "to {discount_50_pull[all]:+.1f} at 0.5 and {discount_75_pull[all]:+.1f} at 0.75",
]


@pytest.mark.parametrize("sentence", SAID)
def test_a_figure_of_the_studys_page_is_a_published_one(
    values: dict[str, Any], sentence: str
) -> None:
    assert sentence.format(**values) in words_of(STUDY)


def test_no_figure_of_the_readme_is_another(values: dict[str, Any]) -> None:
    said = (
        "inferential accuracy falls from {base[inferential]:.2f} to {grpo[inferential]:.2f} under"
        " plain GRPO; repulsion brings it back to {cdpo_30[inferential]:.2f}, at the price of"
        " observational accuracy ({cdpo_30[observational]:.2f} in place of"
        " {grpo[observational]:.2f}); a discount on what the bias model knows already brings it to"
        " {discount_50[inferential]:.2f} with {discount_50[observational]:.2f}"
    )
    assert said.format(**values) in words_of("README.md")


def test_what_is_said_of_single_cells_holds(found: dict[str, Any]) -> None:
    """A cell is one base model and one seed."""
    cells = [cell["arms"] for cell in found["cells"].values()]
    worse = [one for one in cells if one["discount_50"]["overall"] < one["grpo"]["overall"] - 0.01]
    assert len(worse) == 3
    assert sum(one["discount_50"]["words"] > 23 for one in worse) == 2
    assert sum(one["discount_50"]["words"] > 23 for one in cells) == 3
    assert sum(one["cdpo_30"]["overall"] == 0 for one in cells) == 1
    assert all(one["replay_4"]["overall"] >= one["grpo"]["overall"] for one in cells)


def test_only_the_base_and_the_even_mix_stand_after_correction(found: dict[str, Any]) -> None:
    stand = {
        pair.split("-minus-")[0]
        for pair, entry in found["paired"].items()
        for metric in ("inferential", "overall")
        if entry[metric].get("p_holm", 1) < 0.05
    }
    assert stand == {"base", "balanced"}


def words_of(page: str) -> str:
    return re.sub(r"\s+", " ", (ROOT / page).read_text())
