"""What an arm met in training, read from its rollouts."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from videothinker.study.learning import by_step, learning

SAID = {
    1: "<think>x</think><answer>A,B</answer>",
    0.5: "<think>x</think><answer>A</answer>",
    0: "<think>x</think><answer>C</answer>",
}
"""By how much of the answer is right."""


def write(run: Path, name: str, *groups: tuple[str, list[float]]) -> None:
    (run / "rollouts").mkdir(exist_ok=True)
    rows = [
        {"category": kind, "answer": "A,B", "completions": [SAID[share] for share in right]}
        for kind, right in groups
    ]
    pq.write_table(pa.Table.from_pylist(rows), run / "rollouts" / f"{name}.parquet")


def test_replayed_completions_help_a_group_and_are_no_answer_of_the_policy(tmp_path: Path) -> None:
    write(
        tmp_path,
        "replay-000001",
        ("observational", [1, 1, 1, 1]),
        ("inferential", [0, 0.5, 0, 1]),
        ("inferential", [1, 0, 0, 0]),
    )
    write(tmp_path, "replay-000002", ("observational", [0, 0, 0, 0]))
    write(tmp_path, "replay-000004", ("inferential", [1, 1, 0, 0]))  # the third had no sample
    write(tmp_path, "replay-more-000001", ("inferential", [1, 1, 1, 1]))
    found = learning(tmp_path, "replay", replayed=2)
    assert by_step([found, found]) == {
        "right": [0.25, None, None, 1],
        "answered": [1, None, None, 1],
    }


def test_a_partly_right_answer_is_not_right(tmp_path: Path) -> None:
    write(tmp_path, "grpo-000001", ("inferential", [0.5, 0.5]))
    assert by_step([learning(tmp_path, "grpo", replayed=0)])["answered"] == [0]
