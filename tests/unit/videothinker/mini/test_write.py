import json
from pathlib import Path

import decord
import numpy as np
import pytest
from mini_worlds import WORLDS

from videothinker.data.clevrer.prepare import prepare
from videothinker.data.questions import read_questions
from videothinker.errors import InputError
from videothinker.mini.render import draw, patches
from videothinker.mini.settings import World
from videothinker.mini.world import make_scene
from videothinker.mini.write import annotation, question_record, write_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("mini") / "world"
    write_world(out, videos=4, seed=5, start=2)
    return out


def test_files_lie_in_clevrers_layout(world: Path) -> None:
    assert sorted(str(p.relative_to(world)) for p in world.rglob("*.*")) == [
        *(f"annotations/annotation_{i:05d}.json" for i in range(2, 6)),
        "questions.json",
        *(f"videos/video_{i:05d}.mp4" for i in range(2, 6)),
    ]


def test_questions_follow_clevrers_schema(world: Path) -> None:
    for number, entry in enumerate(json.loads((world / "questions.json").read_text()), start=2):
        assert entry["scene_index"] == number
        assert entry["video_filename"] == f"video_{number:05d}.mp4"
        (question,) = entry["questions"]
        assert question["question_type"] == "counterfactual"
        assert [choice["choice_id"] for choice in question["choices"]] == [0, 1, 2]
        assert sorted(c["answer"] for c in question["choices"]) == ["correct", "wrong", "wrong"]
        assert all(" collides with the " in c["choice"] for c in question["choices"])


def test_annotations_follow_clevrers_schema() -> None:
    record = annotation(make_scene(5, 2))
    assert set(record) == {
        "scene_index",
        "video_filename",
        "object_property",
        "motion_trajectory",
        "collision",
    }
    assert set(record["object_property"][0]) == {"object_id", "color", "material", "shape"}
    assert [frame["frame_id"] for frame in record["motion_trajectory"]] == list(range(6))
    assert set(record["motion_trajectory"][0]["objects"][0]) == {
        "object_id",
        "location",
        "orientation",
        "velocity",
        "angular_velocity",
        "inside_camera_view",
    }
    assert all(set(hit) == {"object_ids", "frame_id", "location"} for hit in record["collision"])


def test_the_log_tells_observational_from_inferential() -> None:
    for index in range(60):
        scene = make_scene(5, index)
        properties = annotation(scene)["object_property"]
        names = {f"{p['color']} {p['shape']}": p["object_id"] for p in properties}
        hits = [set(hit["object_ids"]) for hit in annotation(scene)["collision"]]
        (question,) = question_record(scene)["questions"]
        (correct,) = [c["choice"] for c in question["choices"] if c["answer"] == "correct"]
        first, second = correct.removeprefix("The ").split(" collides with the ")
        assert ({names[first], names[second]} in hits) == scene.observational


def test_the_same_seed_writes_the_same_bytes_whatever_the_number_of_cores(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for cores in (1, 3):
        monkeypatch.setattr("os.sched_getaffinity", lambda process, n=cores: set(range(n)))
        out = tmp_path / str(cores)
        write_world(out, videos=4, seed=5, start=2)
        for path in world.rglob("*.*"):
            assert path.read_bytes() == (out / path.relative_to(world)).read_bytes()


def test_decord_reads_six_frames_whose_colours_are_close(world: Path) -> None:
    reader = decord.VideoReader(str(world / "videos" / "video_00003.mp4"))
    assert reader.get_avg_fps() == pytest.approx(2.0)
    frames = reader.get_batch(range(len(reader))).asnumpy()
    drawn = draw(make_scene(5, 3), 5)
    assert frames.shape == drawn.shape == (6, 84, 140, 3)
    difference = np.abs(frames.astype(int) - drawn)
    assert difference.mean() < 3
    assert np.percentile(difference, 99.9) < 25


@pytest.mark.parametrize("knobs", WORLDS)
def test_every_world_is_prepared_and_all_labelling_rules_agree_on_it(
    knobs: World, tmp_path: Path
) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    write_world(raw, videos=12, seed=5, start=3, split="test", world=knobs)
    stats = prepare(raw / "questions.json", raw / "annotations", raw / "videos", out)
    scenes = [make_scene(5, 2_000_003 + i, world=knobs) for i in range(12)]
    assert read_questions(out / "questions.parquet") == [scene.question() for scene in scenes]
    assert stats["questions"] == 12
    assert stats["single_answer"] == 12
    assert set(stats["disagreements"].values()) == {0}


def test_a_longer_world_is_written_in_its_length(tmp_path: Path) -> None:
    write_world(tmp_path / "world", videos=1, seed=0, world=World(frames=8))
    reader = decord.VideoReader(str(tmp_path / "world" / "videos" / "video_00000.mp4"))
    frames = reader.get_batch(range(len(reader))).asnumpy()
    assert frames.shape == (8, 84, 140, 3)
    assert patches(frames).shape == (4 * 6 * 10, 1176)


def test_a_folder_that_holds_something_is_refused(world: Path) -> None:
    with pytest.raises(InputError, match="already holds something"):
        write_world(world, videos=1, seed=0)


def test_nothing_stays_behind_when_writing_fails(tmp_path: Path) -> None:
    def fail(done: int, total: int, note: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_world(tmp_path / "world", videos=2, seed=0, progress=fail)
    assert list(tmp_path.iterdir()) == []
