"""The two-stage pipeline on this machine: a world, a base, a bias model, CDPO; GRPO to compare."""

from __future__ import annotations

import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers.utils.logging import disable_progress_bar

from cluster import train
from videothinker.config.loading import load_config
from videothinker.config.settings import RunConfig
from videothinker.data.clevrer.prepare import prepare
from videothinker.errors import InputError
from videothinker.files import whole_folder
from videothinker.mini import SHIPPED_BASE
from videothinker.mini.base.build import build_base
from videothinker.mini.settings import FAMILIES, REPULSION, Split
from videothinker.mini.write import write_world
from videothinker.model.families.known import BY_TYPE, kind_of
from videothinker.progress import ProgressLine, duration
from videothinker.report.outcomes import example
from videothinker.report.results import results_table
from videothinker.run.directory import RunDirectory
from videothinker.run.lock import driving, finished_summary, require_same

CONFIG = Path(__file__).with_suffix(".yaml").resolve()
"""In a checkout configs/quickstart.yaml, to which a link leads; in a wheel a file beside this."""
VIDEOS: dict[Split, int] = {"train": 1000, "validation": 300}
SHARES = {"world": 0.05, "base": 0.35, "train": 0.6}
"""Share of the whole that each part takes where the base model is trained; only the estimate of the
time left depends on it."""


def run(out: Path, seed: int, family: str = FAMILIES[0], retrain: bool = False) -> str:
    """Everything under OUT; returns the closing table and an example of what the models say.
    `retrain`: a base model of its own, which those of families that none comes with have anyway.

    The same call goes on with an interrupted quickstart, and shows the results of a finished one.
    """
    config = quickstart_config(out, seed, family)
    require_family(config.model.path, family)
    summary = finished_summary(out)
    if summary is None:
        with driving(config) as directory:
            summary = pipeline(config, directory, family, retrain or family != FAMILIES[0])
    else:
        require_same(config, out)
        say(f"{out} is finished; remove it or give another --out to run again")
    closing = (results_table(summary["models"]), example(out), str(out / "report.html"))
    return "\n\n".join(filter(None, closing))


def pipeline(
    config: RunConfig, directory: RunDirectory, family: str, retrain: bool
) -> dict[str, Any]:
    """What is not there yet, then the training; returns the run's summary."""
    out, seed = directory.path, config.seed
    clock = PartClock(SHARES if retrain else {**SHARES, "base": 0.0})
    clock.begin("world", "mini CLEVRER: videos, annotations, questions")
    for split, videos in VIDEOS.items():
        make_world(out / "inputs" / split, videos, seed, split)
    how = "warm-started from random weights" if retrain else "as it comes with the package"
    clock.begin("base", f"a tiny {BY_TYPE[family].title}, {how}")
    make_base(config.model.path, seed, directory, family, retrain)
    clock.begin("train", "the bias model, plain GRPO to compare, then CDPO away from the bias")
    return train.run(config, directory)


def quickstart_config(out: Path, seed: int, family: str = FAMILIES[0]) -> RunConfig:
    """The shipped configuration with its paths moved under OUT, and what a family needs beside."""
    inputs = out / "inputs"
    overrides = {
        "out": out,
        "seed": seed,
        "model.path": inputs / "base",
        "data.videos": inputs / "videos",
        "data.validation": inputs / "validation" / "questions.parquet",
        "stages.0.questions": inputs / "train" / "bias.parquet",
        "stages.1.questions": inputs / "train" / "questions.parquet",
        "stages.2.questions": inputs / "train" / "questions.parquet",
    }
    overrides |= {f"stages.2.kl.{key}": what for key, what in REPULSION.get(family, {}).items()}
    return load_config(CONFIG, [f"{key}={value}" for key, value in overrides.items()])


def make_world(folder: Path, videos: int, seed: int, split: Split) -> None:
    """Raw files, then prepared questions; the videos of all splits share one folder."""
    if (folder / "questions.parquet").is_file():
        return
    raw, shared = folder.with_name(f"{folder.name}-raw"), folder.parent / "videos"
    shutil.rmtree(raw, ignore_errors=True)  # of a call that was cut short
    with ProgressLine(f"{folder.name} videos") as progress:
        write_world(raw, videos, seed, progress=progress, split=split)
    with whole_folder(folder, replace=True) as partial:
        prepare(raw / "questions.json", raw / "annotations", raw / "videos", partial)
        shared.mkdir(exist_ok=True)
        for video in (raw / "videos").iterdir():
            video.replace(shared / video.name)


def require_family(base: Path, family: str) -> None:
    """InputError where a base of another family stands."""
    if not base.is_dir():
        return
    found = kind_of(base).model_type
    if found != family:
        raise InputError(
            f"{base}: is a {found}, and --family is {family}; go on with --family {found}, or give"
            " another --out"
        )


def make_base(base: Path, seed: int, directory: RunDirectory, family: str, retrain: bool) -> None:
    """The base model that comes with the package, or one warm-started anew, unless one stands."""
    if base.is_dir():
        return
    if not retrain:
        with whole_folder(base, replace=True) as partial:
            shutil.copytree(SHIPPED_BASE, partial, dirs_exist_ok=True)
        return
    directory.status(state="building the base model")
    disable_progress_bar()  # transformers' own would cut through ours
    with ProgressLine("warm start") as progress:
        build_base(base, seed=seed, family=family, progress=progress)


@dataclass
class PartClock:
    """Says what begins, and from the pace so far how long the rest will take."""

    shares: dict[str, float]
    """Of each part in turn; they need not add up to 1."""
    started: float = 0.0
    done: float = 0.0
    part: str = ""

    def begin(self, part: str, what: str) -> None:
        """The part before this one has ended."""
        self.started = self.started or time.monotonic()
        self.done += self.shares.get(self.part, 0.0) / sum(self.shares.values())
        self.part = part
        number = list(self.shares).index(part) + 1
        left = ""
        if self.done:
            elapsed = time.monotonic() - self.started
            left = f" (about {duration(elapsed * (1 - self.done) / self.done)} left in all)"
        say(f"[{number}/{len(self.shares)}] {what}{left}")


def say(line: str) -> None:
    """Progress goes to stderr; stdout is for the table."""
    sys.stderr.write(line + "\n")
