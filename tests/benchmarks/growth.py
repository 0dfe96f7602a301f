"""How cost grows with frames, group size and questions: straight lines where they should be.

    python tests/benchmarks/growth.py [--rounds 5] [--picture docs/pictures/growth.svg]

One thread, float32, processor time. The learner's forward and backward pass of one group at the
paper's frame size, as its video gets longer and as its completions get more; and what a stage's
questions cost the driver, in time and memory, as there are more of them. How the driver's cost
grows with the workers is `driver.py`'s. Progress goes to stderr, one line of JSON to stdout.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a bare checkout will do
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from counting import flops, memory
from panels import Panel, in_a_row
from paper_shape import GRID, LENGTHS, WORDS_AFTER, loss_of, made_up_group, paper_like_model

from videothinker.data.questions import read_questions, write_questions
from videothinker.data.stream import QuestionStream
from videothinker.model.policy import Policy
from videothinker.types import Question

FRAMES = (8, 16, 32, 48, 64)
GROUP_SIZES = (4, 8, 12, 16)
QUESTIONS = (1_000, 10_000, 30_000, 100_000)
BATCH, BATCHES = 8, 100
TITLES = {
    "frames": ("frames", "seconds a group"),
    "group_size": ("completions", "seconds a group"),
    "questions": ("questions", "seconds to read"),
}
Points = dict[int, dict[str, float]]


def by_frames(model: Any, rounds: int) -> Points:
    """One group at the paper's frame size."""
    _, height, width = GRID
    work = {frames: one_pass(model, (frames // 2, height, width), LENGTHS) for frames in FRAMES}
    return timed("frames", work, rounds)


def by_group_size(model: Any, rounds: int) -> Points:
    """The paper's prompt with more completions."""
    work = {size: one_pass(model, GRID, (LENGTHS * 2)[:size]) for size in GROUP_SIZES}
    return timed("completions", work, rounds)


def one_pass(
    model: Any, grid: tuple[int, int, int], lengths: tuple[int, ...]
) -> Callable[[], None]:
    """Forward and backward over a group."""
    policy = Policy(model)
    group = made_up_group(model, grid, WORDS_AFTER, lengths)

    def work() -> None:
        loss_of(policy([group], 1.0)[0], lengths).backward()

    return work


def timed(what: str, work: Mapping[int, Callable[[], None]], rounds: int) -> Points:
    """Medians of processor time, all sizes in every round; the arithmetic is counted, too."""
    counted = {size: flops(one) for size, one in work.items()}  # also warms up
    took: dict[int, list[float]] = {size: [] for size in work}
    for number in range(1, rounds + 1):
        for size, one in work.items():
            gc.collect()
            started = time.process_time()
            one()
            took[size].append(time.process_time() - started)
        note(f"{what}, round {number} of {rounds}: {[round(took[size][-1], 2) for size in work]}")
    return {
        size: {
            "seconds": statistics.median(values),
            "least": min(values),
            "most": max(values),
            "gflop": counted[size] / 1e9,
        }
        for size, values in took.items()
    }


def by_questions() -> Points:
    """Each number in a process of its own, because of its memory."""
    found = {}
    for count in QUESTIONS:
        command = [sys.executable, __file__, "--questions", str(count)]
        finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found[count] = json.loads(finished.stdout)
        note(f"{count} questions: {found[count]}")
    return found


def cost_of_questions(count: int) -> dict[str, float]:
    """Reading a stage's file, its first batches, and the memory that stays taken."""
    made = [
        Question(
            id=f"video_{place:06}/q0",
            video=f"video_{place:06}.mp4",
            text="Which event will happen without the red metal cube?",
            options=tuple(
                (letter, f"The {letter} object and the sphere collide") for letter in "ABCD"
            ),
            answer="A,C",
            category="inferential",
        )
        for place in range(count)
    ]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "questions.parquet"
        write_questions(file, made)
        read_questions(file)  # libraries take what they keep
        del made
        gc.collect()
        before, started = memory("VmRSS"), time.process_time()
        stream = QuestionStream(read_questions(file), seed=42)
        read = time.process_time() - started
        started = time.process_time()
        for step in range(BATCHES):
            stream.drawn(step * BATCH, BATCH)
        drawn = time.process_time() - started
    return {
        "seconds": read,
        "milliseconds_a_batch": 1000 * drawn / BATCHES,
        "memory_mib": memory("VmRSS") - before,
    }


def straightness(points: Points) -> dict[str, float]:
    """Of the line through the points: what each more costs, and the share of the costs' spread
    that the line explains."""
    sizes = np.array(list(points), float)
    costs = np.array([one["seconds"] for one in points.values()])
    slope, start = np.polyfit(sizes, costs, 1)
    left = costs - (slope * sizes + start)
    return {"seconds_each": float(slope), "explained": float(1 - left.var() / costs.var())}


def picture(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Three panels, each a line through its points."""
    panels = [
        Panel(
            label=name,
            points=[(size, one["seconds"]) for size, one in found[name]["points"].items()],
            x_label=x_label,
            y_label=y_label,
        )
        for name, (x_label, y_label) in TITLES.items()
    ]
    return in_a_row(panels, "cost by frames, group size and questions")


def note(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description="How cost grows.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--picture", type=Path, help="also draw it here")
    parser.add_argument("--questions", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.questions:
        print(json.dumps(cost_of_questions(given.questions)))
        return
    model = paper_like_model()
    points = {
        "frames": by_frames(model, given.rounds),
        "group_size": by_group_size(model, given.rounds),
        "questions": by_questions(),
    }
    found = {name: {**straightness(some), "points": some} for name, some in points.items()}
    print(json.dumps(found))
    if given.picture:
        given.picture.write_text(picture(found))


if __name__ == "__main__":
    main()
