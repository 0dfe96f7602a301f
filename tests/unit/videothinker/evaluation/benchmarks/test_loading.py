"""What every benchmark's file must be, and what is said when it is not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from videothinker.data.questions import write_questions
from videothinker.errors import InputError
from videothinker.evaluation.scores import load
from videothinker.types import Question

Save = Callable[..., Path]


def row(number: int = 1, **changed: Any) -> dict[str, Any]:
    return {
        "problem_id": number,
        "problem": "Which force acts?",
        "options": ["A. drag", "B. lift"],
        "solution": "<answer>B</answer>",
        "video": "/MMVU/videos/Art/0.mp4",
        **changed,
    }


def prepared(name: str, answer: str) -> Question:
    return Question(id=name, video="v", text="?", options=(("A", "a"),), answer=answer)


@pytest.mark.parametrize("field", ["problem", "options", "solution", "video"])
def test_a_missing_field_is_named_with_its_file_and_record(save: Save, field: str) -> None:
    rows = [row(1), row(2), row(3)]
    del rows[2][field]
    with pytest.raises(InputError, match=rf"file\.json: record 3: {field}: .* missing"):
        load("mmvu", save(rows))


@pytest.mark.parametrize("field", ["problem", "options", "video"])
def test_a_field_missing_from_the_first_record_is_no_other_kind_of_file(
    save: Save, field: str
) -> None:
    first = row(1)
    del first[field]
    with pytest.raises(InputError, match=rf"record 1: {field}: .* missing"):
        load("mmvu", save([first, row(2)]))


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"options": ["A. drag", "lift"]}, "options: 'lift' has no letter. Write it as 'B. lift'"),
        ({"options": ["A. drag", "C. lift"]}, "options: 'C. lift' is in the place of B"),
        ({"options": []}, "options: not a list of 1 to 26"),
        ({"options": ["A. drag", 3]}, "options: option B is 3, not a text"),
        ({"options": 7}, "options: not a list"),
        ({"solution": "<answer>C</answer>"}, r"solution: C is not among the options \(A, B\)"),
        ({"solution": "<answer>lift</answer>"}, "solution: '<answer>lift</answer>' is not one let"),
        ({"solution": ""}, "solution: '' is not a text"),
        ({"problem": 5}, "problem: 5 is not a text"),
        ({"problem": " "}, "problem: ' ' is not a text"),
        ({"video": None}, "video: the field is missing"),
    ],
)
def test_a_wrong_field_is_named_with_what_was_found(
    save: Save, changed: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(InputError, match=rf"file\.json: record 2: {complaint}") as caught:
        load("mmvu", save([row(1), row(2, **changed)]))
    assert "\n" not in str(caught.value)


def test_an_id_that_occurs_twice_is_named_with_both_records(save: Save) -> None:
    with pytest.raises(InputError, match=r"record 3: id: '1' was used before, by .*record 1"):
        load("mmvu", save([row(1), row(2), row("1")]))  # type: ignore[arg-type]


def test_json_lines_are_read_like_a_list(tmp_path: Path, save: Save) -> None:
    lines = save(row(1)).read_text() + "\n\n" + save(row(2)).read_text() + "\n"
    (tmp_path / "file.jsonl").write_text(lines)
    assert load("mmvu", tmp_path / "file.jsonl") == load("mmvu", save([row(1), row(2)]))


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("x.json", '[\n{"a": 1},\n{"a" 2}\n]', "line 3 column 6: not JSON"),
        ("x.jsonl", '{"a": 1}\n{"a" 2}\n', "line 2 column 6: not JSON"),
        ("x.json", '{"a": 1}\n{"a": 2}', "line 2 column 1: .* name the file .jsonl"),
        ("x.json", "", "the file is empty"),
        ("x.jsonl", " \n\n", "the file is empty"),
        ("x.json", "[]", "the list of records is empty"),
        ("x.json", '{"rows": []}', "an object where a list of records belongs"),
        ("x.json", "3", "3 where a list of records belongs"),
        ("x.json", '[["a"]]', "record 1: a list where an object belongs"),
        ("x.json", "[" * 100_000, "line 1"),
    ],
)
def test_a_malformed_file_is_named_with_the_place(
    tmp_path: Path, name: str, text: str, complaint: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=rf"{name}: ({complaint})"):
        load("mmvu", tmp_path / name)


def test_a_byte_order_mark_is_no_part_of_the_data(tmp_path: Path, save: Save) -> None:
    path = save([row()])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(load("mmvu", path)) == 1


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b'[{"problem": "caf\xe9"}]')
    with pytest.raises(InputError, match=r"x\.json: byte 17 is not UTF-8"):
        load("mmvu", tmp_path / "x.json")


@pytest.mark.parametrize("name", ["gone.json", "gone.jsonl", "gone.parquet"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=f"{name}: No such file"):
        load("mmvu", tmp_path / name)


def test_a_folder_is_refused_where_a_benchmark_is_one_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a folder; mmvu is one file"):
        load("mmvu", tmp_path)


def test_the_file_of_another_benchmark_is_recognised(save: Save) -> None:
    with pytest.raises(InputError, match="question_type: this field belongs to video-holmes, not"):
        load("mmvu", save([row(question_type="SR")]))


@pytest.mark.parametrize("field", ["text", "problem"])
def test_an_unknown_kind_of_file_is_answered_with_the_known_ones(save: Save, field: str) -> None:
    known = rf"fields {field}, label\. A mmvu file has: .*\(reference\); or .*\(official\)"
    with pytest.raises(InputError, match=known):
        load("mmvu", save([{field: "x", "label": 1}]))


def test_a_file_that_could_be_of_either_kind_is_refused(save: Save) -> None:
    three_of_four = ("problem", "options", "video", "question", "answer", "video_id")
    with pytest.raises(InputError, match="record 1: the kind of file cannot be told"):
        load("tempcompass", save([dict.fromkeys(three_of_four, "x")]))


def test_a_folder_of_clevrer_holds_questions_without_a_correct_option_as_well(
    tmp_path: Path,
) -> None:
    write_questions(tmp_path / "questions.parquet", [prepared("q1", "A")])
    write_questions(tmp_path / "no_answer.parquet", [prepared("q2", "")])
    assert [question.answer for question in load("clevrer", tmp_path)] == ["A", ""]
    assert len(load("clevrer", tmp_path / "questions.parquet")) == 1


def test_an_id_in_both_files_of_clevrer_is_refused(tmp_path: Path) -> None:
    write_questions(tmp_path / "questions.parquet", [prepared("q1", "A")])
    write_questions(tmp_path / "no_answer.parquet", [prepared("q1", "")])
    with pytest.raises(InputError, match="more than once, the first is q1"):
        load("clevrer", tmp_path)


def test_of_a_benchmark_that_the_reference_has_not_only_the_release_is_known(save: Save) -> None:
    reference = {"problem": "?", "options": ["A. x"], "solution": "A", "video": "v.mp4"}
    known = (
        r"cannot be told .* A tomato file has: answer, key, motion_type, options, question \(off"
    )
    with pytest.raises(InputError, match=known):
        load("tomato", save([reference]))
