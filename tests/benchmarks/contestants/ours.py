"""This system as a contestant: its own driver, with a gate before each stage's first step.

    python tests/benchmarks/contestants/ours.py FOLDER STALENESS [ROLLOUT_WORKERS]

A turn is a stage of its own, from the base model on: it begins with nothing sampled and ends when
its last step has been published, so that nothing is done outside of a turn.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contestants.turns import Turns

if TYPE_CHECKING:
    from cluster.loop.supply import Supply

TURNS = 100
"""More than anybody asks for."""


def main(folder: Path, staleness: int, workers: int = 1) -> None:
    """Until nobody says go any more."""
    turns = Turns()
    from cluster import train
    from cluster.loop.session import Session
    from videothinker.config.loading import load_config
    from videothinker.config.settings import StageConfig
    from videothinker.files import read_lines
    from videothinker.run.lock import driving

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Gated(Session):
        def supply(self, stage: StageConfig, done: int) -> Supply:
            supply = Session.supply(self, stage, done)  # the questions are read
            turns.wait()
            return supply

        def finish(self, stage: StageConfig, done: int, seconds: float) -> None:
            metrics = read_lines(self.run.path / "metrics.jsonl")
            lines = [line for line in metrics if line["stage"] == stage.name]
            turns.done(**summary(lines))
            Session.finish(self, stage, done, seconds)
            shutil.rmtree(self.run.stage(stage.name) / "model")

    train.Session = Gated  # type: ignore[misc]
    task = json.loads((folder / "tasks.json").read_text())
    stage = {
        "questions": str(folder / "questions.parquet"),
        "steps": task["steps"],
        "prompts_per_step": task["prompts"],
        "kl": {"direction": "attract", "anchor": "base", "coefficient": task["coefficient"]},
        "guard": {"action": "off"},
    }
    stages = [{**stage, "name": f"turn{number}"} for number in range(TURNS)]
    config = load_config(
        folder / "config.yaml",
        [
            f"out={folder / f'run{staleness}-{workers}'}",
            f"rollout.max_staleness={staleness}",
            f"rollout.workers={workers}",
            f"stages={json.dumps(stages)}",
        ],
    )
    with driving(config) as directory:
        train.run(config, directory)


def summary(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Of one turn's steps."""
    phases = {name for line in lines for name in line["seconds"]}
    return {
        "samples": sum(line["samples"] for line in lines),
        "tokens": sum(line["tokens"] for line in lines),
        "reward": sum(line["reward"] for line in lines) / len(lines),
        "phases": {
            name: sum(line["seconds"].get(name, 0.0) for line in lines) / len(lines)
            for name in sorted(phases)
        },
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
