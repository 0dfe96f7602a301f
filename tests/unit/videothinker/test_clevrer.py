"""CLEVRER's reader and the four labelling rules, on a hand-made world of one collision chain.

The video shows red hit blue at frame 20 and blue hit green at frame 60; yellow only hits cyan,
after the end of what is shown.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from videothinker.data.clevrer import bias_label, prepare
from videothinker.data.store import read_questions
from videothinker.errors import InputError

ANNOTATION: dict[str, Any] = {
    "scene_index": 3,
    "video_filename": "video_00003.mp4",
    "object_property": [
        {"object_id": 0, "color": "red", "material": "metal", "shape": "cube"},
        {"object_id": 1, "color": "blue", "material": "rubber", "shape": "sphere"},
        {"object_id": 2, "color": "green", "material": "metal", "shape": "cylinder"},
        {"object_id": 3, "color": "yellow", "material": "rubber", "shape": "cube"},
        {"object_id": 4, "color": "cyan", "material": "metal", "shape": "sphere"},
    ],
    "motion_trajectory": [],
    "collision": [
        {"object_ids": [1, 2], "frame_id": 60, "location": [0, 0, 0]},
        {"object_ids": [0, 1], "frame_id": 20, "location": [0, 0, 0]},
        {"object_ids": [4, 3], "frame_id": 130, "location": [0, 0, 0]},
    ],
}
RED_BLUE = "The red object and the rubber sphere collide"
BLUE_GREEN = "The blue sphere collides with the green metal cylinder"
YELLOW_CYAN = "The yellow cube collides with the cyan object"
GREEN_CYAN = "The cylinder and the cyan sphere collide"


def ask(text: str, *choices: tuple[str, str]) -> dict[str, Any]:
    return {
        "question_id": 7,
        "question": text,
        "question_type": "counterfactual",
        "choices": [
            {"choice_id": place, "choice": choice, "answer": answer}
            for place, (choice, answer) in enumerate(choices)
        ],
    }


WITHOUT_YELLOW = ask(
    "Without the yellow object, what will happen?", (BLUE_GREEN, "correct"), (GREEN_CYAN, "wrong")
)
WITHOUT_RED = ask(
    "What will happen if the red cube is removed?", (BLUE_GREEN, "wrong"), (GREEN_CYAN, "correct")
)
WITHOUT_RED_NOT = ask(
    "If the red cube is removed, which event will not happen?",
    (BLUE_GREEN, "correct"),
    (GREEN_CYAN, "wrong"),
)
HALF_SHOWN = ask(
    "Which event will happen without the red cube?",
    (BLUE_GREEN, "correct"),
    (GREEN_CYAN, "correct"),
)


@pytest.mark.parametrize("rule", ["R1", "R2", "R3", "R4"])
def test_removing_a_bystander_is_observational_under_every_rule(rule: str) -> None:
    assert bias_label(WITHOUT_YELLOW, ANNOTATION, rule) == "observational"


@pytest.mark.parametrize("rule", ["R1", "R2", "R3", "R4"])
def test_removing_the_cause_is_inferential_under_every_rule(rule: str) -> None:
    assert bias_label(WITHOUT_RED, ANNOTATION, rule) == "inferential"


def test_a_will_not_happen_question_is_read_the_other_way_round() -> None:
    assert bias_label(WITHOUT_RED_NOT, ANNOTATION, "R1") == "inferential"
    untrue = ask(
        "Which event will not happen without the yellow cube?",
        (BLUE_GREEN, "wrong"),
        (GREEN_CYAN, "correct"),
    )
    assert bias_label(untrue, ANNOTATION, "R1") == "observational"
    assert bias_label(untrue, ANNOTATION, "R2") == "observational"


def test_rules_differ_where_only_some_correct_options_were_shown() -> None:
    labels = [bias_label(HALF_SHOWN, ANNOTATION, rule) for rule in ("R1", "R2", "R3")]
    assert labels == ["inferential", "inferential", "observational"]


def test_rule_1_alone_looks_at_the_wrong_options() -> None:
    question = ask(
        "Without the cyan object, what will happen?",
        (RED_BLUE, "correct"),
        (BLUE_GREEN, "wrong"),
    )
    labels = [bias_label(question, ANNOTATION, rule) for rule in ("R1", "R2")]
    assert labels == ["inferential", "observational"]


def test_rule_4_ignores_what_the_removed_object_does_after_the_options_events() -> None:
    question = ask("What will happen without the green object?", (RED_BLUE, "correct"))
    assert bias_label(question, ANNOTATION, "R4") == "observational"
    later = ask("What will happen without the green object?", (BLUE_GREEN, "wrong"))
    assert bias_label(later, ANNOTATION, "R4") == "inferential"


def test_a_collision_after_the_last_shown_frame_was_not_seen() -> None:
    question = ask("What will happen without the red cube?", (YELLOW_CYAN, "correct"))
    assert bias_label(question, ANNOTATION, "R1") == "inferential"


def test_an_object_without_material_is_matched_on_the_words_it_has() -> None:
    objects = ANNOTATION["object_property"]
    bare = [{key: o[key] for key in ("object_id", "color", "shape")} for o in objects]
    choice = "The red cube and the blue sphere collide"
    question = ask("Without the yellow cube, what will happen?", (choice, "correct"))
    annotation = {**ANNOTATION, "object_property": bare}
    assert bias_label(question, annotation, "R1") == "observational"


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (ask("Without the cube, what?", (BLUE_GREEN, "correct")), "2 objects .* 'the cube'"),
        (ask("Without the pink cube, what?", (BLUE_GREEN, "correct")), "0 objects .* 'the pink"),
        (ask("What now?", (BLUE_GREEN, "correct")), "names no removed object"),
        (ask("Without the red cube?", ("The cube stops", "correct")), "names no collision"),
        (ask("Without the red cube?", (BLUE_GREEN, "")), "test split has no answers"),
        ({"question": "Without the red cube?"}, "choices: expected list, found missing"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(question: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        bias_label(question, ANNOTATION, "R4")


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(InputError, match="'R5' is not one of R1, R2, R3, R4"):
        bias_label(WITHOUT_RED, ANNOTATION, "R5")


def world(root: Path, questions: list[dict[str, Any]], folder: str = "") -> dict[str, Any]:
    """CLEVRER's files for one scene, flat or in a folder of 1000, as `prepare`'s arguments."""
    for kind, name, text in (
        ("annotations", "annotation_00003.json", json.dumps(ANNOTATION)),
        ("videos", "video_00003.mp4", ""),
    ):
        (root / kind / folder).mkdir(parents=True)
        (root / kind / folder / name).write_text(text)
    scene = {"scene_index": 3, "video_filename": "video_00003.mp4", "questions": questions}
    (root / "train.json").write_text(json.dumps([scene]))
    return {
        "questions": root / "train.json",
        "annotations": root / "annotations",
        "videos": root / "videos",
        "out": root / "out",
    }


NO_RIGHT_OPTION = ask("What will happen without the red cube?", (BLUE_GREEN, "wrong"))
DESCRIPTIVE = {"question_id": 0, "question_type": "descriptive", "question": "?", "answer": "3"}


def test_prepare_writes_all_questions_the_observational_ones_and_the_counts(tmp_path: Path) -> None:
    arguments = world(tmp_path, [WITHOUT_YELLOW, HALF_SHOWN, NO_RIGHT_OPTION, DESCRIPTIVE])
    stats = prepare(**arguments)
    questions = read_questions(tmp_path / "out" / "questions.parquet")
    assert [question.category for question in questions] == ["observational", "inferential"]
    assert questions[1].answer == "A,B"
    assert questions[1].options == (("A", BLUE_GREEN), ("B", GREEN_CYAN))
    assert questions[0].id == "video_00003/q7"
    assert questions[0].video == "video_00003.mp4"
    assert read_questions(tmp_path / "out" / "bias.parquet") == questions[:1]
    assert stats == json.loads((tmp_path / "out" / "stats.json").read_text())
    assert (stats["questions"], stats["observational"], stats["inferential"]) == (2, 1, 1)
    assert stats["by_rule"]["R3"] == {"observational": 2, "inferential": 0}
    assert (stats["single_answer"], stats["multiple_answer"]) == (1, 1)
    assert (stats["dropped_no_correct_option"], stats["other_question_types"]) == (1, 1)


def test_prepare_finds_files_in_folders_of_a_thousand(tmp_path: Path) -> None:
    prepare(**world(tmp_path, [WITHOUT_YELLOW], folder="split_00000-01000"))
    (question,) = read_questions(tmp_path / "out" / "questions.parquet")
    assert question.video == "split_00000-01000/video_00003.mp4"


def test_prepare_into_the_same_folder_replaces_its_files_and_keeps_others(tmp_path: Path) -> None:
    arguments = world(tmp_path, [WITHOUT_YELLOW, HALF_SHOWN])
    prepare(**arguments)
    (tmp_path / "out" / "note.txt").write_text("mine")
    prepare(**arguments, rule="R3")
    assert len(read_questions(tmp_path / "out" / "bias.parquet")) == 2
    assert (tmp_path / "out" / "note.txt").read_text() == "mine"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_failed_prepare_leaves_nothing_behind(tmp_path: Path) -> None:
    arguments = world(tmp_path, [WITHOUT_YELLOW, ask("What now?", (BLUE_GREEN, "correct"))])
    with pytest.raises(
        InputError, match=r"train\.json \(video_00003, question 7; .*names no remov"
    ):
        prepare(**arguments)
    assert not arguments["out"].exists()


def test_a_missing_video_is_named_with_what_to_do(tmp_path: Path) -> None:
    arguments = world(tmp_path, [WITHOUT_YELLOW])
    (tmp_path / "videos" / "video_00003.mp4").unlink()
    with pytest.raises(InputError, match=r"video_00003\.mp4 is missing.*Unpack the whole split"):
        prepare(**arguments)


def test_a_question_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    arguments = world(tmp_path, [WITHOUT_YELLOW])
    arguments["questions"].write_text("<html>")
    with pytest.raises(InputError, match="not JSON"):
        prepare(**arguments)


def test_questions_without_a_counterfactual_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no counterfactual question"):
        prepare(**world(tmp_path, [DESCRIPTIVE]))


def test_prepare_reports_progress_by_scene(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    prepare(**world(tmp_path, [WITHOUT_YELLOW]), progress=lambda done, n: seen.append((done, n)))
    assert seen == [(1, 1)]
