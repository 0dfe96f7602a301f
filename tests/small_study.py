"""A study of three arms, two warm starts and two seeds, and what its cells might have answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from videothinker.study.cells import cells
from videothinker.study.config import StudyConfig
from videothinker.study.learning import SERIES
from videothinker.study.measuring import METRICS, Exam
from videothinker.study.pull import PULLS
from videothinker.study.results import Measured
from videothinker.types import Question

SETTINGS: dict[str, Any] = {
    "name": "small",
    "warm_starts": [1, 2],
    "seeds": [11, 12],
    "reference": "grpo",
    "compare": [["cdpo", "bias"]],
    "world": {"validation": 40},
    "arms": [
        {"name": "bias", "questions": "bias"},
        {"name": "grpo"},
        {"name": "cdpo", "kl": {"direction": "repel", "anchor": "bias"}},
    ],
}


def small_study(folder: Path) -> StudyConfig:
    """With everything below a folder."""
    places = {"out": folder / "out", "results": folder / "results"}
    return StudyConfig.model_validate(SETTINGS | places)


def small_exam() -> Exam:
    """Forty questions, every fourth inferential; A is right, and the video shows B there."""
    questions = tuple(
        Question(
            id=f"q{number}",
            video="v.mp4",
            text="What?",
            options=(("A", "this"), ("B", "that")),
            answer="A",
            category="observational" if number % 4 else "inferential",
        )
        for number in range(40)
    )
    shown = {q.id: "A" if q.category == "observational" else "B" for q in questions}
    return Exam(questions=questions, shown=shown)


def measured_at_random(study: StudyConfig, exam: Exam) -> list[Measured]:
    """The last cell has failed before its last arm."""
    rng = np.random.default_rng(0)
    inferential = exam.kind("inferential")
    found = []
    for cell in cells(study):
        last = cell == cells(study)[-1]
        arms: dict[str, dict[str, np.ndarray]] = {}
        for arm in study.arm_names[: -1 if last else None]:
            values = {name: rng.integers(2, size=40).astype(float) for name in METRICS}
            for name in METRICS:
                if "observational" in name:
                    values[name][inferential] = np.nan
                if "inferential" in name or name == "cosmetic":
                    values[name][~inferential] = np.nan
            values["divergence"] = rng.random(8)
            arms[arm] = values
        learning = {arm: learning_at_random(rng) for arm in arms if arm != "base"}
        pull = {arm: pull_at_random(rng) if arm != "bias" else None for arm in learning}
        failures = {"cdpo": "the disk is full"} if last else {}
        found.append(
            Measured(cell=cell, arms=arms, learning=learning, pull=pull, failures=failures)
        )
    return found


def learning_at_random(rng: np.random.Generator) -> dict[int, dict[str, np.ndarray]]:
    """Three steps; the second asks no inferential question."""
    sizes = {1: 2, 2: 0, 3: 1}
    return {step: {name: rng.random(size) for name in SERIES} for step, size in sizes.items()}


def pull_at_random(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Of six groups, four of them of observational questions."""
    sizes = {"observational": 4, "inferential": 2}
    return {name: rng.normal(size=sizes.get(name, 6)) for name in PULLS}
