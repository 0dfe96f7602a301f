"""What every contestant is given: the same model, questions, frames, group size and lengths.

    python tests/benchmarks/contestants/workload.py FOLDER SHAPE

A folder with a base model, mini CLEVRER's videos and questions, `config.yaml` for this system, and
`tasks.json` with the same questions and frames for everybody else.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file

from videothinker.config.settings import VideoConfig
from videothinker.data.clevrer.prepare import prepare
from videothinker.data.questions import read_questions
from videothinker.method.prompts import training_text
from videothinker.mini import SHIPPED_BASE
from videothinker.mini.settings import World
from videothinker.mini.write import write_world
from videothinker.video.frames import FrameBudget, read_clip

VIDEOS = 24
GROUP = 8
COEFFICIENT = 0.01
LEARNING_RATE = 1e-4
SEED = 7
CONSTANT = 4.0
"""In the first place of every embedding; negative in those that end a completion."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """A size of everything, and how long a turn is."""

    frames: int
    pixels: int
    """Of a frame; it is scaled to these."""
    prompts: int
    """In a step."""
    tokens: int
    """Of a completion, at most."""
    steps: int
    """In a turn."""
    trained: bool = False
    """With the warm-started base, whose rewards can be compared; or one with random weights, whose
    completions are all as long as they may be."""


SHAPES = {
    "tiny": Shape(frames=6, pixels=84 * 140, prompts=8, tokens=48, steps=8, trained=True),
    "middle": Shape(frames=6, pixels=210 * 336, prompts=4, tokens=64, steps=6),
    "paper": Shape(frames=10, pixels=294 * 490, prompts=2, tokens=150, steps=6),
}


def make(folder: Path, shape: Shape) -> None:
    """Everything into an empty folder."""
    raw = folder / "raw"
    write_world(raw, VIDEOS, SEED, world=World(frames=max(6, shape.frames)))
    prepare(raw / "questions.json", raw / "annotations", raw / "videos", folder)
    make_model(folder / "model", shape)
    video = VideoConfig(
        fps=2.0,
        min_frames=shape.frames,
        max_frames=shape.frames,
        min_pixels=shape.pixels,
        max_pixels=shape.pixels,
        total_pixels=shape.frames * shape.pixels,
    )
    (folder / "config.yaml").write_text(yaml.safe_dump(config(folder, shape, video)))
    (folder / "tasks.json").write_text(json.dumps(tasks(folder, shape, video)))


def make_model(folder: Path, shape: Shape) -> None:
    """The mini world's Qwen2.5-VL."""
    if shape.trained:
        shutil.copytree(SHIPPED_BASE, folder)
        return
    from videothinker.mini.base.build import random_base  # needs transformers

    random_base(folder, SEED)
    file = folder / "model.safetensors"
    tensors = load_file(file)
    never_ends(tensors, json.loads((folder / "generation_config.json").read_text()))
    save_file(tensors, file, {"format": "pt"})


def never_ends(tensors: dict[str, torch.Tensor], generation: dict[str, Any]) -> None:
    """The head shares the embeddings: what goes in with a constant is never followed by what has
    its opposite."""
    [embeddings] = [value for name, value in tensors.items() if "embed_tokens" in name]
    embeddings[:, 0] = CONSTANT
    embeddings[generation["eos_token_id"], 0] = -CONSTANT


def config(folder: Path, shape: Shape, video: VideoConfig) -> dict[str, Any]:
    """For this system, without what differs between its turns."""
    return {
        "name": "benchmark",
        "out": str(folder / "run"),
        "model": {"path": str(folder / "model"), "dtype": "float32"},
        "data": {"videos": str(folder / "raw" / "videos"), "cache": str(folder / "clips")},
        "video": video.model_dump(),
        "sampling": {"group_size": GROUP, "max_tokens": shape.tokens},
        "learner": {
            "learning_rate": LEARNING_RATE,
            "schedule": "constant",
            "max_grad_norm": 1.0,
            "gradient_checkpointing": False,
            "save_every": 10**6,
        },
        "rollout": {"max_model_len": 1536, "cache_gb": 0.5},
        "cluster": {"device": "cpu"},
        "faults": {"silent_seconds": 1e6},  # whoever waits for its turn is stopped
    }


def tasks(folder: Path, shape: Shape, video: VideoConfig) -> dict[str, Any]:
    """For the others: questions as text, and each video's frames below each other in one picture
    that has the size at which this system's model sees them."""
    (folder / "pictures").mkdir()
    found, budget = [], FrameBudget(**video.model_dump())
    for question in read_questions(folder / "questions.parquet"):
        file = folder / "pictures" / f"{Path(question.video).stem}.png"
        if not file.exists():
            frames = read_clip(folder / "raw" / "videos" / question.video, budget).frames
            below_each_other = frames.transpose(0, 2, 3, 1).reshape(-1, frames.shape[-1], 3)
            Image.fromarray(below_each_other).save(file)
        found.append(
            {
                "text": training_text(question),
                "picture": str(file),
                "answer": question.answer,
            }
        )
    return {
        **asdict(shape),
        "group": GROUP,
        "coefficient": COEFFICIENT,
        "learning_rate": LEARNING_RATE,
        "questions": found,
    }


if __name__ == "__main__":
    make(Path(sys.argv[1]), SHAPES[sys.argv[2]])
