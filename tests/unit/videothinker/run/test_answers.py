"""What a model answered is on disk as it was said."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from videothinker.errors import InputError
from videothinker.run.answers import Answer, Drawing, read_answers, write_answers


def answer(question: str, drawing: Drawing, text: str) -> Answer:
    return Answer(
        id=question,
        drawing=drawing,
        completion=text,
        token_ids=np.array([5, 7], np.int64),
        logprobs=np.array([-0.25, -1.5], np.float32),
    )


def test_answers_are_read_back_by_the_way_they_were_drawn(tmp_path: Path) -> None:
    write_answers(tmp_path, [answer("a", "sampled", "x"), answer("a", "likeliest", "y")])
    (found,) = read_answers(tmp_path, "likeliest").values()
    assert (found.id, found.completion) == ("a", "y")
    assert found.token_ids.tolist() == [5, 7]
    assert found.logprobs.tolist() == [-0.25, -1.5]


def test_a_model_without_answers_says_what_writes_them(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"validation.parquet.*data.validation names questions"):
        read_answers(tmp_path, "sampled")


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "validation.parquet").write_text("{}")
    with pytest.raises(InputError, match="no file of a model's answers"):
        read_answers(tmp_path, "sampled")


def test_a_file_whose_answers_are_no_text_is_refused(tmp_path: Path) -> None:
    columns = {"id": ["a"], "drawing": ["sampled"], "completion": [["x"]]}
    numbers = {"token_ids": [[1]], "logprobs": [[0.5]]}
    pq.write_table(pa.table({**columns, **numbers}), tmp_path / "validation.parquet")
    with pytest.raises(InputError, match="no file of a model's answers"):
        read_answers(tmp_path, "sampled")
