"""From a video file to a prompt, against decord alone.

    python tests/benchmarks/prompts.py [--rounds 5]

One thread. Each video is new to us, so that nothing comes from a cache: its bytes are hashed, its
packets looked through for damage, its frames decoded, scaled, and cut into patches. Beside it, a
bare decord that decodes the same frames, and transformers' processor on frames that are there
already: what nobody can do without. Progress goes to stderr, one line of JSON to stdout.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a bare checkout will do
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from small_videos import pictures, write

from videothinker import cpu_torch
from videothinker.config.settings import PRESETS
from videothinker.method.prompts import training_text
from videothinker.mini import SHIPPED_BASE
from videothinker.model.processing import PromptBuilder
from videothinker.types import Question
from videothinker.video.frames import Clip, FrameBudget, decode, read_clip

QUESTION = Question(id="made/up", video="", text="What will happen?", options=(), answer="A")
MINI = FrameBudget(
    min_frames=6,
    max_frames=6,
    min_pixels=84 * 140,
    max_pixels=84 * 140,
    total_pixels=6 * 84 * 140,
)
PAPER = FrameBudget(**PRESETS["paper-training"])
VIDEOS: dict[str, tuple[tuple[int, int, int], int, FrameBudget]] = {
    "mini": ((6, 84, 140), 2, MINI),
    "clevrer": ((128, 320, 480), 25, PAPER),
}
"""Frames, height and width of the file, its frames a second, and the budget."""


class One:
    """A source of clips that has the one."""

    def __init__(self, clip: Clip) -> None:
        self._clip = clip

    def get(self, *_: Any) -> Clip:
        """As a clip store does."""
        return self._clip


def measure(name: str, rounds: int, folder: Path) -> dict[str, Any]:
    """Milliseconds a video, medians; a new video in every round."""
    size, fps, budget = VIDEOS[name]
    took: dict[str, list[float]] = {}
    for number in range(rounds + 1):  # the first loads what libraries load
        file = folder / f"{name}{number}.mp4"
        write(file, pictures(*size) ^ np.uint8(number), rate=fps)
        clip = read_clip(file, budget)
        work: dict[str, Callable[[], object]] = {
            "decord": partial(bare_decord, file, clip.metadata["frames_indices"]),
            "clip": partial(read_clip, file, budget),
            "decoded": partial(decode, file, clip.digest, budget, None, None),
            "prompt": builder(file, clip),
        }
        for part, one in work.items():
            started = time.process_time()
            one()
            took.setdefault(part, []).append(1000 * (time.process_time() - started))
        note(f"{name}, {number} of {rounds}: { ({k: round(v[-1], 1) for k, v in took.items()}) }")
    ratios = [ours / bare for ours, bare in zip(took["clip"], took["decord"], strict=True)][1:]
    return {
        "milliseconds": {part: statistics.median(values[1:]) for part, values in took.items()},
        "clip_against_decord": statistics.median(ratios),
        "least_and_most": [min(ratios), max(ratios)],
        "visual_tokens": int(np.prod(clip.frames.shape[2:])) * len(clip.frames) // 2 // 28**2,
    }


def bare_decord(file: Path, indices: list[int]) -> np.ndarray:
    """Decoded and nothing else."""
    import decord

    frames: np.ndarray = decord.VideoReader(str(file), num_threads=1).get_batch(indices).asnumpy()
    return frames


def builder(file: Path, clip: Clip) -> Callable[[], object]:
    """Frames to patches and tokens, by the shipped model's processor."""
    prompts = PromptBuilder(SHIPPED_BASE, file.parent, One(clip))
    text = training_text(QUESTION)
    question = Question(id="made/up", video=file.name, text="", options=(), answer="A")
    return partial(prompts.build, question, text)


def note(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """One line of JSON on stdout."""
    parser = argparse.ArgumentParser(description="From a video file to a prompt.")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    cpu_torch.install()
    with tempfile.TemporaryDirectory(prefix="videothinker-prompts-") as place:
        print(json.dumps({name: measure(name, given.rounds, Path(place)) for name in VIDEOS}))


if __name__ == "__main__":
    main()
