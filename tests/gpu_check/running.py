"""The parts of the check, and how one is run: in a process that ends by itself or is ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

Verdict = Literal["pass", "FAIL", "not run"]
SAMPLER = ("vllm",)
SYSTEM = ("vllm", "deepspeed", "ray")


@dataclass(frozen=True, kw_only=True)
class Part:
    """One question to the device."""

    module: str
    share: float
    """Of the time of all, in seconds; what a part does not need is left to those after it."""
    asks: str
    needs: tuple[str, ...] = ()
    """Packages beside torch and transformers."""


PARTS = (
    Part(module="environment", share=25, asks="what is here, how fast it multiplies and copies"),
    Part(module="kernels", share=25, asks="attention over sequences, forwards and backwards"),
    Part(
        module="agreement",
        share=130,
        asks="log-probs of sampler and learner, in both types",
        needs=SAMPLER,
    ),
    Part(module="weights", share=70, asks="weights from process to process, by each way"),
    Part(
        module="in_flight",
        share=90,
        asks="completions that are put off for lack of room, or get new weights in their middle",
        needs=SAMPLER,
    ),
    Part(module="learner_step", share=60, asks="a group of the paper's shape: time and memory"),
    Part(
        module="second_stage",
        share=160,
        asks="steps away from a bias model, through the whole system, beside the plan's floor",
        needs=SYSTEM,
    ),
    Part(
        module="memory",
        share=20,
        asks="what each role held in those steps, beside the plan",
        needs=SYSTEM,
    ),
    Part(
        module="stages",
        share=135,
        asks="three stages in a row of the whole system, weights in flight",
        needs=SYSTEM,
    ),
)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a part found, or how it ended."""

    part: str
    asks: str
    verdict: Verdict
    said: str
    goal: str
    figures: dict[str, Any]
    seconds: float


def run(part: Part, device: str, folder: Path, limit: float) -> Outcome:
    """One part, however it ends."""
    started = time.monotonic()
    absent = [name for name in part.needs if find_spec(name) is None]
    if absent:
        verb = "is" if len(absent) == 1 else "are"
        found = without_finding("not run", f"{', '.join(absent)} {verb} not here")
    else:
        words = ["-m", f"gpu_check.{part.module}", "--device", device, "--folder", str(folder)]
        found = found_by([sys.executable, *words], limit)
    return Outcome(part=part.module, asks=part.asks, seconds=time.monotonic() - started, **found)


def found_by(words: list[str], limit: float) -> dict[str, Any]:
    """By a process that is ended, with all that it started, when its time is over."""
    process = subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        printed, complained = process.communicate(timeout=max(0.0, limit))
    except subprocess.TimeoutExpired:
        return without_finding("FAIL", f"not done after {limit:.0f} s, which was all its time")
    finally:
        with suppress(ProcessLookupError):  # what it started would hold the device
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return finding(process.returncode, printed, complained)


def finding(code: int, printed: str, complained: str) -> dict[str, Any]:
    """What a part's last line says, or its last complaint."""
    if code:
        lines = complained.strip().splitlines() or [f"exit code {code}"]
        return without_finding("FAIL", lines[-1])
    try:
        said: dict[str, Any] = json.loads(printed.strip().splitlines()[-1])
        verdict = "pass" if said["passed"] else "FAIL"
        return {"verdict": verdict} | {name: said[name] for name in ("said", "goal", "figures")}
    except (IndexError, KeyError, ValueError, TypeError):
        return without_finding("FAIL", "it ended without a finding")


def without_finding(verdict: Verdict, why: str) -> dict[str, Any]:
    return {"verdict": verdict, "said": why, "goal": "", "figures": {}}
