"""`videothinker init`: what a training on one's own videos needs, written so that it can be read.

Paths in what is written count, as all of a configuration's do, from where commands are typed.
"""

from __future__ import annotations

import json
import shlex
from argparse import Namespace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from videothinker.cli.verb import Outcome, argument, verb
from videothinker.errors import InputError
from videothinker.files import disk_errors, partial_folder, replace_files, write_json
from videothinker.model.families.known import PAPERS
from videothinker.video.files import SUFFIXES

CONFIG, REWARDS, QUESTIONS, PREPARED = "train.yaml", "rewards.py", "questions.jsonl", "prepared"
OBSERVED, INFERRED = {"category": "observational"}, {"category": "inferential"}
ASKED: tuple[dict[str, Any], ...] = (
    {
        "question": "Which colour covers most of the picture?",
        "options": ["red", "green", "blue"],
        "answer": "B",
        **OBSERVED,
    },
    {
        "question": "Which of these can be seen?",
        "options": ["a person", "a car", "a tree", "an animal"],
        "answer": "A,C",
        **OBSERVED,
    },
    {"question": "How many people are there?", "answer": 2, **OBSERVED},
    {"question": "Is it filmed outdoors?", "answer": "yes", **OBSERVED},
    {"question": "What is in the foreground?", "answer": "a wooden table", **OBSERVED},
    {
        "question": "What will happen next?",
        "options": ["it goes on", "it stops", "it turns back"],
        "answer": "A",
        **INFERRED,
    },
    {
        "question": "What would be different if nobody were there?",
        "options": ["nothing would move", "it would be darker", "nothing"],
        "answer": "A",
        **INFERRED,
    },
    {
        "question": "Could the first thing have happened without the last?",
        "answer": "no",
        **INFERRED,
    },
    {"question": "Why does it begin as it does?", "answer": "somebody arrives", **INFERRED},
    {
        "question": "About how many seconds more will it last?",
        "answer": 5,
        "tolerance": 2,
        **INFERRED,
    },
)
"""Made up: they show what a line may hold, and no model learns from them."""
YAML = """\
# The paper's two stages on questions of your own. Written by `videothinker init`, to be changed.
#
#   videothinker prepare jsonl {folder}/{questions} --videos {videos} --out {folder}/{prepared}
#   videothinker train {folder}/{config} --dry-run     # checks everything, starts nothing
#   videothinker train {folder}/{config}
#
# Relative paths count from where you type these. Values are the paper's, each explained in
# configs/paper.yaml; `videothinker plan {folder}/{config} --gpus N --gpu-memory GB` says what fits.
name: {name}
out: {out}
seed: 42

model:
  path: models/{model}   # a folder; --dry-run says how to bring it
  dtype: bfloat16

data:
  videos: {videos_quoted}
  # questions that are not trained on, prepared like the others; their accuracy is in the report
  # validation: {folder}/validation/questions.parquet
  # validation_questions: 200
  # where nobody has labelled the questions, the model does, before stage 1: docs/shortcuts.md
  # category: probe

video:                              # how much of a video the model sees
  fps: 2.0
  min_frames: 4
  max_frames: 16
  min_pixels: 12544
  max_pixels: 100352                # of a frame
  total_pixels: 1605632             # of all frames of a video

sampling:
  group_size: 8                     # answers to each question, compared with each other
  temperature: 1.0
  max_tokens: 768                   # of an answer with its thinking

rewards:
  - accuracy                        # each kind of answer in its own way
  - format                          # <think></think><answer></answer>
  - {{call: {call_quoted}, weight: 0.5}}   # a function of yours, at half weight

learner:
  learning_rate: 1e-6
  schedule: linear
  max_grad_norm: 20.0
  ranks: 2                          # GPUs that learn
  zero_stage: 3
  offload: true
  gradient_checkpointing: true
  save_every: 50

rollout:
  workers: 2                        # engines that answer, one beside each learner rank
  max_model_len: 4864
  cache_gb: 4.0

cluster:
  device: cuda

stages:
  # 1: a model that is biased on purpose, trained on questions that the video answers at a glance:
  # those of the 2000 whose category is "observational"
  - name: bias
    questions: {all_quoted}
    limit: 2000
    category: observational
    steps: 500
    prompts_per_step: 2
    kl: {{direction: none}}

  # 2: the model to keep, trained on all questions and pushed away from the first
  - name: cdpo
    questions: {all_quoted}
    limit: 2000
    steps: 500
    prompts_per_step: 2
    kl: {{direction: repel, anchor: bias, coefficient: 0.01, estimator: k3, bound: 11.0}}
"""
FUNCTION = '''\
"""Rewards of your own: functions that say what an answer is worth."""


def brief(completion: str, question: object) -> float:
    """1 for up to 100 words, thinking included, 0 from 400 words on, in between by their number.

    `completion` is all that the model wrote; `question` has `text`, `options`, `answer` and so on.
    """
    words = len(completion.split())
    return min(1.0, max(0.0, (400 - words) / 300))
'''


@verb(
    "videothinker init mine --videos clips",
    argument("folder", type=Path, metavar="DIR", help="where to write; it may hold your videos"),
    argument("--videos", type=Path, metavar="DIR", help="your videos, if they are not in DIR"),
)
def init(arguments: Namespace) -> Outcome:
    """Write a commented configuration, a reward and ten example questions, ready for --dry-run."""
    folder, videos = arguments.folder, arguments.videos or arguments.folder
    _refuse_taken(folder)
    found = _videos_in(videos)
    if arguments.videos and not found:
        known = ", ".join(SUFFIXES)
        raise InputError(f"--videos {videos}: no such folder, or no video in it ({known})")
    with disk_errors(folder), partial_folder(folder) as partial:
        (partial / CONFIG).write_text(_config(folder, videos))
        (partial / REWARDS).write_text(FUNCTION)
        (partial / QUESTIONS).write_text(_lines(found))
        if found:
            _prepare(partial, folder, videos)
        replace_files(partial, folder, last=CONFIG)
    return _told(folder, videos, found)


def _refuse_taken(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file. Name a folder.")
    taken = [name for name in (CONFIG, REWARDS, QUESTIONS, PREPARED) if (folder / name).exists()]
    if taken:
        raise InputError(
            f"{folder}: has {', '.join(taken)} already, and nothing is overwritten. Name another"
            " folder, with --videos for your videos, or move these away."
        )


def _videos_in(folder: Path) -> list[str]:
    """Ten of a folder's videos at most, by their paths below it."""
    found = (file for file in folder.rglob("*") if file.suffix in SUFFIXES and file.is_file())
    return sorted(file.relative_to(folder).as_posix() for file in found)[: len(ASKED)]


def _config(folder: Path, videos: Path) -> str:
    prepared = folder / PREPARED
    return YAML.format(
        model=PAPERS,
        name=json.dumps(folder.resolve().name),
        out=json.dumps(f"runs/{folder.resolve().name}"),
        folder=folder,
        videos=videos,
        videos_quoted=json.dumps(str(videos)),
        all_quoted=json.dumps(str(prepared / "questions.parquet")),
        config=CONFIG,
        call_quoted=json.dumps(f"{folder / REWARDS}:brief"),
        questions=QUESTIONS,
        prepared=PREPARED,
    )


def _lines(videos: list[str]) -> str:
    """The questions, about the videos in turn; about names to replace where there are none."""
    names = cycle(videos or [f"replace_{number}.mp4" for number in range(1, len(ASKED) + 1)])
    pairs = islice(zip(ASKED, names, strict=False), len(ASKED))
    rows = ({"id": str(n), "video": name, **row} for n, (row, name) in enumerate(pairs, start=1))
    return "".join(json.dumps(row) + "\n" for row in rows)


def _prepare(partial: Path, folder: Path, videos: Path) -> None:
    """As `prepare jsonl` does when everything stands in its place."""
    from videothinker.data.own import prepare as own

    stats = own.prepare(own.reading(partial / QUESTIONS, videos, {}), partial / PREPARED)
    written = partial / PREPARED / "stats.json"
    write_json(written, stats | {"source": str(folder / QUESTIONS)})


def _told(folder: Path, videos: Path, found: list[str]) -> Outcome:
    train = shlex.join(["videothinker", "train", str(folder / CONFIG)])
    paths = (folder / QUESTIONS, "--videos", videos, "--out", folder / PREPARED)
    prepare = shlex.join(["videothinker", "prepare", "jsonl", *map(str, paths)])
    files = {
        folder / QUESTIONS: "ten made-up lines, each with a video of yours",
        folder / CONFIG: "the paper's two stages on them",
        folder / REWARDS: "a reward of your own, paid at half weight",
    }
    if found:
        files[folder / PREPARED] = "the ten lines as training reads them"
        first = [
            "This works at once:",
            f"  {train} --dry-run",
            "",
            "Put your questions there, then:",
        ]
    else:
        files[folder / QUESTIONS] = "ten made-up lines"
        first = [f"No video was found in {videos}: name yours in the lines, then:"]
    lines = [f"{path}  {what}" for path, what in files.items()]
    text = "\n".join([*lines, "", *first, f"  {prepare}", f"  {train}"])
    written = [str(path) for path in files]
    return Outcome(
        text=text, result={"written": written, "videos": found, "next": [prepare, train]}
    )
