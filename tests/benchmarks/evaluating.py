"""`videothinker evaluate` here against another checkout, in turns on this machine.

    python tests/benchmarks/evaluating.py CHECKOUT [--questions 2000] [--rounds 3]

Both answer the same questions of a mini world with the same model, each through the command line
and with a folder of decoded clips of its own, empty in the first round. From the first answers to
the last: questions a second, and the processor time that one takes, by kind of process, which other
people's load on the machine moves less. Starting is told apart. So is how many answers are not the
same: what shares a batch moves the last bits, by which a tie is decided; `--keep` has them. Linux
only. Progress goes to stderr, one line of JSON to stdout.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
from shapes import Figures, kind, say

ROOT = Path(__file__).resolve().parents[2]
BASE = ROOT / "videothinker" / "mini" / "shipped"
WARM_UP = 64
"""Answers before the clock is started: those of a first unit come together."""
LOOK_SECONDS = 0.05


class Turn:
    """One evaluation by one checkout, watched from outside."""

    def __init__(self, checkout: Path, work: Path, model: Path, world: Path) -> None:
        shutil.rmtree(work / "out", ignore_errors=True)
        self._answers = work / "out" / "answers.jsonl"
        self._log = work / "log"
        verb = ("evaluate", "--model", model, "--benchmark", "clevrer")
        data = ("--data", work / "questions" / "questions.parquet", "--out", work / "out")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command(*verb, *data, "--videos", world / "videos"),
                cwd=checkout,
                env=environment(checkout, work),
                stdout=log,
                stderr=log,
            )

    def watch(self, questions: int) -> Figures:
        """Seconds of all of it and of its middle; processor time of a question in that."""
        started = time.monotonic()
        used = Counter[str]()
        first = self._when(WARM_UP)
        before = self._processor_seconds()
        while self._answered() < questions and self._process.poll() is None:
            used = self._processor_seconds()
            time.sleep(LOOK_SECONDS)
        last = time.monotonic()
        if self._process.wait() or self._answered() < questions:
            raise SystemExit(f"{self._process.args}: see {self._log}")
        count = questions - WARM_UP
        return {
            "start_s": first - started,
            "all_s": time.monotonic() - started,
            "questions_per_s": count / (last - first),
            "processor_ms": {
                name: round(1000 * (seconds - before[name]) / count, 2)
                for name, seconds in sorted(used.items())
            },
            "total_processor_ms": 1000 * (used.total() - before.total()) / count,
        }

    def answers(self) -> dict[str, str]:
        lines = [json.loads(line) for line in self._answers.read_text().splitlines()]
        return {line["id"]: line["completion"] for line in lines}

    def _when(self, count: int) -> float:
        while self._answered() < count:
            if self._process.poll() is not None:
                raise SystemExit(f"{self._process.args} ended early: see {self._log}")
            time.sleep(LOOK_SECONDS)
        return time.monotonic()

    def _answered(self) -> int:
        return self._answers.read_bytes().count(b"\n") if self._answers.exists() else 0

    def _processor_seconds(self) -> Counter[str]:
        used = Counter[str]()
        driver = psutil.Process(self._process.pid)
        for process in [driver, *driver.children(recursive=True)]:
            try:
                words, times = process.cmdline() or ["gone"], process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            child = "decoder" if "videothinker.video.decoder" in words else "system"
            name = kind(words[0]) if words[0].startswith("ray::") else child
            used["driver" if process == driver else name] += times.user + times.system
        return used


def command(*words: str | Path) -> list[str | Path]:
    return [sys.executable, "-m", "videothinker", *words]


def environment(checkout: Path, work: Path) -> dict[str, str]:
    """Nothing is looked up; threads are set by the system itself."""
    own = {"PYTHONPATH": str(checkout), "XDG_CACHE_HOME": str(work), "HF_HUB_OFFLINE": "1"}
    return {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"} | own


def measure(
    checkouts: Mapping[str, Path], questions: int, rounds: int, model: Path, keep: Path | None
) -> Figures:
    """By checkout the figures of each round, the first with cold clips; ratios of those after."""
    turns: dict[str, list[Figures]] = {name: [] for name in checkouts}
    differ = []
    with tempfile.TemporaryDirectory(prefix="videothinker-evaluating-") as folder:
        world = Path(folder) / "world"
        run(command("mini", world, "--videos", str(questions), "--seed", "6"), ROOT, Path(folder))
        for name, checkout in checkouts.items():
            asked = ("--questions", world / "questions.json", "--annotations")
            paths = (*asked, world / "annotations", "--videos", world / "videos")
            out = Path(folder) / name / "questions"
            run(command("prepare", "clevrer", *paths, "--out", out), checkout, Path(folder) / name)
        for number in range(rounds + 1):
            answers: dict[str, dict[str, str]] = {}
            for name, checkout in checkouts.items():
                turn = Turn(checkout, Path(folder) / name, model, world)
                found = turn.watch(questions)
                answers[name] = turn.answers()
                turns[name].append(found)
                say(f"round {number}, {name}: {json.dumps(found)}")
            one, other = answers.values()
            differ.append(sum(one[question] != other[question] for question in one))
            if keep is not None:
                keep.write_text(json.dumps(answers))
    return {"turns": turns, "answers_differ": differ, **ratios(turns["here"], turns["other"])}


def ratios(here: Sequence[Figures], other: Sequence[Figures]) -> dict[str, Any]:
    """Here over the other: cold, then the median, least and most of the warm rounds."""
    found: dict[str, Any] = {}
    for key in ("questions_per_s", "total_processor_ms", "all_s"):
        cold, *warm = [one[key] / two[key] for one, two in zip(here, other, strict=True)]
        found[key] = {"cold": cold}
        if warm:
            found[key] |= {"warm": statistics.median(warm), "spread": [min(warm), max(warm)]}
    return found


def run(words: Sequence[str | Path], checkout: Path, work: Path) -> None:
    subprocess.run(words, check=True, cwd=checkout, env=environment(checkout, work), stdout=2)


def main() -> None:
    """One line of JSON on stdout."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkout", type=Path, help="another working tree of this project")
    parser.add_argument("--questions", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", type=Path, default=BASE)
    parser.add_argument("--keep", type=Path, help="a file for the last round's answers")
    arguments = parser.parse_args()
    checkouts = {"other": arguments.checkout.resolve(), "here": ROOT}
    model, keep = arguments.model.resolve(), arguments.keep
    print(json.dumps(measure(checkouts, arguments.questions, arguments.rounds, model, keep)))


if __name__ == "__main__":
    main()
