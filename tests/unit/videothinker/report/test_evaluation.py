"""An evaluation's page: what was measured against guessing, and foreign text that stays text."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from html_page import Page

from videothinker.data.questions import write_questions
from videothinker.errors import InputError
from videothinker.evaluation.protocol import usual
from videothinker.evaluation.result import Score
from videothinker.model.checkpoint import PAPER_EVALUATION
from videothinker.report.evaluation import verdict, write_evaluation_report
from videothinker.types import Question

HOSTILE = "<script>alert('&')</script>"
MAJORITY = "always giving the most common answer (35.0%)"


def score(accuracy: float | None, **changes: Any) -> dict[str, Any]:
    interval = {"low": 0.7, "high": 0.9, "n": 100}
    return {"accuracy": accuracy, **interval, "chance": 0.25, "majority": 0.35, **changes}


def result(**changes: Any) -> dict[str, Any]:
    categories = {"forces": score(0.75), HOSTILE: score(0.85, n=40)}
    return {
        "model": "runs/cdpo/stages/cdpo/model",
        "digest": "abcdef",
        "benchmark": "clevrer",
        "data": "/nowhere/questions.parquet",
        "protocol": usual("evaluation").settled(PAPER_EVALUATION).model_dump(),
        "unanswered": 0,
        **score(0.8),
        "by_category": categories,
        "official": {**score(0.82), "by_category": {"only official": score(0.5)}},
        **changes,
    }


def diagnosis(observational: float | None, inferential: float) -> dict[str, Any]:
    rest = {"low": 0.1, "high": 0.9, "n": 50}
    kinds = {"observational": observational, "inferential": inferential}
    return {kind: {"mean": mean, **rest} for kind, mean in kinds.items()}


def question(name: str, text: str = "What?") -> Question:
    options = (("A", "The cube"), ("B", HOSTILE))
    return Question(id=name, video="v.mp4", text=text, options=options, answer="A")


def page(
    folder: Path, answers: Sequence[Any] = (), skipped: Sequence[Any] = (), **changes: Any
) -> str:
    for name, lines in (("answers", answers), ("skipped", skipped)):
        content = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / f"{name}.jsonl").write_text(content)
    (folder / "result.json").write_text(json.dumps(result(**changes)))
    text = " ".join(write_evaluation_report(folder).read_text().split())
    return text.replace("> <", "><")


def answered(name: str, completion: str) -> dict[str, str]:
    return {"id": name, "completion": completion}


@pytest.mark.parametrize(
    ("low", "high", "sentence"),
    [
        (0.4, 0.6, f"That is above chance (25.0%) and {MAJORITY}."),
        (0.3, 0.6, f"That is above chance (25.0%), not clearly different from {MAJORITY}."),
        (0.1, 0.2, f"That is below chance (25.0%) and {MAJORITY}."),
    ],
)
def test_the_verdict_holds_the_interval_against_guessing(
    low: float, high: float, sentence: str
) -> None:
    assert verdict(Score(**score(0.5, low=low, high=high))) == sentence


def test_without_baselines_there_is_no_verdict() -> None:
    assert verdict(Score(**score(0.5, chance=None, majority=None))) == ""


def test_the_headline_has_both_scorings_with_their_intervals(tmp_path: Path) -> None:
    text = page(tmp_path, unanswered=3)
    assert "<h1>cdpo (runs/cdpo) answers 80.0% of CLEVRER right.</h1>" in text
    assert "reference scoring 80.0% (95% interval 70.0 to 90.0, n 100)" in text
    assert "official scoring 82.0% (95% interval 70.0 to 90.0, n 100)" in text
    assert "Answered after thinking:" in text
    assert "3 questions have no answer and count as wrong." in text
    assert "Answered directly, without thinking:" in page(
        tmp_path, protocol=usual("direct").settled(PAPER_EVALUATION).model_dump()
    )


def test_categories_are_drawn_best_first_with_chance(tmp_path: Path) -> None:
    text = page(tmp_path)
    assert re.findall(r"<title>([^<]+?): (\d+)% \((.+?)\), chance (\d+)%", text)[:2] == [
        ("&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt;", "85", "70% to 90%", "25"),
        ("forces", "75", "70% to 90%", "25"),
    ]


def test_the_table_has_the_categories_of_both_scorings(tmp_path: Path) -> None:
    text = page(tmp_path)
    assert (
        "<tr><td>forces</td><td>75.0<small>70.0 to 90.0</small></td><td>-</td>"
        "<td>25.0</td><td>35.0</td><td>100</td></tr>"
    ) in text
    assert "<tr><td>only official</td><td>-</td><td>50.0<small>70.0 to 90.0</small></td>" in text


def test_finer_categories_and_single_options_are_shown_where_there_are_any(tmp_path: Path) -> None:
    assert "In finer categories" not in page(tmp_path)
    finer = {"forces/gravity": score(0.6)}
    official = {**score(0.7), "by_category": {}, "per_option": score(0.9)}
    text = page(tmp_path, by_subcategory=finer, official=official)
    assert "<tr><td>forces/gravity</td><td>60.0<small>" in text
    assert "<tr><td>all, option by option</td><td>-</td><td>90.0<small>" in text


def test_observational_and_inferential_are_drawn_once_with_the_gap(tmp_path: Path) -> None:
    kinds = {"observational": score(0.9), "inferential": score(0.5)}
    official = {**score(0.7), "by_category": kinds}
    text = page(tmp_path, diagnosis=diagnosis(0.9, 0.5), by_category=kinds, official=official)
    assert "Shortcut gap: +40.0 points (95% interval" in text
    assert text.count("<title>inferential: 50% (10% to 90%), chance 25%") == 2  # wide and narrow
    assert text.count("<svg") == 2


def test_one_kind_alone_has_no_gap(tmp_path: Path) -> None:
    assert "Only one of the two kinds was asked." in page(tmp_path, diagnosis=diagnosis(None, 0.5))


def test_no_kind_is_mentioned_where_questions_have_none(tmp_path: Path) -> None:
    assert "nferential" not in page(tmp_path)


def test_answers_are_the_first_right_and_the_first_wrong_ones(tmp_path: Path) -> None:
    names = [f"q{place}" for place in range(10)]
    write_questions(tmp_path / "questions.parquet", [question(name) for name in names])
    letters = "BBBBAAAABA"
    answers = [
        answered(name, f"<answer>{letter}</answer>")
        for name, letter in zip(names, letters, strict=True)
    ]
    text = page(tmp_path, answers, data=str(tmp_path / "questions.parquet"))
    shown = re.findall(r'<div class="kicker">(q\d)</div>.*?<b>(\w+)</b>', text)
    assert shown == [
        *[("q4", "right"), ("q5", "right"), ("q6", "right")],
        *[("q0", "wrong"), ("q1", "wrong"), ("q2", "wrong")],
    ]
    assert '<li class="right">A. The cube &#10003;</li>' in text


def test_an_answer_that_the_reference_does_not_count_is_neither_right_nor_wrong(
    tmp_path: Path,
) -> None:
    data = tmp_path / "questions.parquet"
    write_questions(data, [replace(question("q"), answer="")])
    text = page(tmp_path, [answered("q", "none of them")], data=str(data))
    assert "<b>answer</b></header><p>none of them</p>" in text


def test_where_there_are_no_options_the_right_answer_is_shown(tmp_path: Path) -> None:
    data = tmp_path / "test.json"
    record = {"id": 1, "dataset": "d", "scene_name": "s", "question": "How far?", "options": None}
    record |= {"question_type": "object_abs_distance", "ground_truth": "2.5"}
    data.write_text(json.dumps([record]))
    text = page(tmp_path, [answered("1", "3")], data=str(data), benchmark="vsi-bench")
    assert '<p class="question">How far?</p><ol class="options"><li class="right">2.5' in text


@pytest.mark.parametrize("content", [None, "not parquet"])
def test_answers_are_shown_without_their_questions_too(tmp_path: Path, content: str | None) -> None:
    data = tmp_path / "questions.parquet"
    if content:
        data.write_text(content)
    text = page(tmp_path, [answered("q", "perhaps B")], data=str(data))
    assert "not readable from here" in text
    assert "<p>perhaps B</p>" in text


def test_what_was_left_out_is_listed_with_its_reason(tmp_path: Path) -> None:
    lines = [{"question_id": f"q{place}", "reason": "no frame"} for place in range(203)]
    text = page(tmp_path, skipped=lines)
    assert "203 questions could not be asked." in text
    assert "<td>q199</td><td>no frame</td>" in text
    assert "<td>q200</td>" not in text
    assert "3 more are in skipped.jsonl." in text


def test_the_page_says_how_it_was_asked(tmp_path: Path) -> None:
    text = page(tmp_path)
    for value in ("abcdef", "1024 tokens"):
        assert f"<code>{value}</code>" in text
    assert "<code>evaluation " in text
    assert "max_frames 32" in text


def test_text_from_outside_is_escaped_everywhere(tmp_path: Path) -> None:
    data = tmp_path / "questions.parquet"
    write_questions(data, [question(HOSTILE, HOSTILE)])
    asked = usual("evaluation").settled(PAPER_EVALUATION).model_dump()
    text = page(
        tmp_path,
        [answered(HOSTILE, HOSTILE)],
        [{"question_id": HOSTILE, "reason": HOSTILE}],
        data=str(data),
        protocol=asked | {"name": HOSTILE, "video": {HOSTILE: 1}},
        model="models/<script>base",
        digest=HOSTILE,
    )
    parsed = Page(text)
    assert "script" not in parsed.tags
    assert parsed.open == []
    assert text.count("&lt;script&gt;") >= 14


def test_the_page_asks_for_nothing_from_outside(tmp_path: Path) -> None:
    text = page(tmp_path, [answered("q", "A")])
    assert not re.search(r"https?://|@import|url\(|src=|href=", text)


def test_nothing_asked_is_a_page_too(tmp_path: Path) -> None:
    empty = score(None, n=0, chance=None, majority=None)
    text = page(tmp_path, **empty, by_category={}, official={**empty, "by_category": {}})
    assert "<h1>No question of CLEVRER was asked.</h1>" in text
    assert Page(text).open == []


def test_a_folder_without_a_result_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"result\.json|such file"):
        write_evaluation_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_the_headline_is_scored_as_the_protocol_is(tmp_path: Path) -> None:
    asked = usual("evaluation").settled(PAPER_EVALUATION).model_dump()
    text = page(
        tmp_path, protocol=asked | {"scoring": "official"}, official=score(0.6, by_category={})
    )
    assert " answers 60.0% of CLEVRER right.</h1>" in text


def test_how_it_answers_and_what_it_takes_for_what(tmp_path: Path) -> None:
    data = tmp_path / "questions.parquet"
    write_questions(data, [question("q1", "Which way?")])
    share = {"mean": 0.25, "low": 0.1, "high": 0.4, "n": 8}
    text = page(
        tmp_path,
        data=str(data),
        videos=str(tmp_path),
        benchmark="clevrer",
        lengths={
            "tokens": {"mean": 50.4, "median": 40, "most": 99},
            "cut_off": share,
            "thinking": share | {"mean": 1.0},
        },
        confusions=[{"right": "left", "said": "right", "n": 7, "questions": ["q1"]}],
    )
    assert "An answer has 50 tokens, the longest 99. 25.0% were cut off" in text
    assert "100.0% think before they answer" in text
    assert "7 times" in text
    assert "Which way?" in text


def test_a_protocol_with_words_of_its_own_is_named(tmp_path: Path) -> None:
    asked = usual("evaluation").settled(PAPER_EVALUATION).model_dump()
    own = asked | {"wording": None, "prompt": "{question}", "name": "official"}
    assert "Answered by the protocol official:" in " ".join(page(tmp_path, protocol=own).split())
