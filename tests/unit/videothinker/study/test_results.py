"""Every figure of a study follows from its cells, and table and drawing from results.json."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from small_study import measured_at_random, small_exam, small_study

from videothinker.study.figures import curves, figure
from videothinker.study.plan import told
from videothinker.study.results import digest_of, results
from videothinker.study.table import table

PUBLISHED = Path(__file__).parents[4] / "docs" / "study"


@pytest.fixture
def found(tmp_path: Path) -> dict[str, Any]:
    study, exam = small_study(tmp_path), small_exam()
    whole = results(study, exam, measured_at_random(study, exam))
    restored: dict[str, Any] = json.loads(json.dumps(whole, allow_nan=False))
    return restored


def cells_with(found: dict[str, Any], *arms: str) -> list[dict[str, Any]]:
    """The arms of each cell that has them all."""
    every = [cell["arms"] for cell in found["cells"].values()]
    return [cell for cell in every if set(arms) <= set(cell)]


def test_an_arms_figures_are_the_means_over_its_cells(found: dict[str, Any]) -> None:
    for arm, entry in found["arms"].items():
        for metric, one in entry.items():
            values = [cell[arm][metric] for cell in cells_with(found, arm)]
            assert one["mean"] == pytest.approx(np.mean(values))
            assert one["low"] <= one["mean"] <= one["high"]


def test_a_difference_is_taken_over_the_cells_that_have_both_arms(found: dict[str, Any]) -> None:
    assert set(found["paired"]) == {
        *("base-minus-grpo", "bias-minus-grpo", "cdpo-minus-grpo", "cdpo-minus-bias")
    }
    for name, entry in found["paired"].items():
        first, second = name.split("-minus-")
        both = cells_with(found, first, second)
        assert entry["cells"] == len(both) == (3 if first == "cdpo" else 4)
        for metric in ("inferential", "overall"):
            differences = [cell[first][metric] - cell[second][metric] for cell in both]
            assert entry[metric]["mean"] == pytest.approx(np.mean(differences))


def test_comparisons_with_the_reference_are_corrected_and_no_others(found: dict[str, Any]) -> None:
    for name, entry in found["paired"].items():
        assert ("p_holm" in entry["inferential"]) == name.endswith("-minus-grpo")
        if "p_holm" in entry["inferential"]:
            assert entry["inferential"]["p_holm"] >= entry["inferential"]["p"]


def test_what_is_missing_is_said_with_its_reason(found: dict[str, Any]) -> None:
    assert found["missing"] == [
        {"cell": "base2-seed12", "arm": "cdpo", "reason": "the disk is full"}
    ]
    outcome = told(found, Path("docs/study"))
    assert outcome["exit_code"] == 1
    assert outcome["notes"] == ["not measured: cdpo of base2-seed12"]
    assert "`cdpo` of base2-seed12: the disk is full" in outcome["text"]


def test_the_table_has_every_arm_every_difference_and_how_it_was_made(
    found: dict[str, Any],
) -> None:
    lines = table(found).splitlines()
    assert lines[0].startswith("4 cells: 2 warm starts (base1, base2), training seeds 11, 12.")
    assert "40 validation questions, 30 observational and 10 inferential" in lines[0]
    first = [line.split(" | ")[0].removeprefix("| ") for line in lines if line.startswith("| `")]
    assert first == [
        *("`base`", "`bias`", "`grpo`", "`cdpo`"),
        *(f"`{name}` minus `grpo`" for name in ("base", "bias", "cdpo")),
        "`cdpo` minus `bias`",
        *("`base`", "`bias`", "`grpo`", "`cdpo`"),
        *("`grpo`", "`cdpo`"),
    ]
    widths = {len(line.split(" | ")) for line in lines if line.startswith("| `base` |")}
    assert widths == {9, 1 + 2 * len(found["warm_starts"])}


def test_a_warm_start_is_shown_with_the_spread_of_its_seeds(found: dict[str, Any]) -> None:
    lines = [line for line in table(found).splitlines() if line.startswith("| `cdpo` | ")]
    shown = lines[1].removesuffix(" |").split(" | ")
    # the first warm start has both its seeds, the other only one
    values = [found["cells"][f"base1-seed{seed}"]["arms"]["cdpo"]["overall"] for seed in (11, 12)]
    assert shown[2] == f"{np.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})"
    alone = found["cells"]["base2-seed11"]["arms"]["cdpo"]["inferential"]
    assert shown[3] == f"{alone:.2f} ({alone:.2f} to {alone:.2f})"


def test_the_pull_is_the_mean_over_groups_of_all_cells_in_thousandths(tmp_path: Path) -> None:
    study, exam = small_study(tmp_path), small_exam()
    measured = measured_at_random(study, exam)
    found = results(study, exam, measured)
    assert list(found["pull"]) == ["grpo", "cdpo"]  # what cannot be said is left out
    groups = np.concatenate([one.pull["cdpo"]["all"] for one in measured if "cdpo" in one.pull])
    assert found["pull"]["cdpo"]["all"] == pytest.approx(groups.mean())
    line = [one for one in table(found).splitlines() if one.startswith("| `cdpo` | ")][-1]
    assert line.split(" | ")[3] == f"{1000 * groups.mean():+.2f}"


def test_a_single_base_is_said_to_be_one(found: dict[str, Any]) -> None:
    assert "this one base model" in table({**found, "warm_starts": ["base1"]})


def test_the_figure_is_a_picture_with_a_dot_for_each_arm_and_kind(found: dict[str, Any]) -> None:
    drawing = figure(found)
    root = ElementTree.fromstring(drawing)
    dots = root.findall(".//{http://www.w3.org/2000/svg}circle")
    assert len(dots) == 3 * len(found["arms"])
    width, height = map(float, re.findall(r'viewBox="0 0 (\S+) (\S+)"', drawing)[0])
    for dot in dots:
        assert 0 < float(dot.get("cx", "")) < width
        assert 0 < float(dot.get("cy", "")) < height
    assert "prefers-color-scheme: dark" in drawing


def test_what_arms_met_in_training_is_the_mean_over_groups_of_all_cells(tmp_path: Path) -> None:
    study, exam = small_study(tmp_path), small_exam()
    measured = measured_at_random(study, exam)
    entry = results(study, exam, measured)["learning"]["cdpo"]["right"]
    groups = [one.learning["cdpo"][1]["right"] for one in measured if "cdpo" in one.learning]
    assert len(groups) == 3
    assert entry == [pytest.approx(np.mean(groups)), None, pytest.approx(entry[2])]


def test_a_line_is_drawn_for_each_arm_in_each_panel(found: dict[str, Any]) -> None:
    assert found["drawn"] == ["grpo", "bias", "cdpo"]
    drawing = curves(found)
    root = ElementTree.fromstring(drawing)
    lines = root.findall(".//{http://www.w3.org/2000/svg}polyline")
    assert len(lines) == 2 * 3
    assert all(len(line.get("points", "").split()) == 2 for line in lines)
    assert "prefers-color-scheme: dark" in drawing


def test_the_digest_tells_studies_apart_that_give_other_figures(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    assert digest_of(study.model_copy(update={"jobs": 7, "out": tmp_path})) == digest_of(study)
    assert digest_of(study.model_copy(update={"seeds": (1,)})) != digest_of(study)


@pytest.mark.parametrize("folder", [PUBLISHED, PUBLISHED / "discount"])
def test_the_published_table_and_figure_are_what_the_published_results_give(folder: Path) -> None:
    published = json.loads((folder / "results.json").read_text())
    assert (folder / "table.md").read_text() == table(published)
    assert (folder / "figure.svg").read_text() == figure(published)
    assert (folder / "learning.svg").read_text() == curves(published)
