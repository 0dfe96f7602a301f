from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from same_training import asked_order, largest_difference, missing

from videothinker.data.questions import read_questions
from videothinker.data.stream import QuestionStream


def test_a_lost_and_a_repeated_prompt_are_counted() -> None:
    asked = [["a", "b"], ["c", "a"]]
    assert missing(asked, [["b", "a"], ["a", "c"]]) == 0
    assert missing(asked, [["a", "b"], ["c"]]) == 1
    assert missing([["a", "b"], ["c", "a", "a"]], asked) == 1


def test_a_prompt_trained_in_the_wrong_step_is_lost_there_and_repeated_here() -> None:
    asked, trained = [["a", "b"], ["c", "d"]], [["a", "c"], ["b", "d"]]
    assert missing(asked, trained) == missing(trained, asked) == 2


def test_the_order_asked_is_the_one_the_stream_gives(mini_world: Path) -> None:
    questions = mini_world / "questions.parquet"
    stream = QuestionStream(read_questions(questions), seed=5)
    given = [[question.id for question in stream.drawn(7 * step, 7)] for step in range(19)]
    assert asked_order(questions, 5, 19, 7) == given


def test_weights_that_differ_in_one_bit_are_different(tmp_path: Path) -> None:
    weights = np.ones(3, np.float32)
    nearly = weights.copy()
    nearly[1] = np.nextafter(nearly[1], 2)
    for name, values in (("one", weights), ("same", weights), ("other", nearly)):
        (tmp_path / name).mkdir()
        save_file({"w": values}, tmp_path / name / "model.safetensors")
    assert largest_difference(tmp_path / "one", tmp_path / "same") == 0
    assert largest_difference(tmp_path / "one", tmp_path / "other") > 0
