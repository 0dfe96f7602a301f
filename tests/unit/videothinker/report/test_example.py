"""A question and what each model said to it, in a few lines of a terminal."""

from pathlib import Path

from rich.cells import cell_len
from validation_answers import answered_run, by_letters, question, reply

from videothinker.report.outcomes import WIDTH, example

QUESTIONS = [
    question("seen", "observational"),
    *(question(f"i{number}", "inferential") for number in range(3)),
]


def test_the_commonest_difference_between_models_is_told_by_its_first_question(
    tmp_path: Path,
) -> None:
    said = by_letters(QUESTIONS, {"base": "ABAB", "bias": "BBBB", "grpo": "ABBB", "cdpo": "BAAA"})
    said["cdpo"]["i0"] = reply("A", "without it")
    assert example(answered_run(tmp_path, QUESTIONS, said)).splitlines() == [
        "The models' commonest difference, 2 of 3 (67%) of the questions that need thinking:",
        "What happens in i0? Right: A. one thing",
        "  base, bias, grpo  wrong, B: so it is",
        "  cdpo              right, A: without it",
    ]


def test_what_a_model_says_cannot_act_on_the_terminal_nor_fill_it(tmp_path: Path) -> None:
    said = by_letters(QUESTIONS, {"base": "AAAA", "cdpo": "BBBB"})
    said["cdpo"]["i0"] = "\x1b[2J\n" + "long " * 400
    lines = example(answered_run(tmp_path, QUESTIONS, said)).splitlines()
    assert lines[-1].startswith("  cdpo  wrong: \u241b[2J long")
    assert max(map(cell_len, lines)) <= WIDTH


def test_models_that_never_differ_give_no_example(tmp_path: Path) -> None:
    said = by_letters(QUESTIONS, {"base": "AABB", "cdpo": "AABB"})
    assert example(answered_run(tmp_path, QUESTIONS, said)) == ""


def test_nothing_is_told_where_no_answers_are_kept_or_their_questions_are_gone(
    tmp_path: Path,
) -> None:
    assert example(tmp_path / "nowhere") == ""
    run = answered_run(tmp_path, QUESTIONS, by_letters(QUESTIONS, {"base": "AAAA", "x": "BBBB"}))
    assert example(run)
    (tmp_path / "questions.parquet").unlink()
    assert example(run) == ""
