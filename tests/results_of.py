"""Results of `videothinker evaluate` as it writes them, made up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from videothinker.evaluation.protocol import usual
from videothinker.model.checkpoint import PAPER_EVALUATION

CDPO = "runs/cdpo/stages/cdpo/model"


def score(accuracy: float | None) -> dict[str, Any]:
    """With an interval whose upper side is the longer one."""
    middle = accuracy or 0.0
    return {
        "accuracy": accuracy,
        "low": middle - 0.01,
        "high": middle + 0.02,
        "n": 100,
        "chance": 0.25,
        "majority": 0.3,
    }


def estimate(mean: float) -> dict[str, Any]:
    return {"mean": mean, "low": mean - 0.03, "high": mean + 0.04, "n": 100}


def protocol(wording: Any = "evaluation", **changes: Any) -> dict[str, Any]:
    seen = PAPER_EVALUATION.model_copy(update=changes)
    return usual(wording).settled(seen).model_dump()


def result(model: str = CDPO, benchmark: str = "mmvu", **changes: Any) -> dict[str, Any]:
    return {
        "model": model,
        "digest": f"digest of {model}",
        "benchmark": benchmark,
        "data": f"{benchmark}.json",
        "protocol": protocol(),
        "unanswered": 0,
        **score(0.5),
        "by_category": {},
        "official": {**score(0.6), "by_category": {}},
        **changes,
    }


class Results:
    """Writes results, each into a folder of its own as `evaluate` does."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.paths: list[Path] = []

    def add(self, record: object) -> Path:
        folder = self._path / f"result{len(self.paths)}"
        folder.mkdir()
        (folder / "result.json").write_text(json.dumps(record))
        self.paths.append(folder)
        return folder
