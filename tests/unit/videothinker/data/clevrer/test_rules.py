"""The four labelling rules, on a hand-made log of one collision chain.

The video shows red hit blue at frame 20 and blue hit green at frame 60; yellow only hits cyan,
after the end of what is shown.
"""

from typing import Any

import pytest

from videothinker.data.clevrer.prepare import bias_label
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
RULES = ("R1", "R2", "R3", "R4")


def ask(text: str, *choices: tuple[str, str]) -> dict[str, Any]:
    return {
        "question": text,
        "question_type": "counterfactual",
        "choices": [{"choice": choice, "answer": answer} for choice, answer in choices],
    }


def labels(question: dict[str, Any], annotation: dict[str, Any] = ANNOTATION) -> str:
    """The first letters of the labels under R1, R2, R3, R4."""
    return " ".join(bias_label(question, annotation, rule)[0] for rule in RULES)


def test_removing_a_bystander_is_observational_under_every_rule() -> None:
    question = ask(
        "Without the yellow object, what will happen?",
        (BLUE_GREEN, "correct"),
        (GREEN_CYAN, "wrong"),
    )
    assert labels(question) == "o o o o"


def test_removing_the_cause_is_inferential_under_every_rule() -> None:
    question = ask(
        "What will happen if the red cube is removed?",
        (BLUE_GREEN, "wrong"),
        (GREEN_CYAN, "correct"),
    )
    assert labels(question) == "i i i i"


@pytest.mark.parametrize(
    ("removed", "choices", "expected"),
    [
        ("cyan object", [(RED_BLUE, "correct"), (BLUE_GREEN, "wrong")], "i o o o"),
        ("red cube", [(BLUE_GREEN, "correct"), (GREEN_CYAN, "correct")], "i i o i"),
        ("yellow cube", [(BLUE_GREEN, "correct"), (GREEN_CYAN, "correct")], "i i o o"),
        ("red cube", [(BLUE_GREEN, "correct"), (GREEN_CYAN, "wrong")], "o o o i"),
    ],
    ids=[
        "a shown option is wrong",
        "half shown",
        "half shown, bystander",
        "touched, nothing changes",
    ],
)
def test_each_two_rules_disagree_somewhere(
    removed: str, choices: list[tuple[str, str]], expected: str
) -> None:
    assert labels(ask(f"What will happen without the {removed}?", *choices)) == expected


def test_a_will_not_happen_question_is_read_the_other_way_round() -> None:
    prevented = ask(
        "If the red cube is removed, which event will not happen?",
        (BLUE_GREEN, "correct"),
        (GREEN_CYAN, "wrong"),
    )
    untouched = ask(
        "Which event will not happen without the yellow cube?",
        (BLUE_GREEN, "wrong"),
        (GREEN_CYAN, "correct"),
    )
    assert labels(prevented) == "i i i i"
    assert labels(untouched) == "o o o o"


def test_rule_4_ignores_what_the_removed_object_does_after_the_options_events() -> None:
    question = ask("What will happen without the green object?", (RED_BLUE, "correct"))
    assert bias_label(question, ANNOTATION, "R4") == "observational"
    question = ask("What will happen without the green object?", (BLUE_GREEN, "wrong"))
    assert bias_label(question, ANNOTATION, "R4") == "inferential"


def test_rule_4_watches_to_the_end_where_no_option_happened() -> None:
    question = ask("What will happen without the green object?", (GREEN_CYAN, "wrong"))
    assert bias_label(question, ANNOTATION, "R4") == "inferential"
    question = ask("What will happen without the yellow cube?", (GREEN_CYAN, "wrong"))
    assert bias_label(question, ANNOTATION, "R4") == "observational"


def test_without_a_correct_option_nothing_right_was_shown() -> None:
    question = ask("What will happen without the yellow cube?", (GREEN_CYAN, "wrong"))
    assert labels(question) == "o i i o"


def test_a_collision_after_the_last_shown_frame_was_not_seen() -> None:
    question = ask("What will happen without the red cube?", (YELLOW_CYAN, "correct"))
    assert labels(question) == "i i i i"


@pytest.mark.parametrize(("scene", "expected"), [(7648, "inferential"), (7649, "observational")])
def test_a_known_short_clip_ends_after_104_frames(scene: int, expected: str) -> None:
    late = {**ANNOTATION, "scene_index": scene}
    late["collision"] = [{"object_ids": [3, 4], "frame_id": 104, "location": []}]
    question = ask("What will happen without the red cube?", (YELLOW_CYAN, "correct"))
    assert bias_label(question, late, "R1") == expected


def test_the_first_of_several_collisions_of_a_pair_counts() -> None:
    again = {**ANNOTATION, "collision": [*ANNOTATION["collision"]]}
    again["collision"].append({"object_ids": [1, 0], "frame_id": 90, "location": []})
    question = ask("What will happen without the green object?", (RED_BLUE, "correct"))
    assert bias_label(question, again, "R4") == "observational"


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
        (
            ask("Without the cube, what will happen?", (BLUE_GREEN, "correct")),
            "object_property: 2 objects .* 'the cube'",
        ),
        (
            ask("Without the pink cube, what will happen?", (BLUE_GREEN, "correct")),
            "object_property: 0 objects .* 'the pink cube'",
        ),
        (ask("What now?", (BLUE_GREEN, "correct")), "question: 'What now.' is not CLEVRER's word"),
        (
            ask("What will never happen without the red cube?", (BLUE_GREEN, "correct")),
            "is not CLEVRER's wording",
        ),
        (
            ask("What will happen without the red cube?", ("The cube stops", "correct")),
            r"choices\.choice: 'The cube stops' names no collision",
        ),
        (
            ask("What will happen without the red cube?", (BLUE_GREEN, "")),
            r"choices\[0\]\.answer: .* found ''\. CLEVRER's test split has no answers",
        ),
        (ask("What will happen without the red cube?"), "choices: list should have at least 1"),
        ({"question": "Without the red cube?"}, "choices: missing. Use CLEVRER's files unchanged"),
    ],
)
def test_a_question_that_cannot_be_read_is_refused_by_field(
    question: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        bias_label(question, ANNOTATION, "R1")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"collision": None}, "collision: input should be a valid list, found None"),
        ({"collision": [{"frame_id": 3}]}, r"collision\[0\]\.object_ids: missing"),
        (
            {"collision": [{"frame_id": 3.5, "object_ids": [0, 1]}]},
            r"collision\[0\]\.frame_id: .*found 3\.5",
        ),
        ({"collision": [{"frame_id": 3, "object_ids": [0]}]}, r"collision\[0\]\.object_ids: "),
        ({"object_property": [{"color": "red"}]}, r"object_property\[0\]\.object_id: missing"),
    ],
)
def test_an_annotation_that_cannot_be_read_is_refused_by_field(
    change: dict[str, Any], message: str
) -> None:
    question = ask("What will happen without the red cube?", (RED_BLUE, "correct"))
    with pytest.raises(InputError, match=message):
        bias_label(question, {**ANNOTATION, **change}, "R1")


def test_an_unknown_rule_is_refused() -> None:
    question = ask("What will happen without the red cube?", (RED_BLUE, "correct"))
    with pytest.raises(InputError, match="'R5' is not one of R1, R2, R3, R4"):
        bias_label(question, ANNOTATION, "R5")
