"""What models answered, sorted by who was right; examples follow from counting."""

from pathlib import Path

import pytest
from validation_answers import answered_run, by_letters, keep, question, reply

from videothinker.errors import InputError
from videothinker.report.outcomes import AnswerSheet, Pattern, examples, outcomes, parts, read_sheet
from videothinker.status.snapshot import read_snapshot
from videothinker.types import Question

KIND = [question(f"i{number}", "inferential") for number in range(8)]


def run_of(folder: Path, letters: dict[str, str], questions: list[Question] = KIND) -> Path:
    return answered_run(folder, questions, by_letters(questions, letters))


def sheet_of(
    folder: Path, letters: dict[str, str], questions: list[Question] = KIND
) -> AnswerSheet:
    sheet = read_sheet(read_snapshot(run_of(folder, letters, questions)))
    assert sheet is not None
    return sheet


def first_questions(chosen: list[Pattern]) -> list[str]:
    return [one.questions[0].id for one in chosen]


def test_questions_that_came_out_alike_are_counted_commonest_first(tmp_path: Path) -> None:
    sheet = sheet_of(tmp_path, {"base": "ABBABABB", "cdpo": "AABAAAAB"})
    (ranked,) = outcomes(sheet).values()
    assert [(one.right, one.share) for one in ranked] == [
        ((True, True), "3 of 8 (38%)"),
        ((False, True), "3 of 8 (38%)"),
        ((False, False), "2 of 8 (25%)"),
    ]


def test_models_come_in_the_order_they_were_made(tmp_path: Path) -> None:
    sheet = sheet_of(tmp_path, {"base": "A" * 8, "zero": "B" * 8, "first": "C" * 8})
    assert list(sheet.said) == ["base", "zero", "first"]


def test_an_unanswered_question_counts_as_wrong_as_it_does_in_the_table(tmp_path: Path) -> None:
    sheet = sheet_of(tmp_path, {"base": "-AAAAAAA", "cdpo": "AAAAAAAA"})
    assert not sheet.right("base", KIND[0])
    assert sheet.right("cdpo", KIND[0])


def test_a_question_that_nobody_answered_is_no_example(tmp_path: Path) -> None:
    sheet = sheet_of(tmp_path, {"base": "-AAAAAAA", "cdpo": "-AAAAAAA"})
    assert sheet.questions == tuple(KIND[1:])


def test_only_exactly_the_correct_letters_are_right(tmp_path: Path) -> None:
    several = [question("several", "inferential", answer="A,C")]
    sheet = sheet_of(tmp_path, {"base": "A"}, several)
    assert not sheet.right("base", several[0])


def test_a_question_without_a_right_answer_counts_as_little_as_in_the_table(tmp_path: Path) -> None:
    questions = [question("none", "", answer=""), *KIND]
    sheet = sheet_of(tmp_path, {"base": "AAAAAAAAA"}, questions)
    assert sheet.questions == tuple(KIND)


def test_only_as_many_questions_count_as_the_models_were_asked(tmp_path: Path) -> None:
    run = run_of(tmp_path, {"base": "A" * 8})
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("questions: 100", "questions: 3"))
    sheet = read_sheet(read_snapshot(run))
    assert sheet is not None
    assert sheet.questions == tuple(KIND[:3])


def test_one_example_is_agreed_on_and_two_are_not_each_the_first_of_the_commonest(
    tmp_path: Path,
) -> None:
    letters = {"base": "BBBAAAAB", "grpo": "BBBBBBAA", "cdpo": "BBBABBAA"}
    (ranked,) = outcomes(sheet_of(tmp_path, letters)).values()
    assert first_questions(examples(ranked)) == ["i0", "i4", "i3"]


def test_where_models_only_agree_both_ways_of_agreeing_are_shown(tmp_path: Path) -> None:
    (ranked,) = outcomes(sheet_of(tmp_path, {"base": "AABAABBA"})).values()
    assert first_questions(examples(ranked)) == ["i0", "i2"]


def test_kinds_that_a_run_is_about_come_first_then_those_with_most_questions(
    tmp_path: Path,
) -> None:
    kinds = ["art", "music", "music", "observational"]
    questions = [question(f"q{place}", kind) for place, kind in enumerate(kinds)]
    found = outcomes(sheet_of(tmp_path, {"base": "AAAA"}, questions))
    assert list(found) == ["observational", "music"]


def test_a_completion_is_taken_apart_only_where_it_has_the_asked_layout() -> None:
    assert parts(reply("A,B", "for a reason")) == ("for a reason", "A,B")
    assert parts("A</answer> because\n") == ("", "A</answer> because")


def test_a_run_without_answers_has_nothing_to_show(tmp_path: Path) -> None:
    run = answered_run(tmp_path, KIND, {})
    assert read_sheet(read_snapshot(run)) is None


def test_a_damaged_file_costs_only_its_own_model(tmp_path: Path) -> None:
    run = run_of(tmp_path, {"base": "A" * 8, "cdpo": "B" * 8})
    keep(run, "cdpo", {}).write_bytes(b"PAR1")
    sheet = read_sheet(read_snapshot(run))
    assert sheet is not None
    assert list(sheet.said) == ["base"]


def test_answers_whose_questions_are_gone_say_which_file_it_was(tmp_path: Path) -> None:
    run = run_of(tmp_path, {"base": "A" * 8})
    (tmp_path / "questions.parquet").unlink()
    with pytest.raises(InputError, match=r"questions\.parquet: no such file"):
        read_sheet(read_snapshot(run))
