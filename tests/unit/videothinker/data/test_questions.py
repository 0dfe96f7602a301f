"""Questions survive the way to disk and back, and foreign files are refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from videothinker.data.clevrer.evidence import write_evidence
from videothinker.data.clevrer.rules import Evidence, OptionEvidence
from videothinker.data.questions import SCHEMA, read_questions, read_weights, write_questions
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
    Question(
        id="x",
        video="y",
        text="z",
        options=(),
        answer="3",
        start=1.5,
        end=2.0,
        kind="number",
        tolerance=0.5,
    ),
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


def test_a_table_of_the_needed_columns_is_enough(tmp_path: Path) -> None:
    options = [{"letter": "A", "text": "yes"}]
    row = {"id": "x", "video": "v.mp4", "text": "?", "options": options, "answer": "A"}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "q")
    [one] = read_questions(tmp_path / "q")
    assert (one.kind, one.category, one.start, one.tolerance) == ("multi", "", None, None)


def test_the_documented_program_writes_what_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[4] / "docs/own-data.md").read_text()
    monkeypatch.chdir(tmp_path)
    exec(page.partition("```python\n")[2].partition("```")[0], {})
    [one] = read_questions(tmp_path / "questions.parquet")
    assert one.options == (("A", "red"), ("B", "blue"))


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("kind", "riddle", "question x: kind: 'riddle' is not one of choice"),
        ("answer", "D", "question x: answer: 'D' is not among the options A"),
        ("answer", "A", "question y: answer: 'A' is not what a number is"),
    ],
)
def test_a_question_that_cannot_be_asked_is_named(
    tmp_path: Path, column: str, value: str, said: str
) -> None:
    options = [{"letter": "A", "text": "yes"}]
    needed = {"id": "x", "video": "v", "text": "?", "options": options, "answer": "A"}
    first = needed | {"kind": "multi"}
    second = first | {"id": "y", "answer": "3", "kind": "number"}
    rows = [first, second | {column: value}] if "y" in said else [first | {column: value}, second]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "q")
    with pytest.raises(InputError) as refused:
        read_questions(tmp_path / "q")
    assert said in str(refused.value)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([], schema=SCHEMA).drop_columns(["answer"])
    pq.write_table(table, tmp_path / "q.parquet")
    with pytest.raises(InputError, match="column 'answer' is missing"):
        read_questions(tmp_path / "q.parquet")


def test_an_id_given_twice_is_refused_on_writing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"q\.parquet: id: 1 of .* the first is x"):
        write_questions(tmp_path / "q.parquet", [QUESTIONS[1], QUESTIONS[0], QUESTIONS[1]])
    assert not list(tmp_path.iterdir())


def test_an_id_given_twice_is_refused_on_reading(tmp_path: Path) -> None:
    write_questions(tmp_path / "q.parquet", QUESTIONS)
    table = pq.read_table(tmp_path / "q.parquet")
    pq.write_table(pa.concat_tables([table, table]), tmp_path / "q.parquet")
    with pytest.raises(InputError, match=r"id: 2 of .* the first is video_00000/q0"):
        read_questions(tmp_path / "q.parquet")


def test_pandas_and_duckdb_read_questions(tmp_path: Path) -> None:
    path = tmp_path / "q.parquet"
    write_questions(path, QUESTIONS)
    frame = pd.read_parquet(path)
    assert frame["id"].tolist() == ["video_00000/q0", "x"]
    assert frame["options"][0][1] == {"letter": "B", "text": "that"}
    assert pd.isna(frame["start"][0])
    rows = duckdb.sql(f"select answer, options[1].text, \"end\" from '{path}'").fetchall()
    assert rows == [("A,B", "this", None), ("3", None, 2.0)]


def test_pandas_and_duckdb_read_evidence(tmp_path: Path) -> None:
    path = tmp_path / "evidence.parquet"
    options = (
        OptionEvidence(letter="A", text="this", objects=(0, 3), frame=17, correct=True),
        OptionEvidence(letter="B", text="that", objects=(1, 2), frame=None, correct=False),
    )
    evidence = Evidence(
        removed=4, removed_frame=None, shown_frames=128, negated=False, options=options
    )
    labels = dict.fromkeys(("R1", "R2", "R3", "R4"), "observational")
    write_evidence(path, [("x", labels, evidence)])
    frame = pd.read_parquet(path)
    assert frame["R4"].tolist() == ["observational"]
    assert frame["options"][0][0]["objects"].tolist() == [0, 3]
    query = f"""
        select id, option.letter, option.frame
        from (select id, unnest(options) as option from '{path}')
        where option.happened and option.correct
    """
    assert duckdb.sql(query).fetchall() == [("x", "A", 17)]


@pytest.mark.parametrize(
    ("column", "values", "reason"),
    [
        ("id", [None], "id: a question has none"),
        ("video", [None], "video: a question has none"),
        ("options", [7], "its columns are not a question's"),
        ("start", ["soon"], "its columns are not a question's"),
        ("text", [b"\xff"], "its columns are not a question's"),
    ],
)
def test_a_file_somebody_else_wrote_is_refused_in_one_line(
    tmp_path: Path, column: str, values: list[object], reason: str
) -> None:
    write_questions(tmp_path / "q.parquet", [QUESTIONS[0]])
    table = pq.read_table(tmp_path / "q.parquet")
    place = table.column_names.index(column)
    pq.write_table(
        table.set_column(place, column, pa.array(values)).replace_schema_metadata(
            table.schema.metadata
        ),
        tmp_path / "q.parquet",
    )
    with pytest.raises(InputError, match=reason) as refused:
        read_questions(tmp_path / "q.parquet")
    assert len(str(refused.value).splitlines()) == 1


def test_a_file_that_breaks_off_is_refused(tmp_path: Path) -> None:
    write_questions(tmp_path / "q.parquet", QUESTIONS)
    data = (tmp_path / "q.parquet").read_bytes()
    (tmp_path / "q.parquet").write_bytes(data[: len(data) // 2] + b"PAR1")
    with pytest.raises(InputError, match="not a Parquet file"):
        read_questions(tmp_path / "q.parquet")


def weighed(folder: Path, weights: list[Any]) -> Path:
    """A file with a column "hard" beside those of a question."""
    file = folder / "weighed.parquet"
    write_questions(file, [replace(QUESTIONS[0], id=str(n)) for n in range(len(weights))])
    pq.write_table(pq.read_table(file).append_column("hard", pa.array(weights)), file)
    return file


def test_any_column_of_numbers_says_what_questions_weigh(tmp_path: Path) -> None:
    assert read_weights(weighed(tmp_path, [2, 0]), "hard") == {"0": 2.0, "1": 0.0}
    assert read_weights(weighed(tmp_path, [0.5, 1e9]), "hard") == {"0": 0.5, "1": 1e9}
    write_questions(tmp_path / "q.parquet", [replace(QUESTIONS[0], weight=3.5)])
    assert read_weights(tmp_path / "q.parquet", "weight") == {QUESTIONS[0].id: 3.5}
    assert read_questions(tmp_path / "q.parquet")[0].weight == 3.5


@pytest.mark.parametrize(
    ("weights", "column", "said"),
    [
        ([1.0, 2.0], "easy", r"column 'easy' is missing, there are id, video, .*hard\. Name one"),
        ([1.0, -0.5], "hard", r"row 2: column 'hard' is -0\.5, and weights are numbers from 0 on"),
        ([float("nan"), 1.0], "hard", r"row 1: column 'hard' is nan"),
        ([1.0, float("inf")], "hard", r"row 2: column 'hard' is inf"),
        ([1.0, None], "hard", r"row 2: column 'hard' is None"),
        (["1", "2"], "hard", r"column 'hard' holds string, and weights are numbers"),
        ([True, False], "hard", r"column 'hard' holds bool"),
    ],
)
def test_what_is_no_weight_is_named_with_its_row_and_column(
    tmp_path: Path, weights: list[Any], column: str, said: str
) -> None:
    with pytest.raises(InputError, match=rf"weighed\.parquet: {said}") as refused:
        read_weights(weighed(tmp_path, weights), column)
    assert "\n" not in str(refused.value)
