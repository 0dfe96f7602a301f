"""A run that is attacked from all sides, and one that is left alone: they must train the same.

    make soak
    python tests/soak.py --steps 40 --seed 3 --out runs/soak

At seeded moments workers of every role and processes of Ray's own are killed or stopped, others are
added and sent away, and the driver is killed or interrupted and resumed, sometimes with a torn
state or on a full disk. Then the same configuration runs undisturbed, and what both leave behind is
compared. The last line on stdout, and OUT/result.json, say what was found.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from attack import (
    ENDS,
    GONE_SECONDS,
    NAMES,
    RAYS,
    Attack,
    Blow,
    Fault,
    SoakError,
    drawn_plan,
    follow_up,
)
from mini_worlds import MINI_VIDEO, prepared_world
from same_training import asked_order, largest_difference, missing, trained_order, untimed
from two_hosts import TwoHosts, two_hosts

from videothinker import cpu_torch
from videothinker.config.kl import KLConfig
from videothinker.config.learner import LearnerConfig
from videothinker.config.loading import to_yaml
from videothinker.config.settings import (
    ClusterConfig,
    DataConfig,
    FaultsConfig,
    GuardConfig,
    ModelConfig,
    RolloutConfig,
    RunConfig,
    SamplingConfig,
    StageConfig,
    VideoConfig,
)
from videothinker.files import read_lines
from videothinker.mini import SHIPPED_BASE
from videothinker.process.metrics import EVERYWHERE
from videothinker.progress import ProgressLine


def soak_config(
    base: Path,
    world: Path,
    cache: Path,
    video: VideoConfig,
    *,
    steps: int,
    prompts_per_step: int,
    workers: int,
) -> RunConfig:
    """On-policy, in fixed units of one prompt; the rate is low enough that nothing collapses."""
    return RunConfig(
        name="soak",
        out=cache.parent / "unused",
        seed=5,
        model=ModelConfig(path=base, dtype="float32"),
        data=DataConfig(videos=world / "raw" / "videos", cache=cache),
        video=video,
        sampling=SamplingConfig(max_tokens=24),
        learner=LearnerConfig(
            learning_rate=2e-5, max_grad_norm=1.0, gradient_checkpointing=False, save_every=5
        ),
        rollout=RolloutConfig(
            workers=workers, max_model_len=512, cache_gb=0.25, prompts_together=1, max_staleness=0
        ),
        cluster=ClusterConfig(device="cpu", logprob_tolerance=1e-4),
        # no question is to blame for what happens here, so none is left out for it
        faults=FaultsConfig(
            heartbeat_seconds=1, silent_seconds=8, backoff_seconds=0.2, attempts=20, restarts=10
        ),
        stages=(
            StageConfig(
                name="cdpo",
                questions=world / "questions.parquet",
                steps=steps,
                prompts_per_step=prompts_per_step,
                kl=KLConfig(direction="repel", anchor="base", coefficient=0.01),
                guard=GuardConfig(action="off"),
            ),
        ),
    )


@dataclass(kw_only=True)
class Verdict:
    """What result.json says."""

    steps: int
    plan: list[str]
    kills: dict[str, int]
    stops: dict[str, int]
    ends: dict[str, int]
    """Of the driver, by Ctrl-C, with what happened meanwhile."""
    scaled: list[int]
    prompts: int
    questions: int
    lost: int
    repeated: int
    in_order: bool
    weights_equal: bool
    weights_moved: float
    """Largest change of a weight from the base, in the stage that changed least."""
    metrics_equal: bool
    unexplained: list[str]
    """Whose end no line of events.jsonl tells."""
    left_behind: int
    """Processes of a driver that was killed or interrupted, and that outlived it."""
    seconds: dict[str, float]
    faults: list[dict[str, Any]] = field(default_factory=list)
    recovery_seconds: dict[str, dict[str, float]] = field(default_factory=dict)

    def failures(self) -> Iterator[str]:
        """What was to be proved and is not so."""
        if self.lost or self.repeated or not self.in_order:
            yield f"{self.lost} prompts lost, {self.repeated} repeated, in order: {self.in_order}"
        if not self.weights_equal:
            yield "the final weights are not those of the undisturbed run"
        if not self.weights_moved:
            yield "nothing was learned: the final weights are the base's"
        if not self.metrics_equal:
            yield "the steps' figures are not those of the undisturbed run"
        if self.unexplained:
            yield f"nothing tells of the end of {', '.join(self.unexplained)}"
        if self.left_behind:
            yield f"{self.left_behind} processes outlived their driver by {GONE_SECONDS:g} s"


def judge(
    config: RunConfig, attacked: Path, quiet: Path, attack: Attack, seconds: dict[str, float]
) -> Verdict:
    """Compare what two runs have left behind."""
    asked, trained = list[list[str]](), list[list[str]]()
    apart, moved = list[float](), list[float]()
    for stage in config.stages:
        asked += asked_order(stage.questions, config.seed, stage.steps, stage.prompts_per_step)
        trained += trained_order(attacked, stage.name, stage.steps)
        model = Path("stages") / stage.name / "model"
        apart.append(largest_difference(attacked / model, quiet / model))
        moved.append(largest_difference(attacked / model, config.model.path))
    blows = attack.blows
    return Verdict(
        steps=len(untimed(attacked)),
        plan=[str(fault) for fault in attack.plan],
        kills=dict(Counter(blow.role for blow in blows if blow.what == "kill")),
        stops=dict(Counter(blow.role for blow in blows if blow.what == "stop")),
        ends=dict(Counter(blow.what for blow in blows if blow.what in ENDS)),
        scaled=[fault.workers for fault in attack.plan if fault.what == "scale"],
        prompts=sum(map(len, trained)),
        questions=len(set(itertools.chain(*asked))),
        lost=missing(asked, trained),
        repeated=missing(trained, asked),
        in_order=asked == trained,
        weights_equal=max(apart) == 0,
        weights_moved=min(moved),
        metrics_equal=untimed(attacked) == untimed(quiet),
        unexplained=[blow.role for blow in unexplained(blows)],
        left_behind=attack.left_behind,
        seconds={name: round(took, 1) for name, took in seconds.items()},
        faults=[rounded(asdict(blow)) for blow in blows],
        recovery_seconds=by_role(blows),
    )


def unexplained(blows: Sequence[Blow]) -> Iterator[Blow]:
    """Kills that no line tells of, but for those whose run another blow ended right after."""
    for blow in blows:
        soon = (one for one in blows if one.ends_all and 0 < one.at - blow.at < SOON)
        told = blow.noticed is not None or any(soon)
        if blow.what == "kill" and blow.role in (*NAMES, "other") and not told:
            yield blow


ENDED_BY = {"kill": "", "stop": " (stopped)", "interrupt": " (interrupted)"} | {
    "cut": " (cut off)",
    "tear": " (interrupted, a state torn)",
    "fill": " (interrupted, the disk full)",
}


def by_role(blows: Sequence[Blow]) -> dict[str, dict[str, float]]:
    """Shortest and longest time from a blow to the first work of a replacement."""
    found: dict[str, list[float]] = {}
    for blow in blows:
        if blow.recovered is not None:
            name = blow.role + ENDED_BY[blow.what]
            found.setdefault(name, []).append(round(blow.recovered, 2))
    return {
        name: {"count": len(times), "least": min(times), "most": max(times)}
        for name, times in found.items()
    }


def rounded(entry: dict[str, Any]) -> dict[str, Any]:
    """For people to read."""
    return {k: round(v, 2) if isinstance(v, float) else v for k, v in entry.items()}


def soak(
    config: RunConfig, out: Path, plan: Sequence[Fault], hosts: TwoHosts | None = None
) -> Verdict:
    """Both runs, and the verdict on them, which is in OUT/result.json too."""
    steps = sum(stage.steps for stage in config.stages)
    seconds: dict[str, float] = {}
    file, attacked, quiet = out / "config.yaml", out / "attacked", out / "quiet"
    file.write_text(to_yaml(config))
    attack = Attack(file, attacked, steps, plan, hosts)
    with timed(seconds, "attacked"), ProgressLine("attacked") as progress:
        watch = attack.carry_out(lambda done, note: progress(done, steps, note))
    follow_up(attack.blows, read_lines(attacked / "events.jsonl"), watch)
    calm = Attack(file, quiet, steps, (), hosts)
    with timed(seconds, "quiet"), ProgressLine("quiet") as progress:
        calm.carry_out(lambda done, _: progress(done, steps))
    verdict = judge(config, attacked, quiet, attack, seconds)
    (out / "result.json").write_text(json.dumps(asdict(verdict), indent=2) + "\n")
    return verdict


@contextmanager
def timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    """How long the block takes."""
    started = time.monotonic()
    yield
    seconds[name] = time.monotonic() - started


SOON = 10.0
"""Longer than `silent_seconds`."""
KILLS = {"rollout": 4, "scorer": 1, "learner": 1, "loader": 1, "driver": 1} | dict.fromkeys(RAYS, 1)
OF_TWO_HOSTS = {"rollout": 3, "scorer": 1, "learner": 1, "driver": 1, "other": 2, "hosts": 1}
STOPS = 3
BLOWS = 200
"""Steps to which these belong, or so many times as many to more."""
SCALES = (1, 3, 1, 4, 2)


def prepared(out: Path, steps: int) -> RunConfig:
    """A world of 24 videos and the shipped base."""
    world = prepared_world(out / "world")
    return soak_config(
        SHIPPED_BASE, world, out / "clips", MINI_VIDEO, steps=steps, prompts_per_step=4, workers=2
    )


def on(hosts: TwoHosts, config: RunConfig) -> RunConfig:
    """With a rank of the learner on each; its metrics are read from here."""
    there = ClusterConfig(
        device="cpu", logprob_tolerance=1e-4, address=hosts.address, metrics_host=EVERYWHERE
    )
    learner = config.learner.model_copy(update={"ranks": 2})
    return config.model_copy(update={"cluster": there, "learner": learner})


def main() -> int:
    """The long form; 1 when a proof fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1, help="of what is done to the run, and when")
    parser.add_argument(
        "--times", type=int, help="so many attacks as on 200 steps; by default in proportion"
    )
    parser.add_argument("--hosts", action="store_true", help="two, which are lost")
    parser.add_argument("--out", type=Path, default=Path("runs/soak"), help="replaced if it exists")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left running
    cpu_torch.install()
    out = arguments.out.absolute()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    times = arguments.times or max(1, round(arguments.steps / BLOWS))
    usual, cuts = (OF_TWO_HOSTS, 3 * times) if arguments.hosts else (KILLS, 0)
    kills = {role: times * count for role, count in usual.items()}
    ends = dict.fromkeys(ENDS, times)
    plan = drawn_plan(
        arguments.steps, arguments.seed, kills, STOPS * times, SCALES * times, cuts=cuts, **ends
    )
    say(f"soak: {arguments.steps} steps, seed {arguments.seed}", *map(str, plan))
    config = prepared(out, arguments.steps)
    try:
        with two_hosts() if arguments.hosts else nullcontext() as hosts:
            if hosts is not None:
                config = on(hosts, config)
            elif arguments.hosts:
                raise SoakError("--hosts: needs Linux and root's rights, to make namespaces")
            verdict = soak(config, out, plan, hosts)
    except SoakError as error:
        say(f"soak: {error}")
        return 1
    failures = list(verdict.failures())
    say(*[f"soak: {failure}" for failure in failures])
    print(json.dumps(asdict(verdict)))
    return 1 if failures else 0


def say(*lines: str) -> None:
    """To stderr: stdout is for the result."""
    for line in lines:
        print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
