"""What a run can suffer: who is killed, stopped, interrupted, added or sent away, which disk is
full, which state is torn, when, and what followed.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import random
import re
import signal
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli_process import Command
from failing_disk import fault as disk_fault
from failing_disk import preloaded

from videothinker.files import read_json, read_lines

CLASSES = {
    "rollout": "RolloutWorker",
    "scorer": "AnchorScorer",
    "learner": "LearnerRank",
    "loader": "PromptLoader",
}
"""What Ray calls the processes of a role."""
RAYS = {"gcs_server": "gcs_server", "raylet": "raylet", "agent": "ray::DashboardAgent"}
"""And its own: the beginning of what each calls itself."""
NAMES = {role: role for role in CLASSES} | {"scorer": "anchor"} | dict.fromkeys(RAYS, "ray")
"""What events.jsonl calls the role."""
ENDS = ("interrupt", "tear", "fill")
"""Of a driver, by Ctrl-C."""
GONE_SECONDS = 120.0
"""Nothing of a killed driver may be left after this."""


class SoakError(Exception):
    """The run did not come to its end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One attack, some seconds after so many steps."""

    step: int
    delay: float
    what: str
    """kill, stop, interrupt, tear (and its newest state is torn meanwhile), fill (and its disk is
    full when it goes on) or scale"""
    role: str
    workers: int = 0
    """Wanted, of a scaling."""

    def __str__(self) -> str:
        target = f"to {self.workers} rollouts" if self.what == "scale" else self.role
        return f"{self.what} {target} {self.delay:.2f} s after step {self.step}"


def drawn_plan(
    steps: int,
    seed: int,
    kills: Mapping[str, int],
    stops: int,
    scales: Sequence[int],
    **ends: int,
) -> list[Fault]:
    """Every attack at a random moment of its own part of the run; scalings keep their order.

    `ends`: how often the driver is ended in each of the ways that are not a kill.
    """
    dice = random.Random(seed)
    attacks = [("kill", role) for role, count in kills.items() for _ in range(count)]
    attacks += [("stop", "rollout")] * stops + [("scale", "rollout")] * len(scales)
    attacks += [(what, "driver") for what, count in ends.items() for _ in range(count)]
    dice.shuffle(attacks)
    counts = iter(scales)
    part = 0.85 * steps / len(attacks)
    return [
        Fault(
            step=1 + int((place + dice.random()) * part),
            delay=dice.random(),
            what=what,
            role=role,
            workers=next(counts) if what == "scale" else 0,
        )
        for place, (what, role) in enumerate(attacks)
    ]


@dataclass(kw_only=True, slots=True)
class Blow:
    """An attack that was carried out, and what followed, in seconds since then."""

    at: float
    what: str
    role: str
    noticed: float | None = None
    recovered: float | None = None
    """Until a replacement had done its first work."""
    groups_meanwhile: int | None = None
    """Finished by other rollout workers until then, as far as they were seen."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """How far a run was at a moment."""

    at: float
    last_step: float
    """When the newest step was recorded."""
    groups: dict[str, float]
    """Finished so far, by rollout worker's address."""


class Watch:
    """Looks at a live run several times a second, from outside."""

    def __init__(self, run: Path) -> None:
        self.samples: list[Sample] = []
        self._run = run
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Look no more."""
        self._over.set()
        self._thread.join()

    def groups_between(self, start: float, end: float) -> int:
        """Finished by any rollout worker."""
        inside = [sample.groups for sample in self.samples if start <= sample.at <= end]
        return int(
            sum(
                later[name] - earlier[name]
                for earlier, later in itertools.pairwise(inside)
                for name in earlier.keys() & later.keys()
            )
        )

    def first_step_after(self, moment: float) -> float | None:
        """When the first step after a moment was recorded."""
        return next((s.last_step for s in self.samples if s.last_step > moment), None)

    def _look(self) -> None:
        while not self._over.wait(0.3):
            self.samples.append(
                Sample(at=time.time(), last_step=newest_step(self._run), groups=self._groups())
            )

    def _groups(self) -> dict[str, float]:
        file = self._run / "prometheus_targets.json"
        entries = json.loads(file.read_text()) if file.is_file() else []
        addresses = [e["targets"][0] for e in entries if e["labels"]["role"] == "rollout"]
        found = {address: groups_at(address) for address in addresses}
        return {address: count for address, count in found.items() if count is not None}


def newest_step(run: Path) -> float:
    """When a step was recorded last."""
    return max(map(changed, (run / "rollouts").glob("*.parquet")), default=0.0)


def changed(file: Path) -> float:
    """When it was written; 0 where it has just been taken back."""
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def groups_at(address: str) -> float | None:
    """A worker's own count; None where nobody answers."""
    try:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=0.3) as page:
            text = page.read().decode()
    except OSError:
        return None
    count = re.search(r"^videothinker_rollout_groups_total (\S+)", text, re.MULTILINE)
    return float(count.group(1)) if count else None


class Attack:
    """Trains a configuration in spite of everything."""

    def __init__(self, config_file: Path, run: Path, steps: int, plan: Sequence[Fault]) -> None:
        self.blows: list[Blow] = []
        self.left_behind = 0
        self._config_file = config_file
        self._run = run
        self._steps = steps
        self.plan = plan
        self._dice = random.Random(len(plan))
        self._library = preloaded(run.parent) if any(one.what == "fill" for one in plan) else {}
        self._hands = ThreadPoolExecutor()
        self._command: Command
        self._end: Future[tuple[int, str, str]]

    def carry_out(self, say: Callable[[int, str], None]) -> Watch:
        """The whole run; ends when it ends."""
        self._start("train", self._config_file, f"out={self._run}")
        watch = Watch(self._run)
        try:
            for fault in self.plan:
                self._wait_for(fault.step, lambda done, f=fault: say(done, f"then {f}"))
                time.sleep(fault.delay)
                self._strike(fault)
            self._wait_for(self._steps, lambda done: say(done, "left alone"))
            require_success(self._end.result())
        finally:
            watch.end()
            for pid in self._command.living():
                os.kill(pid, signal.SIGKILL)
            self._hands.shutdown()
        return watch

    def _start(self, *arguments: str | Path) -> None:
        self._command = Command(*arguments)
        self._end = self._hands.submit(self._command.finish, 3600)

    def _wait_for(self, steps: int, say: Callable[[int], None]) -> None:
        def there() -> bool:
            done = len(read_lines(self._run / "metrics.jsonl"))
            say(done)
            return done >= steps

        self._wait_until(there)

    def _wait_until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            if self._end.done():
                require_success(self._end.result())
                assert condition(), f"{self._run}: over too early"
            time.sleep(0.05)

    def _strike(self, fault: Fault) -> None:
        if fault.what == "scale":
            arguments = ("scale", self._run, "--rollouts", str(fault.workers))
            require_success(Command(*arguments).finish())
        elif fault.what in ENDS:
            os.killpg(self._command.process.pid, signal.SIGINT)
        elif fault.role == "driver":  # and nobody is left to see that a worker of it hangs
            os.kill(self._victim("rollout"), signal.SIGSTOP)
            os.kill(self._command.process.pid, signal.SIGKILL)
        else:
            os.kill(self._victim(fault.role), stop_or_kill(fault.what))
        self.blows.append(Blow(at=time.time(), what=fault.what, role=fault.role))
        if fault.role == "driver":
            code, _, err = self._end.result()
            if fault.what in ENDS:
                require_interrupted(self._run, code, err)
            self._hands.submit(self._count_left, self._command)
            if fault.what == "tear":
                tear(self._run)
            if fault.what == "fill":
                self._run_into_a_full_disk()
            self._start("train", "--resume", self._run)
            self._wait_until(lambda: newest_step(self._run) > self.blows[-1].at)

    def _run_into_a_full_disk(self) -> None:
        """It goes on as far as its next state, and says what is wrong."""
        states = self._run / "stages" / "*" / "state" / "*"
        full = self._library | disk_fault(states, "open", "write", error=errno.ENOSPC)
        command = Command("train", "--resume", self._run, environment=full)
        code, _, err = command.finish(3600)
        if code != 1 or "no space left on the disk" not in err.splitlines()[-1]:
            raise SoakError(f"exit code {code} with a full disk: {err[-3000:]}")

    def _victim(self, role: str) -> int:
        deadline = time.monotonic() + 120
        title = RAYS.get(role) or f"ray::{CLASSES[role]}"
        while time.monotonic() < deadline:
            found = [pid for pid in self._command.living() if is_running(pid, title)]
            if found:
                return self._dice.choice(sorted(found))
            time.sleep(0.1)
        raise SoakError(f"{self._run}: no {role} appeared within 120 s")

    def _count_left(self, command: Command) -> None:
        if not command.all_gone(GONE_SECONDS):
            self.left_behind += len(command.living())


def stop_or_kill(what: str) -> signal.Signals:
    """By name of the attack."""
    return signal.SIGSTOP if what == "stop" else signal.SIGKILL


def tear(run: Path) -> None:
    """Half of the newest state's largest file is gone, if there is a state."""
    states = sorted(run.glob("stages/*/state/step_*"), key=lambda state: state.stat().st_mtime)
    for state in states[-1:]:
        files = [file for file in state.rglob("*") if file.is_file()]
        largest = max(files, key=lambda file: file.stat().st_size)
        os.truncate(largest, largest.stat().st_size // 2)


def is_running(pid: int, title: str) -> bool:
    """Whether this is a process of that title, and not stopped already."""
    try:
        told = Path(f"/proc/{pid}/cmdline").read_text().partition("\0")[0]
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return Path(told).name.startswith(title) and state not in "TZ"


def require_success(finished: tuple[int, str, str]) -> None:
    """A command's end as `Command.finish` gives it."""
    code, _, err = finished
    if code != 0:
        raise SoakError(f"exit code {code}: {err[-3000:]}")


def require_interrupted(run: Path, code: int, err: str) -> None:
    """As Ctrl-C ends a run."""
    state = read_json(run / "status.json").get("state")
    if (code, state) != (130, "interrupted"):
        raise SoakError(f"exit code {code}, {state} after Ctrl-C: {err[-3000:]}")


def follow_up(blows: Sequence[Blow], events: Sequence[Mapping[str, Any]], watch: Watch) -> None:
    """Fill in when each loss was noticed and made good."""
    lost = {role: [e for e in events if is_event(e, "lost", role)] for role in NAMES}
    for blow in blows:
        if blow.role == "driver" or blow.role in RAYS:
            step = watch.first_step_after(blow.at)
            blow.recovered = step and step - blow.at
        if blow.role != "driver" and blow.what != "scale":
            loss = next((e for e in lost[blow.role] if e["time"] > blow.at), None)
            if loss is not None:
                lost[blow.role].remove(loss)
                blow.noticed = loss["time"] - blow.at
                blow.recovered = blow.recovered or seconds_to_service(blow, loss, events)
        if blow.recovered is not None:
            blow.groups_meanwhile = watch.groups_between(blow.at, blow.at + blow.recovered)


def seconds_to_service(
    blow: Blow, loss: Mapping[str, Any], events: Sequence[Mapping[str, Any]]
) -> float | None:
    """Until whoever took the lost one's place had done something; None where nobody was to.

    `served` has the seconds since the place became empty, so it tells which losses it ends: a place
    that was given up by a scaling may be lost and filled again later.
    """
    process = "learner" if blow.role == "learner" else loss["process"]
    for event in events:
        if event["event"] == "served" and event["process"] == process:
            empty_since = event["time"] - event["seconds"]
            if empty_since < loss["time"] + 0.5 < event["time"] + 0.5:
                return float(event["time"] - blow.at)
    return None


def is_event(event: Mapping[str, Any], kind: str, role: str) -> bool:
    """Whether it tells this of that role."""
    return event["event"] == kind and event["role"] == NAMES[role]
