"""`prepare` on a hand-made CLEVRER in the official layout.

Video 3 shows red hit blue at frame 20 and blue hit green at frame 60; its log also has yellow hit
cyan at frame 130, after the end. Video 7648 is a short clip of CLEVRER's number: there yellow hits
cyan at frame 104.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow.parquet as pq
import pytest

from videothinker.data.clevrer.prepare import prepare
from videothinker.data.questions import read_questions
from videothinker.errors import InputError

OBJECTS = [
    {"object_id": 0, "color": "red", "material": "metal", "shape": "cube"},
    {"object_id": 1, "color": "blue", "material": "rubber", "shape": "sphere"},
    {"object_id": 2, "color": "green", "material": "metal", "shape": "cylinder"},
    {"object_id": 3, "color": "yellow", "material": "rubber", "shape": "cube"},
    {"object_id": 4, "color": "cyan", "material": "metal", "shape": "sphere"},
]
CHAIN = [(60, 1, 2), (20, 0, 1), (130, 4, 3)]
RED_BLUE = "The red object and the rubber sphere collide"
BLUE_GREEN = "The blue sphere collides with the green metal cylinder"
GREEN_CYAN = "The cylinder and the cyan sphere collide"
YELLOW_CYAN = "The yellow cube collides with the cyan object"


def ask(number: int, text: str, **choices: bool) -> dict[str, Any]:
    """A counterfactual question; options by their constant's name, true ones are correct."""
    return {
        "question_id": number,
        "question": text,
        "question_type": "counterfactual",
        "program": ["all_events", "objects", "get_counterfact", "belong_to"],
        "choices": [
            {
                "choice_id": place,
                "choice": globals()[name],
                "program": [],
                "answer": "correct" if correct else "wrong",
            }
            for place, (name, correct) in enumerate(choices.items())
        ],
    }


BYSTANDER = ask(1, "Without the yellow cube, what will happen?", BLUE_GREEN=True, GREEN_CYAN=False)
SHOWN_WRONG = ask(2, "What will happen without the cyan object?", RED_BLUE=True, BLUE_GREEN=False)
HALF_SHOWN = ask(
    3, "Which event will happen if the red cube is removed?", BLUE_GREEN=True, GREEN_CYAN=True
)
HALF_SHOWN_BYSTANDER = ask(
    4,
    "If the yellow cube is removed, which of the following will happen?",
    BLUE_GREEN=True,
    GREEN_CYAN=True,
)
TOUCHED = ask(5, "What will happen without the red cube?", BLUE_GREEN=True, GREEN_CYAN=False)
NEGATED = ask(
    6,
    "If the yellow cube is removed, which event will not happen?",
    BLUE_GREEN=False,
    YELLOW_CYAN=True,
)
NO_RIGHT_OPTION = ask(7, "What will happen without the red cube?", BLUE_GREEN=False)
DESCRIPTIVE = {
    "question_id": 0,
    "question": "How many cubes are there?",
    "question_type": "descriptive",
    "question_subtype": "count",
    "program": [],
    "answer": "2",
}
EVERYTHING = [
    DESCRIPTIVE,
    BYSTANDER,
    SHOWN_WRONG,
    HALF_SHOWN,
    HALF_SHOWN_BYSTANDER,
    TOUCHED,
    NEGATED,
    NO_RIGHT_OPTION,
]


def annotation(index: int, log: list[tuple[int, int, int]]) -> dict[str, Any]:
    location = [0.0, 0.0, 0.0]
    return {
        "scene_index": index,
        "video_filename": f"video_{index:05d}.mp4",
        "object_property": OBJECTS,
        "motion_trajectory": [{"frame_id": 0, "objects": []}],
        "collision": [
            {"object_ids": [one, other], "frame_id": frame, "location": location}
            for frame, one, other in log
        ],
    }


class World:
    """CLEVRER's files in a folder, and `prepare`'s arguments for them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.scenes: list[dict[str, Any]] = []
        for folder in ("annotations", "videos"):
            (root / folder).mkdir()

    def add(
        self,
        index: int,
        questions: list[dict[str, Any]],
        log: list[tuple[int, int, int]] = CHAIN,
        thousand: str = "",
    ) -> "World":
        name = f"video_{index:05d}.mp4"
        self.scenes.append({"scene_index": index, "video_filename": name, "questions": questions})
        (self.root / "questions.json").write_text(json.dumps(self.scenes))
        for kind, file, content in (
            ("annotation", f"annotation_{index:05d}.json", json.dumps(annotation(index, log))),
            ("video", name, ""),
        ):
            folder = self.root / f"{kind}s" / (thousand and f"{kind}_{thousand}")
            folder.mkdir(exist_ok=True)
            (folder / file).write_text(content)
        return self

    def prepare(self, **options: Any) -> dict[str, Any]:
        root = self.root
        return prepare(
            root / "questions.json", root / "annotations", root / "videos", self.out, **options
        )

    @property
    def out(self) -> Path:
        return self.root / "out"

    def questions(self, name: str = "questions") -> list[Any]:
        return read_questions(self.out / f"{name}.parquet")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_every_counterfactual_question_becomes_a_lettered_record(world: World) -> None:
    world.add(3, EVERYTHING).prepare()
    first = world.questions()[0]
    assert first.id == "video_00003/q1"
    assert first.video == "video_00003.mp4"
    assert first.text == "Without the yellow cube, what will happen?"
    assert first.options == (("A", BLUE_GREEN), ("B", GREEN_CYAN))
    assert [q.answer for q in world.questions()] == ["A", "A", "A,B", "A,B", "A", "B"]


def test_options_are_lettered_by_choice_id(world: World) -> None:
    question = {**BYSTANDER, "choices": BYSTANDER["choices"][::-1]}
    world.add(3, [question]).prepare()
    assert world.questions()[0].options == (("A", BLUE_GREEN), ("B", GREEN_CYAN))


def test_the_chosen_rule_decides_the_category(world: World) -> None:
    world.add(3, EVERYTHING)
    categories = {}
    for rule in ("R1", "R2", "R3", "R4"):
        world.prepare(rule=rule)
        categories[rule] = "".join(question.category[0] for question in world.questions())
    assert categories == {"R1": "oiiioo", "R2": "ooiioo", "R3": "oooooo", "R4": "ooioio"}


def test_statistics_count_every_rule_and_where_two_of_them_disagree(world: World) -> None:
    stats = world.add(3, EVERYTHING).prepare()
    assert stats == json.loads((world.out / "stats.json").read_text())
    assert (stats["questions"], stats["observational"], stats["inferential"]) == (6, 3, 3)
    assert {rule: counts["observational"] for rule, counts in stats["by_rule"].items()} == {
        "R1": 3,
        "R2": 4,
        "R3": 6,
        "R4": 4,
    }
    assert stats["disagreements"] == {
        "R1-R2": 1,
        "R1-R3": 3,
        "R1-R4": 3,
        "R2-R3": 2,
        "R2-R4": 2,
        "R3-R4": 2,
    }
    assert (stats["single_answer"], stats["multiple_answer"]) == (4, 2)
    assert (stats["no_correct_option"], stats["other_question_types"]) == (1, 1)
    assert (stats["videos"], stats["short_clips"]) == (1, {})


def test_the_bias_set_is_the_observational_questions_with_and_without_the_removal(
    world: World,
) -> None:
    world.add(3, EVERYTHING).prepare()
    bias, without = world.questions("bias"), world.questions("bias_without_clause")
    assert bias == [q for q in world.questions() if q.category == "observational"]
    assert [question.id for question in without] == [question.id for question in bias]
    assert [question.text for question in without] == [
        "What will happen?",
        "What will happen?",
        "Which event will not happen?",
    ]
    assert [question.answer for question in without] == [question.answer for question in bias]


def test_questions_without_a_correct_option_are_kept_apart(world: World) -> None:
    world.add(3, EVERYTHING).prepare()
    (question,) = world.questions("no_answer")
    assert (question.id, question.answer) == ("video_00003/q7", "")
    assert question.id not in {kept.id for kept in world.questions()}


def test_evidence_names_the_collision_that_gives_an_option_away(world: World) -> None:
    world.add(3, EVERYTHING).prepare()
    rows = {row["id"]: row for row in pq.read_table(world.out / "evidence.parquet").to_pylist()}
    assert len(rows) == 7
    touched = rows["video_00003/q5"]
    assert (touched["removed"], touched["removed_frame"], touched["shown_frames"]) == (0, 20, 128)
    assert [touched[rule][0] for rule in ("R1", "R2", "R3", "R4")] == ["o", "o", "o", "i"]
    assert touched["options"] == [
        {
            "letter": "A",
            "text": BLUE_GREEN,
            "objects": [1, 2],
            "frame": 60,
            "happened": True,
            "correct": True,
        },
        {
            "letter": "B",
            "text": GREEN_CYAN,
            "objects": [2, 4],
            "frame": None,
            "happened": False,
            "correct": False,
        },
    ]
    assert rows["video_00003/q6"]["negated"] is True
    assert rows["video_00003/q1"]["removed_frame"] is None


def video(path: Path, frames: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 16
        for _ in range(frames):
            frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


LATE = ask(1, "What will happen without the red cube?", YELLOW_CYAN=True)


@pytest.mark.parametrize(
    ("index", "frames", "category"),
    [
        (7648, 104, "inferential"),
        (9777, 104, "inferential"),
        (7648, 128, "observational"),
        (7648, 0, "inferential"),
        (7649, 104, "observational"),
    ],
    ids=["short", "the other", "whole", "its file says nothing", "another number"],
)
def test_a_known_short_clip_shows_as_many_frames_as_its_file_says(
    world: World, index: int, frames: int, category: str
) -> None:
    world.add(index, [LATE], log=[(104, 3, 4)])
    if frames:
        video(world.root / "videos" / f"video_{index:05d}.mp4", frames)
    stats = world.prepare()
    assert [question.category for question in world.questions()] == [category]
    assert bool(stats["short_clips"]) == (category == "inferential")


def test_files_are_found_in_folders_of_a_thousand(world: World) -> None:
    world.add(3, [BYSTANDER], thousand="00000-01000").add(1003, [TOUCHED], thousand="01000-02000")
    world.prepare()
    assert [question.video for question in world.questions()] == [
        "video_00000-01000/video_00003.mp4",
        "video_01000-02000/video_01003.mp4",
    ]


def test_files_are_found_behind_a_linked_folder(world: World) -> None:
    world.add(3, [BYSTANDER], thousand="00000-01000")
    (world.root / "elsewhere").mkdir()
    (world.root / "videos").rename(world.root / "elsewhere" / "videos")
    (world.root / "videos").mkdir()
    (world.root / "videos" / "train").symlink_to(world.root / "elsewhere" / "videos")
    world.prepare()
    assert world.questions()[0].video == "train/video_00000-01000/video_00003.mp4"


def test_videos_without_a_counterfactual_question_need_no_files(world: World) -> None:
    world.add(3, [BYSTANDER])
    world.scenes.append({"scene_index": 4, "video_filename": "v.mp4", "questions": [DESCRIPTIVE]})
    world.add(5, [TOUCHED])
    assert world.prepare()["videos"] == 2


def test_progress_counts_videos(world: World) -> None:
    seen: list[tuple[int, int]] = []
    world.add(3, [BYSTANDER]).add(4, [TOUCHED])
    world.prepare(progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]


def test_the_same_folder_again_replaces_its_files_and_keeps_others(world: World) -> None:
    world.add(3, EVERYTHING).prepare()
    (world.out / "note.txt").write_text("mine")
    world.prepare(rule="R3")
    assert len(world.questions("bias")) == 6
    assert (world.out / "note.txt").read_text() == "mine"
    assert sorted(path.name for path in world.root.iterdir()) == [
        "annotations",
        "out",
        "questions.json",
        "videos",
    ]


def test_a_file_in_the_way_of_the_result_is_named(world: World) -> None:
    world.add(3, [BYSTANDER]).out.write_text("mine")
    with pytest.raises(InputError, match=r"out: is a file\. Give a folder"):
        world.prepare()


def test_questions_without_a_counterfactual_one_are_refused(world: World) -> None:
    with pytest.raises(InputError, match="no counterfactual question with a correct option"):
        world.add(3, [DESCRIPTIVE, NO_RIGHT_OPTION]).prepare()
    assert not world.out.exists()


def test_the_mini_world_is_read_alike(mini_world: Path) -> None:
    stats = json.loads((mini_world / "stats.json").read_text())
    observational = {counts["observational"] for counts in stats["by_rule"].values()}
    assert stats["questions"] == 24
    assert observational == {stats["observational"]}
    assert set(stats["disagreements"].values()) == {0}


def test_preparing_loads_no_torch(world: World) -> None:
    world.add(7648, [LATE], log=[(104, 3, 4)])
    code = (
        "import sys; from pathlib import Path;"
        " from videothinker.data.clevrer.prepare import prepare;"
        " root = Path(sys.argv[1]);"
        " prepare(root / 'questions.json', root / 'annotations', root / 'videos', root / 'out');"
        " sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(world.root)], check=False)
    assert done.returncode == 0
