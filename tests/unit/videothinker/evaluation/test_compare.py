"""Several models in one table: measured and published never mixed, nothing silently compared."""

import re
from pathlib import Path
from typing import Any

import pytest
from results_of import Results, estimate, protocol, result

from videothinker.errors import InputError
from videothinker.evaluation.compare import PAPER, PUBLISHED, TITLES, compare, label
from videothinker.evaluation.scores import BENCHMARKS
from videothinker.model.checkpoint import PAPER_EVALUATION


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results(tmp_path)


def measured(folder: Results, scoring: Any = None, unlike: bool = False) -> list[dict[str, Any]]:
    rows = compare(folder.paths, scoring, unlike).as_dict()["rows"]
    return [row for row in rows if row["source"] == "measured"]


def line_of(text: str, name: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(name))


def test_one_model_s_benchmarks_share_a_row_whatever_each_is_usually_asked_with(
    results: Results,
) -> None:
    results.add(result(benchmark="mmvu"))
    results.add(result(benchmark="clevrer", protocol=protocol("training")))
    (row,) = measured(results)
    assert row["model"] == "cdpo (runs/cdpo)"
    assert row["protocol"] == "evaluation, training"
    assert {name: one["protocol"] for name, one in row["scores"].items()} == {
        "mmvu": "evaluation",
        "clevrer": "training",
    }
    assert not any("alike" in note for note in compare(results.paths).notes)


def test_a_cell_is_the_accuracy_with_the_longer_side_of_its_interval(results: Results) -> None:
    results.add(result(benchmark="mmvu"))
    line = line_of(compare(results.paths).text(), "cdpo")
    assert line.removeprefix("cdpo (runs/cdpo)").split() == ["-", "50.0", "±2.0", *"----"]


def test_every_benchmark_has_a_column_and_may_be_in_a_result(results: Results) -> None:
    for name in BENCHMARKS:
        results.add(result(benchmark=name))
    (row,) = measured(results)
    assert tuple(row["scores"]) == tuple(TITLES) == BENCHMARKS
    paper, others = compare(results.paths).text().split("\n\n")[:2]
    assert all(TITLES[name] in (paper if name in PAPER else others) for name in BENCHMARKS)
    assert "†" not in others


def test_others_than_the_paper_s_benchmarks_have_a_table_of_their_own_columns(
    results: Results,
) -> None:
    results.add(result(benchmark="lvbench"))
    comparison = compare(results.paths)
    head, _, *_ = comparison.text().splitlines()
    assert head.split()[-1:] == ["LVBench"]
    assert "MMVU" not in head
    assert "†" not in comparison.text()
    assert [row["source"] for row in comparison.as_dict()["rows"]] == ["measured"]


def test_columns_are_the_paper_s_and_in_its_order(results: Results) -> None:
    results.add(result())
    head = "  ".join(compare(results.paths).text().splitlines()[0].split())
    assert head.endswith("CLEVRER  MMVU  V-Holmes  MVBench  TempCompass  VideoMME")


def test_the_official_scoring_shows_the_official_scores(results: Results) -> None:
    results.add(result())
    assert measured(results, "official")[0]["scores"]["mmvu"]["accuracy"] == 0.6
    assert "60.0 ±2.0" in compare(results.paths, "official").text()
    assert any("not scored officially" in note for note in compare(results.paths, "official").notes)


def test_published_rows_are_marked_and_stand_in_a_block_of_their_own(results: Results) -> None:
    results.add(result())
    comparison = compare(results.paths)
    table = comparison.text().split("\n\n")[0]
    *others, published = re.split(r"\n-+\n", table)
    assert [line.partition(" †")[0] for line in published.splitlines()] == list(PUBLISHED)
    assert all(" †" in line for line in published.splitlines())
    assert "†" not in "".join(others)
    assert "† published by the paper; not measured here; no intervals were given." in (
        comparison.text()
    )


def test_published_figures_are_those_of_the_paper_and_have_no_interval(results: Results) -> None:
    results.add(result())
    rows = {row["model"]: row for row in compare(results.paths).as_dict()["rows"]}
    assert rows["VideoThinker-R1"]["source"] == "published"
    assert rows["VideoThinker-R1"]["scores"] == {
        "clevrer": {"accuracy": 0.791},
        "mmvu": {"accuracy": 0.568},
        "video-holmes": {"accuracy": 0.343},
        "mvbench": {"accuracy": 0.609},
        "tempcompass": {"accuracy": 0.635},
        "videomme": {"accuracy": 0.524},
    }


def test_direct_answers_have_a_labelled_row_and_are_marked(results: Results) -> None:
    results.add(result())
    results.add(result(protocol=protocol("direct")))
    rows = measured(results, unlike=True)
    assert [row["model"] for row in rows] == [
        "cdpo (runs/cdpo)",
        "cdpo (runs/cdpo) [direct answer]",
    ]
    assert [row["scores"]["mmvu"]["unlike"] for row in rows] == [
        ["wording evaluation"],
        ["wording direct"],
    ]


def test_one_model_asked_a_benchmark_in_two_ways_has_two_rows(results: Results) -> None:
    results.add(result())
    results.add(result(protocol=protocol("training"), accuracy=0.51))
    rows = measured(results, unlike=True)
    assert [(row["model"], row["scores"]["mmvu"]["accuracy"]) for row in rows] == [
        ("cdpo (runs/cdpo) [evaluation]", 0.5),
        ("cdpo (runs/cdpo) [training]", 0.51),
    ]


def test_two_lengths_of_one_protocol_are_told_apart(results: Results) -> None:
    results.add(result())
    results.add(result(protocol=protocol(max_tokens=768)))
    assert [row["model"] for row in measured(results, unlike=True)] == [
        "cdpo (runs/cdpo) [evaluation, max_tokens 1024]",
        "cdpo (runs/cdpo) [evaluation, max_tokens 768]",
    ]


FEWER = PAPER_EVALUATION.video.model_copy(update={"max_frames": 16})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"protocol": protocol("training")},
            "wording evaluation (cdpo (runs/cdpo)); wording training (base)",
        ),
        (
            {"protocol": protocol(video=FEWER)},
            "video.max_frames 32 (cdpo (runs/cdpo)); video.max_frames 16 (base)",
        ),
        (
            {"protocol": protocol(max_tokens=768)},
            "max_tokens 1024 (cdpo (runs/cdpo)); max_tokens 768 (base)",
        ),
        (
            {"protocol": protocol() | {"wording": None, "prompt": "{question} Why?"}},
            "prompt none, wording evaluation (cdpo (runs/cdpo)); prompt {question} Why?, wording"
            " none (base)",
        ),
        ({"subtitles": "s"}, "subtitles none (cdpo (runs/cdpo)); subtitles s (base)"),
        (
            {"data": "b.json"},
            "questions mmvu.json (cdpo (runs/cdpo)); questions b.json (base)",
        ),
    ],
)
def test_cells_that_cannot_be_compared_are_refused_or_else_marked(
    results: Results, change: dict[str, Any], said: str
) -> None:
    results.add(result())
    results.add(result("models/base", **change))
    with pytest.raises(InputError, match="MMVU was not asked alike") as refusal:
        compare(results.paths)
    for part in said.removesuffix(" (base)").split("; "):
        for one in part.partition(" (")[0].split(", "):
            assert one in str(refusal.value)
    comparison = compare(results.paths, unlike=True)
    assert comparison.text().count("50.0 ±2.0 ≠") == 2
    assert comparison.notes[0].startswith("≠ MMVU was not asked alike: ")


def test_figures_under_protocols_of_two_scorings_need_to_be_told_which(results: Results) -> None:
    results.add(result())
    results.add(result(benchmark="mvbench", protocol=protocol() | {"scoring": "official"}))
    with pytest.raises(InputError, match=r"reference \(mmvu evaluation\); official .* --scoring"):
        compare(results.paths)
    assert compare(results.paths, "official").scoring == "official"


def test_the_scoring_is_the_protocol_s(results: Results) -> None:
    results.add(result(protocol=protocol() | {"scoring": "official"}))
    assert measured(results)[0]["scores"]["mmvu"]["accuracy"] == 0.6


def test_the_same_questions_in_another_folder_are_comparable(results: Results) -> None:
    results.add(result(questions="0123456789"))
    results.add(result("models/base", questions="0123456789", data="/elsewhere/mmvu.json"))
    assert not any("alike" in note for note in compare(results.paths).notes)


def test_baselines_are_shown_where_all_models_were_asked_the_same(results: Results) -> None:
    results.add(result())
    results.add(result("models/base", chance=0.2))
    text = compare(results.paths).text()
    assert line_of(text, "chance").split() == ["chance", *"------"]
    assert line_of(text, "most common answer").split()[3:] == ["-", "30.0", *"----"]


def test_questions_without_an_answer_are_mentioned(results: Results) -> None:
    results.add(result(unanswered=3))
    assert (
        "Left without an answer and counted as wrong: MMVU 3 of 100 (cdpo (runs/cdpo))."
        in compare(results.paths).notes
    )


def test_a_model_that_was_asked_nothing_has_no_figure(results: Results) -> None:
    results.add(result(accuracy=None))
    line = line_of(compare(results.paths).text(), "cdpo")
    assert line.removeprefix("cdpo (runs/cdpo)").split() == list("------")


def test_clevrer_is_also_shown_by_kind_with_the_gap(results: Results) -> None:
    kinds = {"observational": estimate(0.8), "inferential": estimate(0.5)}
    results.add(result(benchmark="clevrer", diagnosis={**kinds, "shortcut_gap": 0.3}))
    kinds_table = compare(results.paths).text().split("\n\n")[1]
    cells = line_of(kinds_table, "cdpo").removeprefix("cdpo (runs/cdpo)").split()
    # the gap's sides are the root of the sum of squares of 3 and 4 points
    assert cells == ["80.0", "±4.0", "50.0", "±4.0", "+30.0", "[+25.0,", "+35.0]"]


def test_without_clevrer_there_is_no_table_by_kind(results: Results) -> None:
    results.add(result())
    assert "CLEVRER by kind" not in compare(results.paths).text()


def test_the_text_fits_a_wide_terminal(results: Results) -> None:
    results.add(result())
    base = "models/Qwen2.5-VL-3B-Instruct"
    results.add(result(base, protocol=protocol("direct"), unanswered=1))
    assert max(map(len, compare(results.paths, unlike=True).text().splitlines())) <= 120


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("runs/cdpo/stages/cdpo/model", "cdpo (runs/cdpo)"),
        ("/home/a/runs/long/stages/bias/model", "bias (runs/long)"),
        ("/models/Qwen2.5-VL-3B", "Qwen2.5-VL-3B"),
        ("model", "model"),
        ("/hub/models--Qwen--Tiny/snapshots/0123456789abcdef", "Qwen/Tiny@01234567"),
    ],
)
def test_a_label_is_short(path: str, expected: str) -> None:
    assert label(path) == expected


def test_labels_are_as_long_as_tells_models_apart(results: Results) -> None:
    results.add(result("/a/base/model"))
    results.add(result("/b/base/model"))
    results.add(result("/a/runs/x/stages/cdpo/model"))
    results.add(result("/b/runs/x/stages/cdpo/model"))
    assert [row["model"] for row in measured(results)] == [
        "a/base/model",
        "b/base/model",
        "cdpo (a/runs/x)",
        "cdpo (b/runs/x)",
    ]


def test_a_folder_that_was_trained_again_is_told_apart_by_its_digest(results: Results) -> None:
    results.add(result(digest="aaaaaaaaaaaa"))
    results.add(result(digest="bbbbbbbbbbbb"))
    assert [row["model"] for row in measured(results)] == [
        "cdpo (runs/cdpo) aaaaaaaa",
        "cdpo (runs/cdpo) bbbbbbbb",
    ]


def test_a_copied_model_is_the_same_model(results: Results) -> None:
    results.add(result(digest="same"))
    results.add(result("copy", "clevrer", digest="same"))
    assert len(measured(results)) == 1


def test_two_results_of_the_same_are_refused(results: Results) -> None:
    first, second = results.add(result()), results.add(result())
    with pytest.raises(InputError, match="Give one of the two") as refusal:
        compare(results.paths)
    assert str(first) in str(refusal.value)
    assert str(second) in str(refusal.value)


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in result().items() if name != key}


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (without("protocol"), r"result\.json: protocol: .*run `videothinker evaluate` again"),
        (without("chance"), r"result\.json: chance: "),
        (result(accuracy="high"), r"result\.json: accuracy: "),
        (result(benchmark="mmmu"), r"result\.json: benchmark: .*'clevrer'"),
        ([], r"result\.json: the whole file: "),
    ],
)
def test_a_result_of_another_version_is_refused_by_file_and_field(
    results: Results, record: object, message: str
) -> None:
    results.add(record)
    with pytest.raises(InputError, match=message) as refusal:
        compare(results.paths)
    assert "\n" not in str(refusal.value)


def test_a_missing_or_broken_file_is_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent: No such file.* Give the --out folder"):
        compare([tmp_path / "absent"])
    with pytest.raises(InputError, match=r"result\.json: No such file"):
        compare([tmp_path])
    (tmp_path / "result.json").write_bytes(b"{\xff")
    with pytest.raises(InputError, match="not JSON"):
        compare([tmp_path])


def test_published_rows_say_where_they_are_from(results: Results) -> None:
    results.add(result())
    rows = [row for row in compare(results.paths).as_dict()["rows"] if row["source"] == "published"]
    assert all("CVPR 2026" in row["from"] and row["protocol"] == "reference" for row in rows)
