"""The 3B model's full size through the real system on CPUs: what each role holds beside the plan.

make fullsize

Weights are random, the tokenizer is Qwen's and the clip a real one. The whole model answers a
question. A training step of all roles, everything but the merger frozen, takes a few of the layers:
in float32, three roles and what is published of more do not fit 24 GiB of memory; in bfloat16 half
of them do, but a processor without instructions for that type multiplies 1.4 GFLOP in a second
(gpu_check/environment.py), and their steps take an hour.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import yaml
from documented import real_clips
from full_model import BUDGET, write_full_model

from cluster.verbs.answering import cache_gb
from videothinker.config.loading import load_config
from videothinker.config.settings import DType
from videothinker.model.families.known import shape_of
from videothinker.planning.memory import (
    anchor_parts,
    engine_parts,
    learner_parts,
    process_gb,
    total,
)

COMMAND = [sys.executable, "-m", "videothinker"]
ROLES = {"learner": "LearnerRank", "rollout": "RolloutWorker", "anchor": "AnchorScorer"}
STEP_LAYERS = {"bfloat16": (2, 2), "float32": (2, 2)}
"""Of the language model and the vision tower, of 36 and 32."""


def held(process: psutil.Process) -> float:
    """GB of a process's own memory, its libraries, and the files of weights that it reads; what it
    sees of the object store is not its own."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    sizes = dict(line.split(":", 1) for line in status.splitlines())
    return sum(int(sizes[kind].split()[0]) for kind in ("RssAnon", "RssFile")) * 1024 / 1e9


def role_of(process: psutil.Process) -> str | None:
    """Which role's worker it is, by the name that Ray gives it."""
    name = " ".join(process.cmdline())
    return next((role for role, worker in ROLES.items() if name.startswith(f"ray::{worker}")), None)


@contextmanager
def watched() -> Iterator[dict[str, float]]:
    """The most that each role's process held while the block ran."""
    most: dict[str, float] = defaultdict(float)
    over = threading.Event()

    def look() -> None:
        processes: set[psutil.Process] = set()
        for glance in itertools.count():
            if over.wait(0.1):
                return
            if glance % 20 == 0:
                processes = set(psutil.Process().children(recursive=True))
            for process in list(processes):
                try:
                    role = role_of(process)
                    if role is None:
                        processes.discard(process)
                    else:
                        most[role] = max(most[role], held(process))
                except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError, KeyError):
                    processes.discard(process)  # it ended meanwhile

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield most
    finally:
        over.set()
        thread.join()


def run(*words: str | Path) -> tuple[float, dict[str, float], str]:
    """One command of ours: its seconds, what its roles held, what it printed."""
    started = time.monotonic()
    with watched() as most:
        done = subprocess.run(
            [*COMMAND, *map(str, words)], check=True, stdout=subprocess.PIPE, text=True
        )
    return time.monotonic() - started, dict(most), done.stdout


def whole_model(folder: Path) -> Path:
    """The full 3B."""
    model = folder / "whole"
    if not model.is_dir():
        write_full_model(model)
    return model


def asked(folder: Path) -> dict[str, Any]:
    """A question about a real clip, to the whole model."""
    clip = real_clips()[0]
    options = ("--option", "They stop", "--option", "They ride on")
    model = whole_model(folder)
    seconds, most, said = run(
        "ask", "--model", model, "--video", str(clip), "What do they do?", *options, "--json"
    )
    shape = shape_of(model)
    overrides = ["cluster.device=cpu", f"rollout.max_model_len={BUDGET.max_model_len}"]
    overrides += ["sampling.max_tokens=16", f"rollout.cache_gb={cache_gb(shape, BUDGET, 1)}"]
    config = load_config(Path("configs/cdpo_2xa6000.yaml"), overrides)
    planned = total(engine_parts(config, shape)) + process_gb("rollout", "cpu")
    return {
        "seconds": seconds,
        "held_gb": most,
        "planned_gb": {"rollout": planned},
        "answer": json.loads(said)["answer"],
    }


def trained(folder: Path, dtype: DType) -> dict[str, Any]:
    """Two steps of all roles, and what the plan says of each."""
    layers, blocks = STEP_LAYERS[dtype]
    model, out = folder / f"{layers}-layers-{dtype}", folder / f"run-{dtype}"
    if not model.is_dir():
        write_full_model(model, layers=layers, blocks=blocks, dtype=dtype)
    config_file = folder / f"{dtype}.yaml"
    config_file.write_text(yaml.safe_dump(settings(folder, model, out, dtype)))
    config = load_config(config_file, [])
    seconds, most, _ = run("train", config_file)
    shape = shape_of(model)
    planned = {
        "learner": total(learner_parts(config, shape)) + process_gb("learner", "cpu"),
        "rollout": total(engine_parts(config, shape)) + process_gb("rollout", "cpu"),
        "anchor": total(anchor_parts(config, shape)) + process_gb("anchor", "cpu"),
    }
    *_, line = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return {
        "layers": [layers, blocks],
        "seconds": seconds,
        "held_gb": most,
        "planned_gb": planned,
        "logprob_gap": line["logprob_gap"],
        "logprob_gap_max": line["logprob_gap_max"],
    }


def settings(folder: Path, model: Path, out: Path, dtype: str) -> dict[str, Any]:
    """Of two steps on a small group: only in the second are Adam's moments there from the start."""
    return {
        "name": f"full-{dtype}",
        "out": str(out),
        "model": {"path": str(model), "dtype": dtype},
        "data": {"videos": str(folder / "world" / "videos")},
        "video": BUDGET.video.model_dump(),
        "sampling": {"group_size": 4, "max_tokens": 8},
        "rewards": ["soft_accuracy", "format"],
        "learner": {
            "zero_stage": 2,
            "gradient_checkpointing": True,
            "freeze": ["vision", "embeddings", "layers"],
        },
        "rollout": {"max_model_len": 512, "cache_gb": 0.1},
        "cluster": {"device": "cpu"},
        "stages": [
            {
                "name": "only",
                "questions": str(folder / "prepared" / "questions.parquet"),
                "steps": 2,
                "prompts_per_step": 1,
                "kl": {"direction": "repel", "anchor": "base", "coefficient": 0.01},
            }
        ],
    }


def prepare(folder: Path) -> None:
    """A few questions about a few videos."""
    world, prepared = folder / "world", folder / "prepared"
    if not prepared.is_dir():
        run("mini", world, "--videos", "4", "--seed", "1")
        run(
            *("prepare", "clevrer", "--questions", world / "questions.json"),
            *("--annotations", world / "annotations", "--videos", world / "videos"),
            *("--out", prepared),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    prepare(folder)
    found: dict[str, Any] = {}
    for name, work in (
        ("ask", lambda: asked(folder)),
        ("bfloat16", lambda: trained(folder, "bfloat16")),
        ("float32", lambda: trained(folder, "float32")),
    ):
        found[name] = work()
        (folder / "fullsize.json").write_text(json.dumps(found, indent=1))
        print(name, json.dumps(found[name], indent=1), flush=True)


if __name__ == "__main__":
    main()
