"""Where the groups of a step lie: in a file of its own, or with those of a thousand steps.

RUN/rollouts/STAGE-001234.parquet           of one step, which has six digits
RUN/rollouts/STAGE-000001_001000.parquet    the rows of so many, compressed better

The newest thousand and more are files of their own, since a stage goes back to its states; a stage
that goes back further takes the later rows out of the file in which it then is.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from videothinker.errors import InputError
from videothinker.files import whole_file

logger = logging.getLogger(__name__)

ROLLOUTS = "rollouts"
TOGETHER = 1_000
AT_ONCE = 100
"""Steps whose rows are held, and later read, together."""
STEP = 1
"""Place of the column that says which step a row is of."""
TEXT_COLUMNS = (
    *("stage", "prompt_id", "video", "text", "answer", "category", "kind", "wording", "worker"),
    *("options.list.element.letter", "options.list.element.text"),
    *("completions.list.element", "finish_reasons.list.element"),
)
"""As Parquet names them. Only these repeat themselves enough for a dictionary: one of numbers that
are nearly all different takes as long as all the rest of the writing, and makes the file larger."""


def rollouts_file(run: Path, stage: str, step: int) -> Path:
    """The file of a step's own; within the run, whatever a stage is called."""
    return run / ROLLOUTS / f"{Path(stage).name}-{step:06d}.parquet"


def holding_file(run: Path, stage: str, step: int) -> Path:
    """The file that has a step's rows, if any has: its own counts where it is there."""
    own = rollouts_file(run, stage, step)
    return own if own.is_file() else _packed_file(run, stage, _first(step))


def rollout_steps(run: Path, stage: str) -> list[int]:
    """The steps of a stage whose groups are kept, in order, but for those in a damaged file."""
    steps = set(_own(run, stage))
    for file in _packed(run, stage).values():
        with suppress(OSError, ValueError, pa.ArrowException):
            steps |= {*pq.ParquetFile(file).read(["step"])["step"].to_pylist()}
    return sorted(steps)


def rollout_table(
    run: Path, stage: str, step: int, columns: Sequence[str] | None = None
) -> pa.Table | None:
    """A step's rows, with those of the columns that there are; None where nothing is kept of it."""
    file, own = holding_file(run, stage, step), rollouts_file(run, stage, step)
    if not file.is_file():
        return None
    parquet = pq.ParquetFile(file)
    if file == own:
        return parquet.read(columns)
    bounds = [
        parquet.metadata.row_group(place).column(STEP).statistics
        for place in range(parquet.num_row_groups)
    ]
    inside = [place for place, one in enumerate(bounds) if one.min <= step <= one.max]
    rows = parquet.read_row_groups(inside, columns and ["step", *columns])
    rows = rows.filter(pc.field("step") == step)
    return rows if columns is None or "step" in columns else rows.drop_columns(["step"])


def pack_rollouts(run: Path, stage: str, step: int) -> None:
    """After the last step of a thousand: those of the thousands before it become one file each."""
    if step % TOGETHER:
        return
    old = {of: file for of, file in _own(run, stage).items() if of <= step - TOGETHER}
    for first in sorted(set(map(_first, old))):
        own = {of: old[of] for of in sorted(old) if _first(of) == first}
        try:
            _pack(_packed_file(run, stage, first), own)
        except (ValueError, pa.ArrowException) as error:  # a damaged file stays what it is
            reason = str(error).partition("\n")[0]
            logger.warning("rollouts of stage %s, steps from %d: %s", stage, first, reason)


def forget_rollouts(run: Path, stage: str, step: int) -> None:
    """Drop what is kept of a stage's later steps."""
    for of, file in _own(run, stage).items():
        if of > step:
            file.unlink()
    for first, file in _packed(run, stage).items():
        if first > step:
            file.unlink()
        elif first + TOGETHER - 1 > step:
            try:
                table = pq.ParquetFile(file).read()
            except (ValueError, pa.ArrowException) as error:
                reason = str(error).partition("\n")[0]
                raise InputError(
                    f"{file}: these rollouts cannot be read ({reason}), and the stage goes back to"
                    f" step {step} of them. Move the file away, to go on without"
                ) from error
            _write(file, table.schema, [table.filter(pc.field("step") <= step)])


def _pack(target: Path, own: Mapping[int, Path]) -> None:
    """What a step's own file says counts, where both have it: a crash left both, or a stage that
    went back has come here again."""
    tables, schemas = list[pa.Table](), [pq.read_schema(file) for file in own.values()]
    if target.is_file():
        before = pq.ParquetFile(target).read()
        tables.append(before.filter(~pc.field("step").isin(list(own))))
        schemas.append(before.schema)
    schema = pa.unify_schemas(schemas, promote_options="default")
    files = list(own.values())
    few = (files[at : at + AT_ONCE] for at in range(0, len(files), AT_ONCE))
    read = (_together([pq.ParquetFile(file).read() for file in some]) for some in few)
    _write(target, schema, (*tables, *read) if tables else read)
    for file in files:
        file.unlink()


def _together(tables: Sequence[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables, promote_options="default")


def _write(target: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    with (
        whole_file(target) as partial,
        pq.ParquetWriter(
            partial, schema, compression="zstd", use_dictionary=list(TEXT_COLUMNS)
        ) as writer,
    ):
        for table in tables:
            writer.write_table(_together([schema.empty_table(), table]))


def _first(step: int) -> int:
    """Of the thousand that a step is in."""
    return (step - 1) // TOGETHER * TOGETHER + 1


def _packed_file(run: Path, stage: str, first: int) -> Path:
    name = f"{Path(stage).name}-{first:06d}_{first + TOGETHER - 1:06d}.parquet"
    return run / ROLLOUTS / name


def _own(run: Path, stage: str) -> dict[int, Path]:
    return _by_step(run, stage, r"(\d+)")


def _packed(run: Path, stage: str) -> dict[int, Path]:
    """By their first steps."""
    return _by_step(run, stage, r"(\d+)_\d+")


def _by_step(run: Path, stage: str, pattern: str) -> dict[int, Path]:
    name = re.compile(rf"{re.escape(Path(stage).name)}-{pattern}\.parquet")
    files = [(name.fullmatch(file.name), file) for file in (run / ROLLOUTS).glob("*.parquet")]
    return {int(match[1]): file for match, file in files if match}
