"""MVBench from the reference's file, which names no task, and from the release's 20 files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from videothinker.errors import InputError
from videothinker.evaluation.benchmarks.mvbench import STEMS, TASKS
from videothinker.evaluation.scores import load

Save = Callable[..., Path]


def row(number: int = 1, folder: str = "ssv2_video", **changed: Any) -> dict[str, Any]:
    return {
        "ori_video": "1.webm",
        "question": "What is done?",
        "options": ["A. Opening it", "B. Closing it", "C. Nothing"],
        "answer": "Closing it",
        "problem": "What is done?",
        "data_type": "video",
        "problem_type": "multiple choice",
        "original_question_type": "",
        "solution": "<answer>B</answer>",
        "video": f"/MVBench/{folder}/1.mp4",
        "subtitle": "",
        "problem_id": number,
        **changed,
    }


def whole() -> list[dict[str, Any]]:
    folders = list(TASKS.values())
    return [row(number + 1, folders[number // 200]) for number in range(4000)]


def release(save: Save, **changed: Any) -> Path:
    entry = {
        "video": "1.webm",
        "question": "What is done?",
        "candidates": ["Opening it", "Closing it", "Nothing"],
        "answer": "Closing it",
        **changed,
    }
    paths = [save([entry], f"json/{stem}.json") for stem in STEMS]
    return paths[0].parent


def test_the_task_of_a_row_follows_from_its_number(save: Save) -> None:
    questions = load("mvbench", save(whole()))
    assert [questions[n].category for n in (0, 199, 200, 1200, 3999)] == [
        "Action Antonym",
        "Action Antonym",
        "Action Count",
        "Counterfactual Inference",
        "Unexpected Action",
    ]


def test_a_shuffled_file_keeps_its_tasks(save: Save) -> None:
    questions = load("mvbench", save(whole()[::-1]))
    assert (questions[0].id, questions[0].category) == ("4000", "Unexpected Action")


def test_without_numbers_the_place_in_the_whole_file_tells_the_task(save: Save) -> None:
    rows = whole()
    for one in rows:
        del one["problem_id"]
    assert load("mvbench", save(rows))[3999].category == "Unexpected Action"


def test_a_whole_file_in_folders_of_other_names_is_trusted(save: Save) -> None:
    rows = [row(number + 1, "elsewhere") for number in range(4000)]
    assert load("mvbench", save(rows))[3999].category == "Unexpected Action"


def test_a_whole_file_whose_order_contradicts_its_folders_is_refused(save: Save) -> None:
    rows = whole()
    rows[300]["video"], rows[1300]["video"] = rows[1300]["video"], rows[300]["video"]
    with pytest.raises(InputError, match="record 301: video: problem_id 301 stands for Action C"):
        load("mvbench", save(rows))


def test_a_whole_file_with_a_number_twice_is_refused(save: Save) -> None:
    rows = whole()
    rows[7]["problem_id"] = 9
    with pytest.raises(InputError, match="problem_id: not each of 1 to 4000 once"):
        load("mvbench", save(rows))


def test_in_a_part_of_the_file_number_and_folder_must_agree_on_the_task(save: Save) -> None:
    rows = [
        row(1201, "clevrer/video_validation"),
        row(5, "clevrer/video_validation"),
        row(6, "scene_qa/video"),
        row(7, "elsewhere"),
    ]
    assert [question.category for question in load("mvbench", save(rows))] == [
        "Counterfactual Inference",
        "unknown task",
        "Scene Transition",
        "unknown task",
    ]


def test_a_task_that_a_row_names_itself_counts(save: Save) -> None:
    (question,) = load("mvbench", save([row(1, task_type="State Change")]))
    assert question.category == "State Change"
    with pytest.raises(InputError, match="'Chess' is not one of MVBench's 20 tasks"):
        load("mvbench", save([row(1, task_type="Chess")]))


def test_one_to_five_options_are_read(save: Save) -> None:
    letters = "ABCDE"
    rows = [
        row(n, options=[f"{x}. text {x}" for x in letters[:n]], solution="A", answer="text A")
        for n in range(1, 6)
    ]
    assert [len(question.options) for question in load("mvbench", save(rows))] == [1, 2, 3, 4, 5]


def test_an_answer_may_differ_from_its_option_by_spaces_at_the_end(save: Save) -> None:
    (question,) = load("mvbench", save([row(answer="Closing it  ")]))
    assert question.answer == "B"


def test_an_answer_that_is_another_option_than_the_solution_is_refused(save: Save) -> None:
    with pytest.raises(InputError, match="'Opening it' is option A, the solution is B"):
        load("mvbench", save([row(answer="Opening it")]))


def test_the_part_of_the_clip_to_watch_is_passed_on(save: Save) -> None:
    framed = row(2, data_type="frame", fps=3, show_name="A show", start=0.0, end=38.32)
    plain, cut = load("mvbench", save([row(1), framed]))
    assert (plain.start, plain.end) == (None, None)
    assert (cut.start, cut.end) == (0.0, 38.32)


@pytest.mark.parametrize(
    ("start", "end", "complaint"),
    [
        (5.0, 5.0, "end: 5.0 s is not after the start"),
        ("0:05", 9.0, "start: '0:05' is not a time"),
        (-1, 9, "start: -1 is not a time"),
    ],
)
def test_a_part_that_is_none_is_refused(
    save: Save, start: object, end: object, complaint: str
) -> None:
    with pytest.raises(InputError, match=f"record 1: {complaint}"):
        load("mvbench", save([row(start=start, end=end)]))


def test_the_release_names_tasks_by_file_and_answers_by_text(save: Save) -> None:
    questions = load("mvbench", release(save, answer="Closing it "))
    assert len(questions) == 20
    first = questions[0]
    assert (first.id, first.category) == ("action_antonym/1", "Action Antonym")
    assert first.options == (("A", "Opening it"), ("B", "Closing it"), ("C", "Nothing"))
    assert first.answer == "B"


def test_clevrer_and_perception_videos_of_one_name_stay_apart(save: Save) -> None:
    questions = {q.category: q for q in load("mvbench", release(save, video="video_10142.mp4"))}
    assert questions["Moving Count"].video == "MVBench/clevrer/video_validation/video_10142.mp4"
    assert questions["Object Shuffle"].video == "MVBench/perception/videos/video_10142.mp4"


def test_one_file_of_the_release_can_be_read_alone(save: Save) -> None:
    folder = release(save)
    (question,) = load("mvbench", folder / "fine_grained_pose.json")
    assert question.category == "Fine-grained Pose"


def test_a_release_with_a_file_missing_is_refused(save: Save) -> None:
    folder = release(save)
    (folder / "state_change.json").unlink()
    with pytest.raises(InputError, match=r"1 of the 20 files .* first is state_change\.json"):
        load("mvbench", folder)


def test_an_answer_that_is_no_candidate_is_refused(save: Save) -> None:
    with pytest.raises(InputError, match=r"action_antonym\.json: record 1: answer: 'Jumping'"):
        load("mvbench", release(save, answer="Jumping"))
