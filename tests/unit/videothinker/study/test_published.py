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


def read(file: str) -> dict[str, Any]:
    results: dict[str, Any] = json.loads((ROOT / file).read_text())
    return results


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return read("docs/study/results.json")


@pytest.fixture(scope="module")
def second() -> dict[str, Any]:
    return read("docs/study/discount/results.json")


def values_of(found: dict[str, Any]) -> dict[str, Any]:
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
    "At 0.5: inferential {discount_50[inferential]:.2f}, which is"
    " {discount_50_minus_grpo[inferential]} above plain GRPO, and {discount_50[overall]:.2f} of all"
    " questions right, {discount_50_minus_grpo[overall]} above it",
    "({discount_50_by_base[inferential][0]:.2f}, {discount_50_by_base[inferential][1]:.2f} and"
    " {discount_50_by_base[inferential][2]:.2f})",
    "({discount_50_by_base[overall][0]:.2f}, {discount_50_by_base[overall][1]:.2f} and"
    " {discount_50_by_base[overall][2]:.2f}, against {grpo_by_base[overall][0]:.2f},"
    " {grpo_by_base[overall][1]:.2f} and {grpo_by_base[overall][2]:.2f})",
    "the same inferential, {discount_25[inferential]:.2f} and {discount_75[inferential]:.2f}",
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


ROW = "{0[observational]:.2f} | {0[inferential]:.2f} | {0[overall]:.2f} | {0[cosmetic]:.2f}"
BOLD = "{0[observational]:.2f} | **{0[inferential]:.2f}** | **{0[overall]:.2f}** |"
ROWS = {
    "base": f"| base model | {ROW} |",
    "grpo": f"| plain GRPO | {ROW} |",
    "cdpo_30": f"| repulsion, 0.3 | {ROW} |",
    "discount_50": f"| **discount, 0.5** | {BOLD} {{0[cosmetic]:.2f}} |",
    "discount_25": f"| discount, 0.25 | {ROW} |",
    "discount_75": f"| discount, 0.75 | {ROW} |",
    "absolute_50": f"| discount, 0.5, `likelihood: absolute` | {ROW} |",
}
SAID_OF_THE_SECOND = [
    "inferential accuracy is {discount_50_minus_grpo[inferential]} above plain GRPO's, and"
    " {discount_50_minus_grpo[overall]} more of all questions are right; observational accuracy"
    " moves by {discount_50_minus_grpo[observational]}",
    "{discount_50[cosmetic]:.2f} of the inferential answers say in reasoning's words what the video"
    " shows ({discount_25[cosmetic]:.2f} and {discount_75[cosmetic]:.2f} at the other strengths)",
    "stay as short as the base's ({discount_50[words]:.0f} words)",
    "wins {discount_50_minus_cdpo_30[inferential]} inferential and"
    " {discount_50_minus_cdpo_30[overall]} of all",
    "its loss against the base is {base_minus_grpo[inferential]} over these nine",
    "it is {discount_25_pull[all]:+.1f}, {discount_50_pull[all]:+.1f} and"
    " {discount_75_pull[all]:+.1f} at 0.25, 0.5 and 0.75, where plain GRPO has"
    " {grpo_pull[all]:.1f}",
    "({discount_50_pull[observational]:.1f} at 0.5 in place of {grpo_pull[observational]:.1f})",
    "({discount_50_pull[inferential]:+.1f}, {grpo_pull[inferential]:+.1f})",
]


@pytest.mark.parametrize("sentence", SAID)
def test_a_figure_of_the_studys_page_is_a_published_one(
    found: dict[str, Any], sentence: str
) -> None:
    assert sentence.format(**values_of(found)) in words_of(STUDY)


@pytest.mark.parametrize("sentence", SAID_OF_THE_SECOND)
def test_a_figure_of_the_second_study_is_one(second: dict[str, Any], sentence: str) -> None:
    assert sentence.format(**values_of(second)) in words_of(STUDY)


@pytest.mark.parametrize("arm", ROWS)
def test_a_row_of_the_second_study_is_its_arms(second: dict[str, Any], arm: str) -> None:
    means = {metric: one["mean"] for metric, one in second["arms"][arm].items()}
    assert ROWS[arm].format(means) in words_of(STUDY)


def test_no_figure_of_the_readme_is_another(found: dict[str, Any], second: dict[str, Any]) -> None:
    said = (
        "inferential accuracy falls from {base[inferential]:.2f} to {grpo[inferential]:.2f} under"
        " plain GRPO; repulsion brings it back to {cdpo_30[inferential]:.2f}, at the price of"
        " observational accuracy ({cdpo_30[observational]:.2f} in place of"
        " {grpo[observational]:.2f})"
    )
    then = (
        "{discount_50[inferential]:.2f} inferential and {discount_50[observational]:.2f}"
        " observational, where plain GRPO has {grpo[inferential]:.2f} and"
        " {grpo[observational]:.2f}"
    )
    assert said.format(**values_of(found)) in words_of("README.md")
    assert then.format(**values_of(second)) in words_of("README.md")


def test_in_every_cell_of_the_second_study_discount_is_above_plain_grpo(
    second: dict[str, Any],
) -> None:
    strengths = ("discount_25", "discount_50", "discount_75")
    cells = [cell["arms"] for cell in second["cells"].values()]
    pairs = [(one[arm], one["grpo"]) for one in cells for arm in strengths]
    assert len(pairs) == 27
    for kind in ("inferential", "overall"):
        assert all(ours[kind] > theirs[kind] for ours, theirs in pairs)
    assert round(min(ours["overall"] for ours, _ in pairs), 2) == 0.84
    assert sum(one["cdpo_30"]["overall"] < 0.05 for one in cells) == 2
    kept = [name for name, c in second["cells"].items() if c["arms"]["grpo"]["inferential"] > 0.5]
    assert kept == ["base5-seed23"]
    assert second["minutes"] == 66
    discounts = [f"{arm}-minus-grpo" for arm in strengths]
    for kind, least in (("inferential", 0.2), ("overall", 0.0)):
        assert all(second["paired"][pair][kind]["low"] > least for pair in discounts)
    assert all(second["arms"][arm]["cosmetic"]["mean"] < 0.15 for arm in strengths)


def test_what_is_said_of_single_cells_holds(found: dict[str, Any]) -> None:
    """A cell is one base model and one seed."""
    cells = [cell["arms"] for cell in found["cells"].values()]
    worse = [one for one in cells if one["discount_50"]["overall"] < one["grpo"]["overall"] - 0.01]
    assert len(worse) == 3
    assert sum(one["discount_50"]["words"] > 23 for one in worse) == 2
    assert sum(one["discount_50"]["words"] > 23 for one in cells) == 3
    assert sum(one["cdpo_30"]["overall"] == 0 for one in cells) == 1
    assert all(one["replay_4"]["overall"] >= one["grpo"]["overall"] for one in cells)


def standing(found: dict[str, Any], metric: str) -> set[str]:
    """The arms that differ from plain GRPO at 0.05 after correction."""
    pairs = found["paired"].items()
    return {p.split("-minus-")[0] for p, entry in pairs if entry[metric].get("p_holm", 1) < 0.05}


def test_what_stands_after_correction(found: dict[str, Any], second: dict[str, Any]) -> None:
    assert standing(found, "inferential") | standing(found, "overall") == {"base", "balanced"}
    assert standing(second, "inferential") == {"discount_25", "discount_50"}
    three = {"discount_25", "discount_50", "discount_75"}
    assert standing(second, "overall") == {"base", *three}


def words_of(page: str) -> str:
    return re.sub(r"\s+", " ", (ROOT / page).read_text())


@pytest.mark.parametrize("arm", ["discount_50", "cdpo_30"])
@pytest.mark.parametrize("prefix", ["", "lora8_", "lora32_", "lora2_"])
def test_the_table_of_adapters_is_that_of_the_results(prefix: str, arm: str) -> None:
    cells = [cell["arms"] for cell in read("docs/study/lora/results.json")["cells"].values()]
    said = [
        f"{cell[prefix + arm]['inferential']:.2f} / {cell[prefix + arm]['overall']:.2f}"
        for cell in cells
    ]
    less = [cell[prefix + arm]["overall"] - cell[arm]["overall"] for cell in cells]
    apart = ", ".join(f"{one:+.2f}" for one in less) if prefix else ""
    row = f"| {' | '.join(said)} | {apart} |".replace("|  |", "| |")
    assert row in (ROOT / STUDY).read_text()
