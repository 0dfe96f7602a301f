"""Whole training steps against TRL and against a bare loop, in turns on this machine.

    python tests/benchmarks/shapes.py [--shapes tiny,middle,paper] [--rounds 5]

All contestants of a shape are loaded at once; each in its turn trains the same base model for a few
steps while the others are stopped. Only this program looks at the clock. Those that may
choose how many threads they use enter with one and with all cores; the faster of the two, by the
round that is not counted, goes on. What `videothinker plan` says of a step stands beside what it
took. TRL has an environment of its own, `.venv-trl`, installed on first use. Linux only. Progress
goes to stderr, one line of JSON to stdout.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import venv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a bare checkout will do

from videothinker import cpu_torch

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CONTESTANTS = HERE / "contestants"
TRL = ROOT / ".venv-trl"
SHAPES = ("tiny", "middle", "paper")
AWAKE_SECONDS = 2.0
"""Until whoever was stopped has done what fell due meanwhile."""
LOOK_SECONDS = 0.5
"""Between two looks at the memory of whoever has its turn."""
PAGE_MIB = 1024
Figures = dict[str, Any]


def environment_of_trl() -> Path:
    """Its Python; made or mended where the requirements or the place of `.venv` have changed."""
    requirements = CONTESTANTS / "trl-requirements.txt"
    shared = next(Path(sys.prefix).glob("lib/python3*/site-packages"))
    wanted = hashlib.sha256(requirements.read_bytes() + str(shared).encode()).hexdigest()
    stamp, python = TRL / "stamp", TRL / "bin" / "python"
    if not stamp.is_file() or stamp.read_text() != wanted:
        say(f"installing {requirements.name} into {TRL}")
        venv.create(TRL, with_pip=True, clear=True)
        own = next(TRL.glob("lib/python3*/site-packages"))
        (own / "shared.pth").write_text(f"{shared}\n")
        install = ["-m", "pip", "install", "--quiet", "--no-deps", "--requirement"]
        subprocess.run([python, *install, requirements], check=True, stdout=sys.stderr)
        stamp.write_text(wanted)
    return python


class Contestant:
    """A process that waits for its turn."""

    def __init__(
        self, name: str, command: Sequence[str | Path], threads: int | None, log: Path
    ) -> None:
        self.name = name
        self._log = log
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=ROOT,
                start_new_session=True,
                env=environment(threads),
            )

    def ready(self) -> None:
        """Wait until it waits."""
        assert self._answer() == {"ready": True}

    def rest(self) -> None:
        """Take no time from the others: a cluster that waits uses a tenth of a core."""
        self._signal(signal.SIGSTOP)

    def turn(self) -> Figures:
        """Let it work; seconds, and what it says of them."""
        assert self._process.stdin is not None
        self._signal(signal.SIGCONT)
        time.sleep(AWAKE_SECONDS)
        started = time.monotonic()
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        found = self._answer()
        return {**found, "seconds": time.monotonic() - started}

    def processor_seconds(self) -> dict[tuple[str, int], float]:
        """Of it and everything below it so far, by kind of process and number."""
        used = {}
        root = psutil.Process(self._process.pid)
        for process in [root, *root.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                used[kind(process.cmdline()[0]), process.pid] = times.user + times.system
        return used

    def memory(self) -> dict[str, int]:
        """The most that was seen of it in a turn. Not one that is timed: looking takes a fifth of a
        core where there are many processes."""
        with PeakMemory(self._process.pid) as peak:
            self.turn()
        return peak.by_part

    def end(self) -> None:
        """Its whole session, the engines that it started included."""
        assert self._process.stdin is not None
        self._signal(signal.SIGCONT)
        self._process.stdin.close()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def _signal(self, number: signal.Signals) -> None:
        """To the process and everything below it."""
        with suppress(psutil.NoSuchProcess):
            root = psutil.Process(self._process.pid)
            for process in [root, *root.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(number)

    def _answer(self) -> Figures:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])
            raise SystemExit(f"{self.name} ended early; the last of {self._log}:\n{tail}")
        answer: Figures = json.loads(line)
        return answer


class PeakMemory:
    """The most that a process and its offspring hold, shared pages counted once (PSS)."""

    def __init__(self, pid: int) -> None:
        self._pid, self._over = pid, threading.Event()
        self.by_part: dict[str, int] = {}
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            seen: dict[str, int] = {"all": 0}
            for name, pss in memory_of(self._pid):
                seen["all"] += pss
                seen[name] = seen.get(name, 0) + pss
            for name, pss in seen.items():
                self.by_part[name] = max(self.by_part.get(name, 0), pss)


def memory_of(root: int) -> Iterator[tuple[str, int]]:
    """Title and PSS in MiB of a process and everything below it."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(folder.name))
    left = [root]
    while left:
        pid = left.pop()
        left += children.get(pid, [])
        try:
            title = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        pss = next(line for line in rollup.splitlines() if line.startswith("Pss:"))
        yield kind(title), int(pss.split()[1]) // PAGE_MIB


def kind(title: str) -> str:
    """Of a process, by its title: a role's name, or `other`."""
    return title.removeprefix("ray::").split(".")[0] if title.startswith("ray::") else "other"


def environment(threads: int | None) -> dict[str, str]:
    """Of every contestant, with what makes the CPU stack importable; nothing is looked up."""
    path = os.pathsep.join([str(ROOT), str(HERE), os.environ["PYTHONPATH"]])
    wanted = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": path}
    if threads is None:
        wanted.pop("OMP_NUM_THREADS", None)
        return wanted
    return wanted | {"OMP_NUM_THREADS": str(threads)}


def entrants(folder: Path) -> Iterator[tuple[str, list[str | Path], int | None]]:
    """Name, command and threads of all who take turns; `NAME-THREADS` where several may enter.

    This system sets its processes' threads itself.
    """
    ours, bare, trl = (CONTESTANTS / f"{name}.py" for name in ("ours", "bare", "with_trl"))
    for staleness in (0, 1):
        yield f"ours{staleness}", [sys.executable, ours, folder, str(staleness)], None
    for threads in sorted({1, os.cpu_count() or 1}):
        yield f"bare-{threads}", [sys.executable, bare, folder, str(threads)], threads
        yield f"trl-{threads}", [environment_of_trl(), trl, folder, str(threads)], threads


@contextmanager
def waiting(shape: str, names: Sequence[str] | None) -> Iterator[tuple[list[Contestant], Path]]:
    """All contestants of a shape, loaded, and their folder; one after the other, so that nobody
    starves."""
    folder = Path(tempfile.mkdtemp(prefix="videothinker-shapes-"))
    with ExitStack() as ending:
        ending.callback(shutil.rmtree, folder, ignore_errors=True)
        say(f"{shape}: videos, questions and a base model")
        workload = [sys.executable, CONTESTANTS / "workload.py", folder, shape]
        subprocess.run(workload, check=True, env=environment(1))
        contestants = []
        for name, command, threads in entrants(folder):
            if names and name.partition("-")[0] not in names:
                continue
            say(f"{shape}: loading {name}")
            contestant = Contestant(name, command, threads, folder / f"{name}.log")
            ending.callback(contestant.end)
            contestant.ready()
            contestant.rest()
            contestants.append(contestant)
        yield contestants, folder


def measure(shape: str, rounds: int, names: Sequence[str] | None = None) -> Figures:
    """Medians over the rounds, and the ratios that only turns of one round allow; memory in a last
    round that is not timed."""
    turns: dict[str, list[Figures]] = {}
    with waiting(shape, names) as (contestants, folder):
        left = {contestant.name: contestant for contestant in contestants}
        warm = {name: take(shape, "warm-up", contestant) for name, contestant in left.items()}
        left = {name: left[name] for name in faster(warm)}
        for number in range(1, rounds + 1):
            for name, contestant in left.items():
                found = take(shape, f"round {number}", contestant)
                turns.setdefault(name.partition("-")[0], []).append({**found, "entered": name})
        memory = {}
        for name, contestant in left.items():
            memory[name.partition("-")[0]] = contestant.memory()
            say(f"{shape}: {name} {memory[name.partition('-')[0]]['all']} MiB")
        plans = {name: planned(folder / f"run{name[-1]}-1") for name in OURS if name in memory}
    return summary(turns, memory, plans)


def planned(run: Path) -> dict[str, float]:
    """What `videothinker plan` says of a step of this run."""
    command = [sys.executable, CONTESTANTS / "planned.py", run]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment(1))
    found: dict[str, float] = json.loads(done.stdout)
    return found


def take(shape: str, which: str, contestant: Contestant) -> Figures:
    """One turn, said aloud."""
    found = contestant.turn()
    contestant.ready()
    contestant.rest()
    found["samples_per_s"] = found["samples"] / found["seconds"]
    say(
        f"{shape}, {which}: {contestant.name} {found['samples_per_s']:.2f} samples/s,"
        f" {found['tokens']} tokens, reward {found['reward']:.3f}"
    )
    return found


def faster(warm: Mapping[str, Figures]) -> list[str]:
    """Of those that entered with several numbers of threads, the better one each."""
    best: dict[str, str] = {}
    for name, found in warm.items():
        kind = name.partition("-")[0]
        known = best.setdefault(kind, name)
        if found["samples_per_s"] > warm[known]["samples_per_s"]:
            best[kind] = name
    return list(best.values())


def summary(
    turns: Mapping[str, Sequence[Figures]],
    memory: Mapping[str, Mapping[str, int]],
    plans: Mapping[str, Mapping[str, float]],
) -> Figures:
    """What results.json holds of a shape."""
    speed = {kind: [turn["samples_per_s"] for turn in some] for kind, some in turns.items()}
    found: Figures = {
        KEYS[kind]: statistics.median(values) for kind, values in speed.items() if kind in KEYS
    }
    for name, (first, second) in RATIOS.items():
        if first in speed and second in speed:
            ratios = [one / other for one, other in zip(speed[first], speed[second], strict=True)]
            found[name] = statistics.median(ratios)
            found[f"{name}_least_and_most"] = [min(ratios), max(ratios)]
    for kind, plan in plans.items():
        ratios = [plan["total"] / turn["phases"]["total"] for turn in turns[kind]]
        found[f"plan_over_measured_staleness{kind[-1]}"] = statistics.median(ratios)
    found["contestants"] = {
        kind: {
            "entered": some[0]["entered"],
            "samples_per_s": speed[kind],
            "reward": [turn["reward"] for turn in some],
            "tokens": [turn["tokens"] for turn in some],
            "phases": median_phases(some),
            "planned": plans.get(kind, {}),
            "memory_mib": memory[kind],
        }
        for kind, some in turns.items()
    }
    return found


OURS = ("ours0", "ours1")
"""By their staleness."""
KEYS = {
    "ours0": "samples_per_s_staleness0",
    "ours1": "samples_per_s_staleness1",
    "trl": "trl_samples_per_s",
    "bare": "bare_samples_per_s",
}
RATIOS = {
    "vs_trl_staleness0": ("ours0", "trl"),
    "vs_trl_staleness1": ("ours1", "trl"),
    "vs_bare_staleness0": ("ours0", "bare"),
    "vs_bare_staleness1": ("ours1", "bare"),
}


def median_phases(some: Sequence[Figures]) -> dict[str, float]:
    """Seconds a step by phase, for those that say."""
    names = {name for turn in some for name in turn.get("phases", {})}
    return {
        name: statistics.median(turn["phases"].get(name, 0.0) for turn in some)
        for name in sorted(names)
    }


def say(text: str) -> None:
    """To whoever watches."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def main() -> None:
    """One line of JSON on stdout."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shapes", default=",".join(SHAPES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", help="contestants: ours0,ours1,trl,bare")
    arguments = parser.parse_args()
    cpu_torch.install()
    names = arguments.only.split(",") if arguments.only else None
    shapes = arguments.shapes.split(",")
    print(json.dumps({shape: measure(shape, arguments.rounds, names) for shape in shapes}))


if __name__ == "__main__":
    main()
