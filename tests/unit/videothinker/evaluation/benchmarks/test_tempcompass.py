"""TempCompass, four tasks in one, from the reference's file and from the release's four."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from videothinker.errors import InputError
from videothinker.evaluation.scores import load

Save = Callable[..., Path]

MATCHING = "Which caption matches the video better?"
INFORMATION = ["{'subject': 'man', 'action': 'running'}", "{'subject': 'man', 'action': 'jumping'}"]


def row(number: int = 1, **changed: Any) -> dict[str, Any]:
    return {
        "video_id": "7",
        "question": "What is the man doing?\nA. running\nB. jumping",
        "answer": "B. jumping",
        "dim": "action",
        "options": ["A. running", "B. jumping"],
        "problem": "What is the man doing?",
        "data_type": "video",
        "problem_type": "multiple choice",
        "original_question_type": "",
        "solution": "<answer>B</answer>",
        "video": "/lmms-lab/TempCompass/7.mp4",
        "subtitle": "",
        "problem_id": number,
        **changed,
    }


def captioning(**changed: Any) -> dict[str, Any]:
    return row(
        3,
        problem="Identify the information and write a caption.\nGenerated Caption:",
        options=[f"{letter}. {text}" for letter, text in zip("AB", INFORMATION, strict=True)],
        mc_question="What is the man doing?\nA. jumping\nB. running",
        mc_answer="A. jumping",
        **changed,
    )


def release(save: Save, **files: object) -> Path:
    """The four official files with one question each."""
    informations = "\n".join(
        f"Information {letter}: {text}" for letter, text in zip("AB", INFORMATION, strict=True)
    )
    defaults: dict[str, Any] = {
        "multi-choice": {"question": "What?\nA. running\nB. jumping", "answer": "B. jumping"},
        "yes_no": {"question": "Is the man jumping?", "answer": "yes"},
        "caption_matching": {
            "question": f"{MATCHING}\nCaption A: He runs.\nCaption B: He jumps.",
            "answer": "Caption B: He jumps.",
        },
        "captioning": {
            "question": f"Write a caption.\n{informations}\nGenerated Caption:",
            "answer": "B. jumping",
        },
    }
    paths = [
        save({"7": {"action": [files.get(stem, entry)]}}, f"questions/{stem}.json")
        for stem, entry in defaults.items()
    ]
    return paths[0].parent


def test_each_of_the_four_tasks_is_told_by_its_content(save: Save) -> None:
    rows = [
        row(1, problem=MATCHING, options=["A. He runs.", "B. He jumps."], answer="He jumps."),
        captioning(),
        row(4),
        row(5, problem="Is he jumping?", options=["A. yes", "B. no"], answer="no"),
    ]
    assert [question.category for question in load("tempcompass", save(rows))] == [
        "caption_matching/action",
        "captioning/action",
        "multi-choice/action",
        "yes_no/action",
    ]


def test_an_option_may_be_a_dictionary_written_as_text(save: Save) -> None:
    (question,) = load("tempcompass", save([captioning()]))
    assert question.options == (("A", INFORMATION[0]), ("B", INFORMATION[1]))


def test_a_captioning_row_is_known_by_its_second_question(save: Save) -> None:
    (question,) = load("tempcompass", save([captioning() | {"options": ["A. a run", "B. a jump"]}]))
    assert question.category == "captioning/action"


@pytest.mark.parametrize(
    "options",
    [
        INFORMATION,
        str([f"A. {INFORMATION[0]}", f"B. {INFORMATION[1]}"]),
        [{"subject": "man", "action": "running"}, {"subject": "man", "action": "jumping"}],
        str({"A": INFORMATION[0], "B": INFORMATION[1]}),
    ],
)
def test_other_spellings_of_the_same_dictionaries_read_the_same(
    save: Save, options: object
) -> None:
    (question,) = load("tempcompass", save([captioning() | {"options": options}]))
    assert question.options == (("A", INFORMATION[0]), ("B", INFORMATION[1]))
    assert question.category == "captioning/action"


def test_options_that_are_a_text_without_structure_are_refused(save: Save) -> None:
    with pytest.raises(InputError, match="record 1: options: 'A or B' is a text, not a list"):
        load("tempcompass", save([row(options="A or B")]))


def test_stray_spaces_before_and_after_a_letter_are_harmless(save: Save) -> None:
    (question,) = load("tempcompass", save([row(options=[" A. running", "B.jumping "])]))
    assert question.options == (("A", "running"), ("B", "jumping "))


def test_the_release_has_options_in_the_question_and_gold_in_words(save: Save) -> None:
    questions = {q.category.split("/")[0]: q for q in load("tempcompass", release(save))}
    assert {task: q.answer for task, q in questions.items()} == {
        "multi-choice": "B",
        "yes_no": "A",
        "caption_matching": "B",
        "captioning": "B",
    }
    assert questions["multi-choice"].text == "What?"
    assert questions["yes_no"].options == (("A", "yes"), ("B", "no"))
    assert questions["caption_matching"].options == (("A", "He runs."), ("B", "He jumps."))
    assert questions["captioning"].options[1] == ("B", INFORMATION[1])
    assert questions["captioning"].text == "Write a caption."


def test_stray_spaces_in_the_release_do_not_hide_an_option(save: Save) -> None:
    entry = {"question": "What?\nA. in\nB. out \nC.both\n D. none", "answer": "B. out"}
    folder = release(save, **{"multi-choice": entry})
    (question,) = load("tempcompass", folder / "multi-choice.json")
    assert question.options == (("A", "in"), ("B", "out "), ("C", "both"), ("D", "none"))


def test_a_question_that_the_release_asks_twice_is_two_questions(save: Save) -> None:
    entry = {"question": "Is the man jumping?", "answer": "yes"}
    path = save({"7": {"action": [entry, entry]}}, "yes_no.json")
    assert [q.id for q in load("tempcompass", path)] == ["7/action/yes_no/1", "7/action/yes_no/2"]


def test_a_flat_list_of_the_release_is_read_as_well(save: Save) -> None:
    flat = {"video_id": "7", "dim": "speed", "question": "Is he fast?\n", "answer": "No"}
    (question,) = load("tempcompass", save([flat]))
    assert (question.category, question.answer) == ("yes_no/speed", "B")


def test_a_release_with_a_file_missing_is_refused(save: Save) -> None:
    folder = release(save)
    (folder / "yes_no.json").unlink()
    with pytest.raises(InputError, match=r"first is yes_no\.json"):
        load("tempcompass", folder)


@pytest.mark.parametrize("answer", ["C. flying", "jumping", "maybe"])
def test_an_answer_outside_the_options_of_the_release_is_named_with_its_place(
    save: Save, answer: str
) -> None:
    entry = {"question": "What?\nA. running\nB. jumping", "answer": answer}
    folder = release(save, **{"multi-choice": entry})
    with pytest.raises(InputError, match=r"multi-choice\.json: 7: action: record 1: answer"):
        load("tempcompass", folder)
