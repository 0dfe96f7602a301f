"""CLEVRER's files, damaged: what is wrong and where, in one line, and nothing half-written."""

import copy
import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from videothinker.cli.main import main
from videothinker.data.clevrer.files import CHUNK, read_scenes, shown_frames, stream_list
from videothinker.data.clevrer.prepare import prepare
from videothinker.data.clevrer.rules import SHORT_CLIPS
from videothinker.errors import InputError

QUESTION = {
    "question_id": 7,
    "question": "What will happen without the red cube?",
    "question_type": "counterfactual",
    "program": [],
    "choices": [
        {
            "choice_id": 0,
            "choice": "The blue sphere and the green cylinder collide",
            "program": [],
            "answer": "correct",
        }
    ],
}
ANNOTATION = {
    "scene_index": 3,
    "video_filename": "video_00003.mp4",
    "object_property": [
        {"object_id": 0, "color": "red", "material": "metal", "shape": "cube"},
        {"object_id": 1, "color": "blue", "material": "rubber", "shape": "sphere"},
        {"object_id": 2, "color": "green", "material": "metal", "shape": "cylinder"},
    ],
    "motion_trajectory": [],
    "collision": [{"object_ids": [1, 2], "frame_id": 60, "location": [0.0, 0.0, 0.0]}],
}


def scene(index: int) -> dict[str, Any]:
    name = f"video_{index:05d}.mp4"
    return {"scene_index": index, "video_filename": name, "questions": [copy.deepcopy(QUESTION)]}


def write(root: Path, scenes: object, annotations: dict[int, object]) -> list[str]:
    """The files, and the arguments of `videothinker` for them."""
    for folder in ("annotations", "videos"):
        (root / folder).mkdir()
    for index, content in annotations.items():
        text = content if isinstance(content, str) else json.dumps(content, indent=1)
        (root / "annotations" / f"annotation_{index:05d}.json").write_text(text)
        (root / "videos" / f"video_{index:05d}.mp4").touch()
    text = scenes if isinstance(scenes, str) else json.dumps(scenes, indent=1)
    (root / "questions.json").write_text(text)
    words = ["prepare", "clevrer", "--out", str(root / "out")]
    for name, place in (("questions", "questions.json"), ("annotations",) * 2, ("videos",) * 2):
        words += [f"--{name}", str(root / place)]
    return words


def refused(root: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What the command says; it must be one line, exit 2, and leave nothing behind."""
    before = sorted(path.name for path in root.iterdir())
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert sorted(path.name for path in root.iterdir()) == before
    (line,) = said.err.splitlines()
    return line.replace(f"{root}/", "")


def without(record: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != key}


def in_choice(**change: Any) -> Callable[[dict[str, Any]], object]:
    return lambda scene: scene["questions"][0]["choices"][0].update(change)


def in_question(**change: Any) -> Callable[[dict[str, Any]], object]:
    return lambda scene: scene["questions"][0].update(change)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda s: s.pop("questions"), "questions.json: entry 0: questions: missing. Use CLEVRER"),
        (lambda s: s.update(scene_index="3"), "entry 0: scene_index: input should be a valid int"),
        (
            lambda s: s["questions"].append("?"),
            "questions.json: entry 0: questions[1]: input should be a valid dictionary, found '?'",
        ),
        (
            lambda s: s["questions"].append(QUESTION),
            "scene 3: question 7: question_id: given twice in this scene. Keep one",
        ),
        (
            lambda s: s["questions"][0].pop("question_id"),
            "scene 3: question number 0: question_id: missing. Use CLEVRER's files unchanged.",
        ),
        (in_question(question_type="causal"), "question 7: question_type: input should be 'desc"),
        (in_question(question=None), "question 7: question: input should be a valid string"),
        (in_question(question="What now?"), "question: 'What now?' is not CLEVRER's wording"),
        (in_question(choices=[]), "question 7: choices: list should have at least 1 item"),
        (in_choice(choice=None), "question 7: choices[0].choice: input should be a valid string"),
        (in_choice(choice=""), "question 7: choices.choice: '' names no collision. Expected 'The"),
        (in_choice(choice_id=None), "question 7: choices.choice_id: missing or given twice. Use"),
        (
            lambda s: s["questions"][0]["choices"][0].pop("answer"),
            "choices[0].answer: missing. CLEVRER's test split has no answers; use train or",
        ),
        (
            in_choice(choice="The blue sphere and the pink cube collide"),
            "questions.json: scene 3: question 7: annotations/annotation_00003.json: "
            "object_property: 0 objects of the video are 'the pink cube'",
        ),
    ],
)
def test_a_damaged_question_is_named_by_scene_question_and_field(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    damage: Callable[[dict[str, Any]], object],
    expected: str,
) -> None:
    damaged = scene(3)
    damage(damaged)
    assert expected in refused(tmp_path, write(tmp_path, [damaged], {3: ANNOTATION}), capsys)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "annotation_00003.json: not JSON: EOF while parsing a value at line 1 column 0"),
        ('{\n"scene_index": 3,\n', "annotation_00003.json: not JSON: EOF while parsing"),
        ('{\n"scene_index": 3\n"x": 1}', "not JSON: expected `,` or `}` at line 3 column 1. Down"),
        ([], "annotation_00003.json: record: input should be an object, found []. Use CLEVRER's"),
        (without(ANNOTATION, "collision"), "annotation_00003.json: collision: missing. Use CLEV"),
        (without(ANNOTATION, "scene_index"), "scene_index: None, expected 3 as in the file's"),
        ({**ANNOTATION, "scene_index": 4}, "annotation_00003.json: scene_index: 4, expected 3"),
    ],
)
def test_a_damaged_annotation_is_named_by_file_and_field(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: object, expected: str
) -> None:
    assert expected in refused(tmp_path, write(tmp_path, [scene(3)], {3: content}), capsys)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "questions.json: line 1: expected a list of scenes, found the end of the file"),
        ("\n\n", "questions.json: line 3: expected a list of scenes, found the end of the file"),
        ("<html>", "questions.json: line 1: expected a list of scenes, found '<'. Download"),
        ('{"questions": []}', "line 1: expected a list of scenes, found '{'"),
        ("[\n3]", "questions.json: line 2: expected a scene in braces, found '3'"),
        ("[\n{}\n{}]", "questions.json: entry 0: scene_index: missing"),
        ('[\n{\n"scene_index": 3,,\n}]', "questions.json: line 3: not JSON: Expecting property"),
        ('[\n{\n"scene_index": 3', "questions.json: line 3: not JSON: Expecting ',' delimiter"),
        ("[]", "questions.json: no counterfactual question with a correct option in it"),
    ],
)
def test_a_question_file_that_is_no_list_of_scenes_is_named_by_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, expected: str
) -> None:
    assert expected in refused(tmp_path, write(tmp_path, content, {3: ANNOTATION}), capsys)


@pytest.mark.parametrize(
    ("tail", "expected"),
    [
        ("\n", "line 12: expected a comma or the end of the list, found the end of the file"),
        ("\n,\n]", "line 13: expected a scene in braces, found ']'"),
        ("\n]\n]", "line 13: expected nothing after the list, found ']'"),
        ("\n{}]", "line 12: expected a comma or the end of the list, found '{'"),
    ],
)
def test_what_follows_a_scene_is_named_by_line(tmp_path: Path, tail: str, expected: str) -> None:
    path = tmp_path / "questions.json"
    path.write_text("[\n" + ",\n".join(["{}"] * 10) + tail)
    with pytest.raises(InputError, match=f"questions.json: {expected}"):
        list(stream_list(path))


def test_a_mistake_far_into_a_long_file_has_its_line(tmp_path: Path) -> None:
    path = tmp_path / "questions.json"
    entry = '{"text": "' + "x" * 100_000 + '"},\n'
    path.write_text("[\n" + entry * 30 + '{"text": x}\n]')
    with pytest.raises(InputError, match="line 32: not JSON: Expecting value"):
        list(stream_list(path))


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "questions.json"
    path.write_bytes(b'[\n{"a": "\xff"}]')
    with pytest.raises(InputError, match="after line 1: not UTF-8 text"):
        list(stream_list(path))


def test_scenes_are_the_same_wherever_the_file_is_cut_into_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "questions.json"
    entries = [{"text": 'a "quoted" \\ ]},{', "n": [n, -1.5e3, None]} for n in range(20)]
    path.write_text(json.dumps(entries, indent=1))
    for size in (1, 7, 64):
        monkeypatch.setattr("videothinker.data.clevrer.files.CHUNK", size)
        assert list(stream_list(path)) == entries


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "questions.json"
    path.write_text('[{"a": 1}]', encoding="utf-8-sig")
    assert list(stream_list(path)) == [{"a": 1}]


def test_a_long_question_file_is_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "questions.json"
    filler = {"question_type": "descriptive", "question": "How many?", "program": ["x"] * 4000}
    with path.open("w") as file:
        for index in range(500):
            entry = {**scene(index), "questions": [{**filler, "question_id": 0}, QUESTION]}
            file.write(("," if index else "[") + json.dumps(entry))
        file.write("]")
    assert path.stat().st_size > 9 * CHUNK
    tracemalloc.start()
    scenes = list(read_scenes(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(scenes) == 500
    assert peak < 6 * CHUNK


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        ({"scene_index": 3, "video_filename": "a.mp4"}, "scene 3: scene_index: 3 is entry 0"),
        (
            {"scene_index": 4, "video_filename": "video_00003.mp4"},
            "scene 4: video_filename: video_00003.mp4 is entry 0 already, and now entry 1. Keep",
        ),
    ],
)
def test_a_scene_or_video_given_twice_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], second: dict[str, Any], expected: str
) -> None:
    words = write(tmp_path, [scene(3), {**scene(4), **second}], {3: ANNOTATION})
    assert expected in refused(tmp_path, words, capsys)


@pytest.mark.parametrize(("folder", "what"), [("annotations", "annotation"), ("videos", "video")])
def test_missing_files_are_counted_and_the_first_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], folder: str, what: str
) -> None:
    words = write(tmp_path, [scene(n) for n in range(5)], dict.fromkeys(range(5), ANNOTATION))
    for path in sorted((tmp_path / folder).iterdir())[1:4]:
        path.unlink()
    said = refused(tmp_path, words, capsys)
    assert f"{folder}: 3 of the 5 {what}s that are asked about are missing, the first is" in said
    assert f"{what}_00001." in said
    assert "Unpack the whole split there" in said


def test_a_file_in_two_folders_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = write(tmp_path, [scene(3)], {3: ANNOTATION})
    (tmp_path / "videos" / "again").mkdir()
    (tmp_path / "videos" / "again" / "video_00003.mp4").touch()
    assert "videos: video_00003.mp4 is there twice" in refused(tmp_path, words, capsys)


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("--questions", "none: cannot be read (No such file or directory). Give CLEVRER's file."),
        ("--annotations", "none: no such folder of annotations. Unpack CLEVRER's annotations"),
        ("--videos", "none: no such folder of videos. Unpack CLEVRER's videos there."),
    ],
)
def test_an_absent_file_or_folder_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], argument: str, expected: str
) -> None:
    words = write(tmp_path, [scene(3)], {3: ANNOTATION})
    words[words.index(argument) + 1] = str(tmp_path / "none")
    assert expected in refused(tmp_path, words, capsys)


def test_a_mistake_in_the_last_annotation_leaves_an_earlier_result_alone(tmp_path: Path) -> None:
    write(tmp_path, [scene(3)], {3: ANNOTATION})
    folders = [tmp_path / name for name in ("questions.json", "annotations", "videos", "out")]
    stats = prepare(*folders)
    (tmp_path / "annotations" / "annotation_00003.json").write_text("{")
    with pytest.raises(InputError):
        prepare(*folders, rule="R4")
    assert json.loads((tmp_path / "out" / "stats.json").read_text()) == stats


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('{"a":' * 100_000, "line 1: nested too deeply to be records"),
        ('{"scene_index": ' + "1" * 10_000 + "}", "line 1: not a value that can be read"),
        ('{"scene_index": 3, "questions": ["\\ud83d"]}', "line 1: half a character"),
    ],
    ids=["nested", "a huge number", "half a character"],
)
def test_what_json_allows_and_nobody_means_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], value: str, expected: str
) -> None:
    assert expected in refused(tmp_path, write(tmp_path, f"[{value}]", {3: ANNOTATION}), capsys)


def test_folders_that_lead_back_to_themselves_are_entered_once(tmp_path: Path) -> None:
    words = write(tmp_path, [scene(3)], {3: ANNOTATION})
    for name in ("again", "and_again"):
        (tmp_path / "videos" / name).symlink_to(tmp_path / "videos")
        (tmp_path / "annotations" / name).symlink_to(tmp_path)
    assert main(words) == 0


@pytest.mark.parametrize("spoil", [os.mkfifo, lambda path: os.truncate(path, 2**40)])
def test_an_annotation_that_would_never_end_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: Callable[[Path], None]
) -> None:
    words = write(tmp_path, [scene(3)], {3: ANNOTATION})
    file = tmp_path / "annotations" / "annotation_00003.json"
    if spoil is os.mkfifo:
        file.unlink()
    spoil(file)
    assert "annotation_00003.json: not a file of at most" in refused(tmp_path, words, capsys)


def test_a_pipe_in_the_place_of_a_short_clip_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "v.mp4")
    index, length = next(iter(SHORT_CLIPS.items()))
    assert shown_frames(index, tmp_path / "v.mp4") == length
