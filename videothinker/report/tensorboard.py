"""RUN/metrics.jsonl as TensorBoard event files, a folder a stage."""

from __future__ import annotations

from pathlib import Path

from videothinker.files import disk_errors, whole_folder
from videothinker.status.roles import roles_of
from videothinker.status.snapshot import Fields, number, read_snapshot

FOLDER = "tensorboard"
PLACES = ("step", "time")
"""Keys that say where a line stands; all other numbers are curves."""


def write_events(run: Path) -> Path:
    """Every number of every step, by stage; replaces what an earlier call wrote."""
    snapshot = read_snapshot(run)
    from tensorboardX import SummaryWriter  # brings torch where there is one, so not at the top

    target = snapshot.path / FOLDER
    with disk_errors(target), whole_folder(target, replace=True) as partial:
        for stage in dict.fromkeys(line["stage"] for line in snapshot.metrics):
            with SummaryWriter(str(partial / Path(stage).name)) as writer:
                for line in (line for line in snapshot.metrics if line["stage"] == stage):
                    step, moment = int(line["step"]), number(line.get("time"))
                    for name, value in scalars(line).items():
                        writer.add_scalar(name, value, step, moment)
    return target


def scalars(line: Fields) -> dict[str, float]:
    """The finite numbers of one step, those of its parts as seconds/PHASE and ROLE/FIGURE."""
    seconds = line.get("seconds")
    parts = {"seconds": seconds if isinstance(seconds, dict) else {}, **roles_of(line)}
    named = dict(line)
    for name, part in parts.items():
        named |= {f"{name}/{key}": value for key, value in part.items()}
    found = ((name, number(value)) for name, value in named.items() if name not in PLACES)
    return {name: value for name, value in found if value is not None}
