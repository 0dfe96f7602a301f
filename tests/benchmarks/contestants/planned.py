"""What `videothinker plan` says of a step that a contestant has taken, as JSON on stdout.

    python tests/benchmarks/contestants/planned.py RUN

It is told how long the completions of the run's first turn were: that depends on the model, and no
plan can know it. A process of its own, since planning looks at a video and a contestant does not.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from statistics import fmean

import pyarrow.parquet as pq

from videothinker.config.loading import load_config
from videothinker.model.families.known import shape_of
from videothinker.planning import speed
from videothinker.planning.placement import plan
from videothinker.planning.plan import machines_of

PHASES = ("generate", "score", "learn", "sync")


def planned(run: Path) -> dict[str, float]:
    """Seconds of a step, and of its phases."""
    config = load_config(run / "config.yaml", [])
    tables = [pq.read_table(file) for file in sorted(run.glob("rollouts/turn0-*.parquet"))]
    steps = [[len(one) for group in t["token_ids"].to_pylist() for one in group] for t in tables]
    speed.mean_tokens = lambda _: fmean(map(fmean, steps))
    speed.longest_tokens = lambda _: fmean(map(max, steps))
    layout = plan(config, shape_of(config.model.path), machines_of(config, 1, 0, 0.0, None))
    phases = asdict(layout.seconds)
    return {"total": layout.step_seconds, **{name: phases[name] for name in PHASES}}


if __name__ == "__main__":
    print(json.dumps(planned(Path(sys.argv[1]))))
