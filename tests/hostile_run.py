"""One run among enemies: hostile data, a shell that asks for open ports, another machine's eyes."""

from __future__ import annotations

import json
import os
import secrets
import select
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
from cli_process import Command, living
from damaged_videos import write_damaged_videos
from hostile_data import (
    hostile_model,
    hostile_questions,
    marked_up,
    snapshot,
    spoil_world,
)
from other_machine import Machine

from videothinker.cli.ports import listeners
from videothinker.config.kl import KLConfig
from videothinker.config.learner import LearnerConfig
from videothinker.config.loading import to_yaml
from videothinker.config.settings import (
    ClusterConfig,
    DataConfig,
    ModelConfig,
    RolloutConfig,
    RunConfig,
    SamplingConfig,
    StageConfig,
    VideoConfig,
)
from videothinker.data.questions import read_questions, write_questions
from videothinker.files import read_lines
from videothinker.mini.write import write_world

ROOT = Path(__file__).parents[1]
LIMIT = 300.0
VIDEOS = 30
PROMPTS = 12
"""Of a step, so that none has damaged videos alone ten times in a row."""


@dataclass(kw_only=True)
class HostileRun:
    """What was seen of it, and what it left."""

    root: Path
    """Home, data, model and runs are below."""
    token: str
    """Of its Ray cluster."""
    machine: Machine | None
    """That it ran on; None where none could be made beside this one."""
    spoiled: list[str] = field(default_factory=list)
    """Names of the videos that are none."""
    good: set[str] = field(default_factory=set)
    """Identifiers of the questions that can be asked."""
    damaged: set[str] = field(default_factory=set)
    """Those whose videos only call themselves so."""
    codes: dict[str, int] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    """Everything each command wrote."""
    sockets: set[tuple[str, str, int]] = field(default_factory=set)
    """(process, address, port) of all that listened at any moment."""
    doctors: set[tuple[str, str, int]] = field(default_factory=set)
    """(owner, address, port) of what `videothinker doctor` saw."""
    open_ports: set[int] = field(default_factory=set)
    """Found from the other machine while it trained."""
    changed: set[str] = field(default_factory=set)
    """Below the root, outside of what the commands were told to write."""

    @property
    def run(self) -> Path:
        return self.root / "out" / "run"

    @property
    def marker(self) -> Path:
        """Is made by whoever unpickles any of the files."""
        return self.root / "marker"

    def command(self, name: str, *arguments: str | Path) -> Command:
        """As a user starts it whose shell wishes for the opposite of what is wanted."""
        wished = {"GLOO_SOCKET_IFNAME": self.machine.interface} if self.machine else {}
        return Command(
            *arguments,
            inside=self.machine.inside if self.machine else (),
            folder=self.root / "home" / "work",
            environment={
                **wished,
                "HOME": str(self.root / "home"),
                "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
                "RAY_AUTH_TOKEN": self.token,
                "VLLM_ALLOW_INSECURE_SERIALIZATION": "1",
                "XDG_CACHE_HOME": str(self.root / "out" / "cache"),
                "TORCH_EXTENSIONS_DIR": os.environ.get(
                    "TORCH_EXTENSIONS_DIR", str(Path("~/.cache/torch_extensions").expanduser())
                ),
            },
        )

    def finish(self, name: str, command: Command) -> None:
        code, out, err = command.finish(LIMIT)
        self.codes[name], self.said[name] = code, out + err

    def do(self, name: str, *arguments: str | Path) -> None:
        """One command from start to end."""
        self.finish(name, self.command(name, *arguments))

    def watch(self, command: Command) -> None:
        """All that listens until the run has ended; once, while it trains, from outside too."""
        inside = self.machine.inside if self.machine else ()
        scanned = self.machine is None
        deadline = time.monotonic() + LIMIT
        with subprocess.Popen(
            [*inside, sys.executable, __file__, "" if self.machine else command.mark],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        ) as watcher:
            while command.process.poll() is None and time.monotonic() < deadline:
                if not scanned and read_lines(self.run / "metrics.jsonl"):
                    assert self.machine
                    self.open_ports, scanned = self.machine.open_ports(), True
                time.sleep(0.2)
            seen = json.loads(watcher.communicate("enough")[0])
        self.sockets = {(process, address, port) for process, address, port in seen["sockets"]}
        self.doctors = {(owner, address, port) for owner, address, port in seen["doctor"]}


def watch_inside(mark: str) -> None:
    """In the other machine, until somebody says enough: ports are seen by who shares its network.

    Writes what listened, by psutil's account and by the doctor's: all that did there or, with a
    mark, what has it in its environment.
    """
    sockets, doctor = set(), set()
    while not select.select([sys.stdin], [], [], 0.3)[0]:
        for one in psutil.net_connections("inet"):
            ours = not mark or one.pid in living(mark)
            if ours and (one.status == psutil.CONN_LISTEN or is_open_udp(one)):
                sockets.add((title(one.pid), one.laddr.ip, one.laddr.port))
        doctor |= {(one.owner, one.address, one.port) for one in listeners()}
    sys.stdout.write(json.dumps({"sockets": sorted(sockets), "doctor": sorted(doctor)}))


def is_open_udp(one: Any) -> bool:
    """Whether a socket takes what anybody sends."""
    return one.type == socket.SOCK_DGRAM and bool(one.laddr) and not one.raddr


def title(pid: int | None) -> str:
    """How a process was started, or what it calls itself; empty where it has ended."""
    try:
        return " ".join(psutil.Process(pid).cmdline())[:120] if pid else ""
    except psutil.Error:
        return ""


def hostile_run(root: Path, base: Path, video: VideoConfig, machine: Machine | None) -> HostileRun:
    """Prepare and train; nothing is asserted here."""
    this = HostileRun(root=root, token=secrets.token_hex(32), machine=machine)
    for folder in ("home/work", "out"):
        (root / folder).mkdir(parents=True)
    raw = root / "data" / "raw"
    write_world(raw, videos=VIDEOS, seed=7)
    outside = root / "outside.mp4"
    outside.write_bytes((raw / "videos" / "video_00005.mp4").read_bytes())
    this.spoiled = spoil_world(raw, this.marker)
    damaged = root.with_name(f"{root.name}-damaged")  # one of them is a terabyte for who reads it
    names = write_damaged_videos(damaged, outside)
    (raw / "videos" / "damaged").symlink_to(damaged)
    model = hostile_model(base, root / "data" / "model", this.marker)
    before = snapshot(root)

    prepared = root / "out" / "prepared"
    inputs = (
        *("--questions", raw / "questions.json", "--annotations", raw / "annotations"),
        *("--videos", raw / "videos", "--out", prepared),
    )
    this.do("prepare", "prepare", "clevrer", *inputs)
    questions = read_questions(prepared / "questions.parquet")
    good = [question for question in questions if question.video not in this.spoiled]
    marked = [marked_up(question, f"<b>{question.id}") for question in good]
    spoiled = [question for question in questions if question not in good]
    broken = [replace(good[0], id=f"damaged {name}", video=f"damaged/{name}") for name in names]
    asked = [*marked, *spoiled, *hostile_questions(good[0], outside), *broken]
    this.damaged = {question.id for question in broken}
    this.good = {question.id for question in marked}
    write_questions(root / "out" / "questions.parquet", asked)

    config = root / "out" / "config.yaml"
    config.write_text(to_yaml(settings(this, base, video, len(asked))))
    this.do("model", "train", config, f"model.path={model}")
    training = this.command("train", "train", config)
    this.watch(training)
    this.finish("train", training)

    after = snapshot(root)
    outside_of_out = {path for path in before.keys() | after if not path.startswith("out")}
    this.changed = {path for path in outside_of_out if before.get(path) != after.get(path)}
    return this


def settings(this: HostileRun, base: Path, video: VideoConfig, questions: int) -> RunConfig:
    """One stage that asks every question once, away from its own base."""
    return RunConfig(
        name="hostile",
        out=this.run,
        model=ModelConfig(path=base, dtype="float32"),
        data=DataConfig(videos=this.root / "data" / "raw" / "videos", max_skipped_share=1.0),
        video=video,
        sampling=SamplingConfig(max_tokens=16, group_size=2),
        learner=LearnerConfig(save_every=2),
        rollout=RolloutConfig(max_model_len=1024, cache_gb=0.25),
        cluster=ClusterConfig(device="cpu", logprob_tolerance=1e-4),
        stages=(
            StageConfig(
                name="only",
                questions=this.root / "out" / "questions.parquet",
                steps=-(-questions // PROMPTS),
                prompts_per_step=PROMPTS,
                kl=KLConfig(direction="repel", anchor="base"),
            ),
        ),
    )


def lines_of(run: HostileRun) -> dict[str, str]:
    """Question -> why it was left out."""
    entries = [json.loads(line) for line in (run.run / "skipped.jsonl").read_text().splitlines()]
    return {entry["question_id"]: entry["reason"] for entry in entries}


if __name__ == "__main__":
    watch_inside(sys.argv[1])
