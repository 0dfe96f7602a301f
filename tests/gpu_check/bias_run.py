"""A bias model, then a few steps away from it, through the whole system: two parts read this run.

On a GPU the model has the 3B's width, and its prompts, groups and rows are the paper's.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mini_worlds import MINI_VIDEO
from traced import random_model

from gpu_check.system import Line, steps, train
from videothinker.config.settings import DType, VideoConfig
from videothinker.data.clevrer.prepare import prepare
from videothinker.mini import SHIPPED_BASE
from videothinker.mini.settings import World
from videothinker.mini.write import write_world
from videothinker.model.families.known import KNOWN
from videothinker.model.families.qwen2_5_vl import Qwen25Shape
from videothinker.model.shape import ModelShape

STAGE, STEPS = "cdpo", 4
VIDEOS = 8


@dataclass(frozen=True, kw_only=True)
class Size:
    """Of the model and of its work."""

    shape: ModelShape
    dtype: DType
    video: VideoConfig
    frames: int
    group: int
    tokens: int
    """Of a completion, at most; a random model's mostly have all of them."""
    longest: int
    cache_gb: float


SIZES = {
    # a quarter of the 3B's depth: its optimizer fits on the card, and it is soon written and loaded
    "cuda": Size(
        shape=replace(KNOWN["Qwen2.5-VL-3B-Instruct"], layers=9, vision_layers=8),
        dtype="bfloat16",
        video=VideoConfig(
            min_frames=16, max_frames=16, min_pixels=128 * 28 * 28, max_pixels=128 * 28 * 28
        ),
        frames=16,
        group=8,
        tokens=350,
        longest=4864,
        cache_gb=4.0,
    ),
    "cpu": Size(
        shape=Qwen25Shape(
            hidden=128,
            layers=2,
            heads=4,
            kv_heads=2,
            head_dim=32,
            intermediate=256,
            vocabulary=1024,
            tied=True,
            vision_hidden=512,
            vision_layers=1,
            vision_intermediate=256,
        ),
        dtype="float32",
        video=MINI_VIDEO,
        frames=6,
        group=4,
        tokens=16,
        longest=512,
        cache_gb=0.1,
    ),
}


def write_model(out: Path, shape: ModelShape) -> None:
    """Random weights, and the mini world's words."""
    from transformers import GenerationConfig

    known = json.loads((SHIPPED_BASE / "config.json").read_text())
    tokens = {name: number for name, number in known.items() if name.endswith("_token_id")}
    model = random_model(shape, **tokens)
    model.generation_config = GenerationConfig.from_pretrained(SHIPPED_BASE)
    shutil.copytree(SHIPPED_BASE, out, ignore=shutil.ignore_patterns("model.*", "videothinker.*"))
    model.save_pretrained(out)


def settings(folder: Path, device: str) -> dict[str, Any]:
    """The paper's two stages, a few steps of them."""
    size = SIZES[device]
    stage = {"prompts_per_step": 2, "questions": str(folder / "questions.parquet")}
    bias = {
        "questions": str(folder / "bias_without_clause.parquet"),
        "kl": {"direction": "none"},
        "steps": 1,
    }
    away = {"direction": "repel", "anchor": "bias", "coefficient": 0.01}
    return {
        "name": "bias-run",
        "out": str(folder / "run"),
        "model": {"path": str(folder / "model"), "dtype": size.dtype},
        "data": {"videos": str(folder / "raw" / "videos"), "cache": str(folder / "clips")},
        "video": size.video.model_dump(),
        "sampling": {"group_size": size.group, "max_tokens": size.tokens},
        "learner": {"zero_stage": 2},
        "rollout": {"max_model_len": size.longest, "cache_gb": size.cache_gb},
        "cluster": {"device": device},
        "faults": {"heartbeat_seconds": 0.5},
        "stages": [
            stage | {"name": "bias"} | bias,
            stage | {"name": STAGE, "steps": STEPS, "kl": away},
        ],
    }


def bias_run(folder: Path, device: str) -> list[Line]:
    """Make the run; its steps."""
    size, place = SIZES[device], place_in(folder)
    write_world(place / "raw", VIDEOS, 7, world=World(frames=size.frames))
    raw = place / "raw"
    prepare(raw / "questions.json", raw / "annotations", raw / "videos", place)
    write_model(place / "model", size.shape)
    return train(settings(place, device), place / "config.yaml")


def place_in(folder: Path) -> Path:
    """Where the run is among what parts leave."""
    place = folder / "bias-run"
    place.mkdir(exist_ok=True)
    return place


def lines_of(folder: Path) -> list[Line]:
    """The steps of a run that a part before made, as far as it came."""
    run = place_in(folder) / "run"
    return steps(run) if (run / "metrics.jsonl").is_file() else []
