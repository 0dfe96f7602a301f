"""The page's part with the same questions put to every model."""

import re
from html import unescape
from pathlib import Path

import pytest
from validation_answers import answered_run, by_letters, question, reply

from videothinker.report import outcomes
from videothinker.report.page import write_report

TITLE = "The same questions, put to every model"
QUESTIONS = [
    *(question(f"i{number}", "inferential") for number in range(4)),
    question("seen", "observational"),
]
HOSTILE = "<script>alert('&')</script>"


def write(folder: Path, letters: dict[str, str]) -> Path:
    return answered_run(folder, QUESTIONS, by_letters(QUESTIONS, letters))


def page_of(run: Path) -> str:
    return write_report(run).read_text()


def words(page: str) -> str:
    """What a page says, without its tags."""
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page)))


def test_every_model_s_answer_stands_beside_the_others_with_a_word_and_a_sign(
    tmp_path: Path,
) -> None:
    page = page_of(write(tmp_path, {"base": "BBBBA", "cdpo": "AAABA"}))
    first = words(page.split('<article class="group-card">')[1])
    assert "Clip 1. Thinking (inferential); 3 of 4 (75%) come out like this" in first
    assert "What happens in i0? A. one thing ✓ B. another" in first
    assert "base model ✗ wrong so it is Answer: B CDPO ✓ right so it is Answer: A" in first


def test_every_outcome_is_counted_and_names_its_clip(tmp_path: Path) -> None:
    page = page_of(write(tmp_path, {"base": "BBBBA", "cdpo": "AAABA"}))
    table = page.split('<table class="outcomes">')[1].split("</table>")[0]
    rows = [words(row).strip() for row in table.split("<tr>")[1:]]
    assert rows == [
        "questions base model CDPO shown",
        "Thinking (inferential)",
        "3 of 4 (75%) ✗ ✓ clip 1",
        "1 of 4 (25%) ✗ ✗ clip 2",
        "Only looking (observational)",
        "1 of 1 (100%) ✓ ✓ clip 3",
    ]


def test_rarer_outcomes_are_counted_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcomes, "ROWS", 1)
    letters = {"base": "AABBA", "grpo": "AABBA", "x": "AAABA", "y": "AABBB", "cdpo": "ABBBA"}
    page = words(page_of(write(tmp_path, letters)))
    assert "1 of 4 in 1 rarer way" in page


def test_the_page_says_by_which_rule_its_clips_were_chosen(tmp_path: Path) -> None:
    page = words(page_of(write(tmp_path, {"base": "BBBBA", "cdpo": "AAABA"})))
    assert "2 models, one sampled answer each to the same 5 validation questions" in page
    assert "the commonest outcome on which all models agree and of the 2 commonest" in page


def test_a_run_whose_base_alone_has_answered_shows_what_it_got_right_and_wrong(
    tmp_path: Path,
) -> None:
    page = page_of(write(tmp_path, {"base": "ABBBA"}))
    assert "One model so far" in words(page)
    assert re.findall(r"What happens in (\w+)\?", page) == ["i1", "i0", "seen"]


def test_a_question_that_a_model_could_not_answer_says_so(tmp_path: Path) -> None:
    page = words(page_of(write(tmp_path, {"base": "-AAAA", "cdpo": "AAAAA"})))
    assert "base model ✗ wrong No answer: it was left out." in page


def test_a_page_without_answers_goes_without_the_part(tmp_path: Path) -> None:
    assert TITLE not in page_of(write(tmp_path, {}))


def test_answers_whose_questions_are_gone_are_said_to_be_kept(tmp_path: Path) -> None:
    run = write(tmp_path, {"base": "AAAAA"})
    (tmp_path / "questions.parquet").unlink()
    assert re.search(rf"{TITLE} Answers are kept, but .*questions\.parquet", words(page_of(run)))


def test_thinking_and_the_path_of_a_missing_file_stay_text(tmp_path: Path) -> None:
    said = {"base": {"i0": reply("A", HOSTILE)}}
    run = answered_run(tmp_path / "<b>", QUESTIONS, said)
    assert page_of(run).count("&lt;script&gt;") == 1
    (tmp_path / "<b>" / "questions.parquet").unlink()
    page = page_of(run)
    assert "&lt;b&gt;/questions.parquet: no such file" in page
    assert "<b>/" not in page


def test_what_models_and_questions_say_stays_text(tmp_path: Path) -> None:
    questions = [question(HOSTILE, HOSTILE), question("fine", HOSTILE)]
    said = {"base": {one.id: HOSTILE for one in questions}, HOSTILE[8:13]: {"fine": HOSTILE}}
    page = page_of(answered_run(tmp_path, questions, said))
    assert "<script" not in page
    places = ("kind", "kicker", "video", "question", "answer")
    assert page.count("&lt;script&gt;alert(&#39;&amp;&#39;)") == len(places)


def test_kinds_that_are_left_out_are_counted(tmp_path: Path) -> None:
    questions = [question(f"q{place}", kind) for place, kind in enumerate("abccd")]
    page = words(
        page_of(answered_run(tmp_path, questions, by_letters(questions, {"base": "AAAAA"})))
    )
    assert "Kinds of questions that are not shown: 2." in page
    assert re.findall(r"(\d of \d) \(100%\) ✓", page) == ["2 of 2", "1 of 1"]
