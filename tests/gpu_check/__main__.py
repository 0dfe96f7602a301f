"""Does a GPU do what was tested on CPUs? `make gpu-check`: at most twelve minutes, no network.

python -m gpu_check [--device cpu] [--out FOLDER] [PART ...]

Each part is a process that ends by itself or is ended, and says what it found; none hides the next.
`gpu-check.json` and `gpu-check.md` are written after each. On a CPU the same parts run at small
sizes, to show that they can.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Part:
    """One question to the device."""

    module: str
    limit: float
    """Seconds."""
    asks: str


PARTS = (
    Part(
        module="environment", limit=40, asks="what is here, and how fast it multiplies and copies"
    ),
    Part(module="kernels", limit=40, asks="attention over sequences, forwards and backwards"),
    Part(module="learner_step", limit=150, asks="a group of the paper's shape: time and memory"),
    Part(module="weights", limit=100, asks="weights from process to process, by each way"),
    Part(module="agreement", limit=180, asks="log-probs of sampler and learner, in both types"),
    Part(
        module="stages", limit=200, asks="three stages in a row without growth, weights in flight"
    ),
)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a part found, or how it ended."""

    part: str
    asks: str
    passed: bool
    said: str
    figures: dict[str, Any]
    seconds: float


def run(part: Part, device: str, patience: float) -> Outcome:
    """One part, however it ends; `patience` makes its limit longer."""
    started = time.monotonic()
    words = [sys.executable, "-m", f"gpu_check.{part.module}", "--device", device]
    found = found_by(words, patience * part.limit)
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
        printed, complained = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        return failed(f"not done after {limit:g} s")
    finally:
        with suppress(ProcessLookupError):  # what it started would hold the device
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return finding(process.returncode, printed, complained)


def finding(code: int, printed: str, complained: str) -> dict[str, Any]:
    """What a part's last line says, or its last complaint."""
    if code:
        lines = complained.strip().splitlines() or [f"exit code {code}"]
        return failed(lines[-1])
    try:
        said: dict[str, Any] = json.loads(printed.strip().splitlines()[-1])
        return {name: said[name] for name in ("passed", "said", "figures")}
    except (IndexError, KeyError, ValueError, TypeError):
        return failed("it ended without a finding")


def failed(why: str) -> dict[str, Any]:
    return {"passed": False, "said": why, "figures": {}}


def page(outcomes: list[Outcome], device: str) -> str:
    """For people: a line a part."""
    rows = [
        f"| {one.part} | {'pass' if one.passed else 'FAIL'} | {one.said} | {figures(one.figures)} |"
        f" {one.seconds:.0f} |"
        for one in outcomes
    ]
    head = ["| part | | | figures | s |", "|---|---|---|---|---|"]
    return "\n".join([f"# gpu-check on {device}", "", *head, *rows, ""])


def figures(found: dict[str, Any]) -> str:
    """In one cell."""
    return ", ".join(f"{name} {shown(value)}" for name, value in found.items())


def shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, dict):
        return f"({figures(value)})"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument(
        "--patience", type=float, default=1.0, metavar="TIMES", help="of each part's limit"
    )
    parser.add_argument("--out", type=Path, default=Path("runs"), metavar="FOLDER")
    names = [part.module for part in PARTS]
    parser.add_argument("parts", nargs="*", choices=[*names, []], metavar="PART", default=[])
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    outcomes: list[Outcome] = []
    for number, part in enumerate(PARTS, 1):
        if asked.parts and part.module not in asked.parts:
            continue
        print(f"{number}/{len(PARTS)} {part.module}: {part.asks}", flush=True)
        outcomes.append(run(part, asked.device, asked.patience))
        last = outcomes[-1]
        verdict = "pass" if last.passed else "FAIL"
        print(f"  {verdict}, {last.said}: {figures(last.figures)}", flush=True)
        document = {"device": asked.device, "parts": [asdict(one) for one in outcomes]}
        (asked.out / "gpu-check.json").write_text(json.dumps(document, indent=1) + "\n")
        (asked.out / "gpu-check.md").write_text(page(outcomes, asked.device))
    print(f"see {asked.out / 'gpu-check.md'}")
    return 0 if all(one.passed for one in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
