"""Files that are no questions: one line each that says where, what and what to do, exit 2."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from videothinker.cli.main import main

ROW: dict[str, Any] = {
    "question": "Which?",
    "options": ["red", "blue"],
    "answer": "B",
    "video": "a.mp4",
}
LINE = json.dumps(ROW) + "\n"
MEND = "mend them, or leave these rows out and list them in OUT/left_out.jsonl: --leave-out"

Said = Callable[..., list[str]]


@pytest.fixture
def said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Said:
    """What is said, line by line, of a file that cannot be prepared; nothing is left of the try."""
    monkeypatch.chdir(tmp_path)
    Path("clips").mkdir()
    Path("clips/a.mp4").touch()

    def refused(name: str, content: bytes | str | None = None, *more: str) -> list[str]:
        if content is not None:
            Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
        before = sorted(tmp_path.rglob("*"))
        words = ["prepare", "jsonl", name, "--videos", "clips", "--out", "out", *more]
        assert main(words) == 2
        assert sorted(tmp_path.rglob("*")) == before
        found = capsys.readouterr()
        assert found.out == ""
        return found.err.removeprefix("videothinker prepare: ").splitlines()

    return refused


def rows(*changed: dict[str, Any]) -> str:
    return "".join(json.dumps(ROW | one) + "\n" for one in changed)


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("q.jsonl", "", "q.jsonl: holds no question"),
        ("q.jsonl", "\n\n", "q.jsonl: holds no question"),
        ("q.csv", "", "q.csv: holds no question"),
        ("q.json", "[]", "q.json: holds no question"),
        ("q.json", "", "q.json: line 1: not JSON (Expecting value). If every line is a question"),
        ("q.parquet", "", "q.parquet: cannot be read (Parquet file size is 0 bytes). Give a file"),
        ("q.jsonl", LINE.encode("utf-16"), "q.jsonl: utf-16, not UTF-8. Save it as UTF-8."),
        ("q.jsonl", LINE.encode("utf-32-le"), "q.jsonl: utf-32-le, not UTF-8. Save it as UTF-8."),
        ("q.csv", b"question\ncaf\xe9\n", "q.csv: not UTF-8 (invalid continuation byte). Save"),
        ("q.json", b'["caf\xe9"]', "q.json: not UTF-8 (invalid continuation byte). Save it"),
        ("clips", None, "clips: holds no file of questions. Give a file that ends in"),
        ("gone.jsonl", None, "gone.jsonl: no such file or folder. Give a file"),
    ],
)
def test_a_file_without_questions_is_refused_in_one_line(
    said: Said, name: str, content: bytes | str | None, line: str
) -> None:
    [found] = said(name, content)
    assert found.startswith(line)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (LINE + '{"question": "Wh', "line 2: not JSON (Unterminated string starting at); the file"),
        (LINE.encode() + b'{"question": "\xc3', "line 2: not UTF-8 (unexpected end of data); the"),
        (LINE.encode() + b'{"q": "caf\xe9"}\n', "line 2: not UTF-8 (invalid continuation byte); s"),
        (rows({"id": 7}, {"id": 8}, {"id": 7}), "line 3: id: '7' was used before, at q.jsonl: li"),
        (rows({"answer": "C"}), "line 1: answer: 'C' is not among the options A, B"),
        (rows({"answer": []}), "line 1: answer: [] is not a text"),
        (rows({"answer": {"a": 1}}), "line 1: answer: {'a': 1} is not a text"),
        (rows({"kind": "choice", "options": []}), "line 1: options: there are none, and the answ"),
        (rows({"kind": ["text"], "options": []}), "line 1: kind: ['text'] is none of choice, mul"),
        (rows({"video": "x/../../a.mp4"}), "line 1: video: x/../../a.mp4 leads out of clips"),
        (rows({"video": "/etc/hosts"}), "line 1: video: no file /etc/hosts in clips"),
        (rows({"video": "a" * 300}), "line 1: video: no file aaa"),
        ("[1]\n", "line 1: no object with fields"),
        ('{"conversations": ["Hm?"]}\n', "line 1: conversations: 'Hm?' is no turn with `from`"),
        (
            '{"video": "a.mp4", "conversations": [{"from": "human", "value": "Hm?"}]}\n',
            "line 1: conversations: [{'from': 'human', 'value': 'Hm?'}] has no question with an",
        ),
    ],
)
def test_a_row_that_cannot_be_used_is_told_in_one_line_with_field_and_remedy(
    said: Said, content: bytes | str, line: str
) -> None:
    first, found, last = said("q.jsonl", content)
    assert first == "q.jsonl: 1 rows cannot be used:"
    assert found.startswith(f"  - q.jsonl: {line}")
    assert last == MEND


def test_answers_of_other_kinds_than_was_said_are_named_row_by_row(said: Said) -> None:
    mixed = rows({"answer": 4}, {"answer": "a car"}, {"answer": "yes"}, {"answer": "12.5"})
    _, *found, last = said(
        "q.jsonl", mixed.replace('"options": ["red", "blue"], ', ""), "--as", "number"
    )
    assert found == [
        "  - q.jsonl: line 2: answer: 'a car' is not what a number is: a number",
        "  - q.jsonl: line 3: answer: 'yes' is not what a number is: a number",
    ]
    assert last == MEND


def test_a_look_into_a_file_without_questions_is_refused(said: Said) -> None:
    assert said("q.jsonl", "", "--head", "3") == ["q.jsonl: holds no question"]


def test_a_file_is_no_place_to_write_to(said: Said) -> None:
    Path("out").touch()
    assert said("q.jsonl", LINE) == ["--out out: is a file. Name a folder."]


def test_a_result_of_before_outlives_a_file_that_is_refused(
    said: Said, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("good.jsonl").write_text(LINE)
    assert main(["prepare", "jsonl", "good.jsonl", "--videos", "clips", "--out", "out"]) == 0
    before = {file: file.read_bytes() for file in Path("out").iterdir()}
    capsys.readouterr()
    said("q.jsonl", rows({"answer": "C"}))
    assert {file: file.read_bytes() for file in Path("out").iterdir()} == before
