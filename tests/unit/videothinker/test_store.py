"""Questions survive the way to disk and back, and foreign files are refused."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from videothinker.data.store import SCHEMA, read_questions, write_questions
from videothinker.errors import InputError
from videothinker.types import Question

QUESTIONS = [
    Question(
        id="video_00000/q0",
        video="a/video_00000.mp4",
        text="What?",
        options=(("A", "this"), ("B", "that")),
        answer="A,B",
        category="inferential",
    ),
    Question(id="x", video="y", text="z", options=(), answer="C", start=1.5, end=2.0),
]


def test_questions_are_read_back_equal_and_in_order(tmp_path: Path) -> None:
    write_questions(tmp_path / "q.parquet", QUESTIONS)
    assert read_questions(tmp_path / "q.parquet") == QUESTIONS


def test_an_empty_file_of_questions_is_readable(tmp_path: Path) -> None:
    write_questions(tmp_path / "q.parquet", [])
    assert read_questions(tmp_path / "q.parquet") == []


def test_a_missing_file_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such file.*videothinker prepare"):
        read_questions(tmp_path / "q.parquet")


def test_a_file_that_is_not_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "q.parquet").write_text("[]")
    with pytest.raises(InputError, match="not a Parquet file"):
        read_questions(tmp_path / "q.parquet")


def test_a_file_of_another_schema_version_is_refused(tmp_path: Path) -> None:
    table = pa.table({"id": ["x"]}).replace_schema_metadata({"videothinker.schema": "0"})
    pq.write_table(table, tmp_path / "q.parquet")
    with pytest.raises(InputError, match="schema version 0"):
        read_questions(tmp_path / "q.parquet")


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([], schema=SCHEMA).drop_columns(["answer"])
    pq.write_table(table, tmp_path / "q.parquet")
    with pytest.raises(InputError, match="column 'answer' is missing"):
        read_questions(tmp_path / "q.parquet")
