"""Which questions a stage's steps drew, with `sampling.refill` or `draw: {by: difficulty}`: a line
a step.

RUN/stages/NAME/draws.jsonl: the step, the position of its first question in the stage's endless
sequence, how many it drew, the ids that it trained on and those left out, each with the reason;
drawn by difficulty also what share of each question's completions was right, in that order. What
the next steps draw can be read nowhere else, so a line is on the disk before its step is.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from videothinker.errors import InputError
from videothinker.files import cut_torn_line, disk_errors, each_line, keep_lines


def draws_file(stage: Path) -> Path:
    """Of a stage's folder."""
    return stage / "draws.jsonl"


def note_draws(stage: Path, line: dict[str, Any]) -> None:
    """Append a step's."""
    file = draws_file(stage)
    with disk_errors(file), file.open("a") as lines:
        lines.write(json.dumps(line) + "\n")
        lines.flush()
        os.fsync(lines.fileno())


def forget_draws(stage: Path, step: int) -> None:
    """Drop what was drawn after a step; and half a line, which a crash has left."""
    cut_torn_line(draws_file(stage))
    keep_lines(draws_file(stage), lambda line: line["step"] <= step)


def next_position(stage: Path, done: int) -> int:
    """Where the step after those done begins to draw."""
    if done == 0:
        return 0
    for line in each_line(draws_file(stage)):
        if line["step"] == done:
            return int(line["first"]) + int(line["drawn"])
    raise InputError(
        f"{draws_file(stage)}: no line of step {done}, so nobody knows which question comes next."
        " Bring the file back, or start another run: out=DIR"
    )


def answered(stage: Path, least: int) -> list[float | None]:
    """By position, the share of a question's completions that was right, None without a group; of
    at least so many positions.
    """
    shares: list[float | None] = []
    for line in each_line(draws_file(stage)):
        if line["first"] == len(shares):
            shares += line.get("right", ())
    if len(shares) < least:
        raise InputError(
            f"{draws_file(stage)}: {least} questions were asked, and the answers to the first"
            f" {len(shares)} are known, so nobody knows which question comes next. Bring the file"
            " back, or start another run: out=DIR"
        )
    return shares
