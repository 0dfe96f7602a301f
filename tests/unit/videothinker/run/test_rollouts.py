"""Reading the groups of a step again."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from videothinker.errors import InputError
from videothinker.run.rollout_files import rollout_steps, rollouts_file
from videothinker.run.rollouts import read_groups

ROWS = [{"category": "observational", "completions": ["A", "B"]}, {"completions": ["C"]}]


def write(run: Path, stage: str, step: int) -> Path:
    file = rollouts_file(run, stage, step)
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(ROWS), file)
    return file


def test_columns_that_a_file_does_not_have_are_not_in_its_groups(tmp_path: Path) -> None:
    write(tmp_path, "cdpo", 3)
    found = read_groups(tmp_path, "cdpo", 3, ("completions", "reward_strict_accuracy"))
    assert found == [{"completions": ["A", "B"]}, {"completions": ["C"]}]


def test_a_group_that_was_left_out_is_read_by_who_asks_for_every(tmp_path: Path) -> None:
    file, outs = write(tmp_path, "cdpo", 1), [True, False]
    rows = [row | {"left_out": out} for row, out in zip(ROWS, outs, strict=True)]
    pq.write_table(pa.Table.from_pylist(rows), file)
    columns = ("completions",)
    assert read_groups(tmp_path, "cdpo", 1, columns) == [{"completions": ["C"]}]
    every = read_groups(tmp_path, "cdpo", 1, columns, every=True)
    assert every == [{"completions": ["A", "B"]}, {"completions": ["C"]}]


def test_a_folders_name_does_not_become_a_column(tmp_path: Path) -> None:
    run = tmp_path / "rate=3"
    write(run, "cdpo", 1)
    assert read_groups(run, "cdpo", 1) == [ROWS[0], {"category": None, **ROWS[1]}]


def test_a_step_without_a_file_has_no_groups(tmp_path: Path) -> None:
    assert read_groups(tmp_path, "cdpo", 1) == []
    assert rollout_steps(tmp_path, "cdpo") == []


@pytest.mark.parametrize("left", [0, 4, -5])
def test_a_file_that_was_cut_off_is_named(tmp_path: Path, left: int) -> None:
    file = write(tmp_path, "cdpo", 1)
    file.write_bytes(file.read_bytes()[:left])
    with pytest.raises(InputError, match=r"cdpo-000001\.parquet: these rollouts cannot be read"):
        read_groups(tmp_path, "cdpo", 1)


def test_a_text_that_is_no_unicode_is_damage_too(tmp_path: Path) -> None:
    file = write(tmp_path, "cdpo", 1)
    broken = pa.array([b"\xff\xfe"]).cast(pa.binary()).view(pa.string())
    pq.write_table(pa.table({"completions": broken}), file)
    with pytest.raises(InputError, match="cannot be read"):
        read_groups(tmp_path, "cdpo", 1)


def test_a_stages_steps_are_its_own_and_in_order(tmp_path: Path) -> None:
    for stage, step in (("bias", 10), ("bias", 2), ("bias-2", 1), ("cdpo", 3)):
        write(tmp_path, stage, step)
    (tmp_path / "rollouts" / "bias-old.parquet").touch()
    assert rollout_steps(tmp_path, "bias") == [2, 10]


def test_a_stages_name_leads_out_of_no_run(tmp_path: Path) -> None:
    write(tmp_path / "run", "cdpo", 1)
    assert read_groups(tmp_path / "run" / "stages", "../../run/rollouts/cdpo", 1) == []
