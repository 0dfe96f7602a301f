"""What a run can suffer: who is killed, stopped, interrupted, added or sent away, which disk is
full, which state is torn, when, and what followed.
"""

from __future__ import annotations

import errno
import math
import os
import random
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli_process import Command
from failing_disk import fault as disk_fault
from failing_disk import preloaded
from two_hosts import TwoHosts
from watching import Watch, newest_step

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
HOSTS = ("other", "hosts")
"""Of two: the one without the driver, and both."""
NAMES = {role: role for role in CLASSES} | {"scorer": "anchor"} | dict.fromkeys(RAYS, "ray")
"""What events.jsonl calls the role."""
ENDS = ("interrupt", "tear", "fill")
"""Of a driver, by Ctrl-C."""
CUT_SECONDS = (1.0, 40.0)
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
    full when it goes on), cut (off, for some seconds) or scale"""
    role: str
    workers: int = 0
    """Wanted, of a scaling."""
    seconds: float = 0.0
    """For which a machine is cut off."""

    def __str__(self) -> str:
        target = f"to {self.workers} rollouts" if self.what == "scale" else self.role
        return f"{self.what} {target} {self.delay:.2f} s after step {self.step}"


def drawn_plan(
    steps: int,
    seed: int,
    kills: Mapping[str, int],
    stops: int,
    scales: Sequence[int],
    cuts: int = 0,
    **ends: int,
) -> list[Fault]:
    """Every attack at a random moment of its own part of the run; scalings keep their order.

    `ends`: how often the driver is ended in each of the ways that are not a kill.
    """
    dice = random.Random(seed)
    attacks = [("kill", role) for role, count in kills.items() for _ in range(count)]
    attacks += [("stop", "rollout")] * stops + [("scale", "rollout")] * len(scales)
    attacks += [("cut", "other")] * cuts
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
            seconds=dice.uniform(*CUT_SECONDS) if what == "cut" else 0.0,
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

    @property
    def ends_all(self) -> bool:
        """Whether no process of the run outlives it."""
        return self.role in ("driver", "hosts", *RAYS)


class Attack:
    """Trains a configuration in spite of everything."""

    def __init__(
        self,
        config_file: Path,
        run: Path,
        steps: int,
        plan: Sequence[Fault],
        hosts: TwoHosts | None = None,
    ) -> None:
        self._hosts = hosts
        self._inside = hosts.inside if hosts else ()
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
        self._command = Command(*arguments, inside=self._inside)
        self._end = self._hands.submit(self._command.finish, None)

    def _wait_for(self, steps: int, say: Callable[[int], None]) -> None:
        def there() -> bool:
            done = len(read_lines(self._run / "metrics.jsonl"))
            say(done)
            return done >= steps

        self._wait_until(there)

    def _wait_until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            if self._hosts is not None:
                self._hosts.keep_up()
            if self._end.done() and not self._ended_by_ray():
                require_success(self._end.result())
                assert condition(), f"{self._run}: over too early"
            time.sleep(0.05)

    def _ended_by_ray(self) -> bool:
        """Its own code ends the driver where it is faster than ours: the same command goes on."""
        code, _, _ = self._end.result()
        error = str(read_json(self._run / "status.json").get("error"))
        if code != 1 or not error.startswith("Ray lost"):
            return False
        self._start("train", "--resume", self._run)
        return True

    def _strike(self, fault: Fault) -> None:
        if fault.role in HOSTS:
            self._strike_hosts(fault)
        elif fault.what == "scale":
            arguments = ("scale", self._run, "--rollouts", str(fault.workers))
            require_success(Command(*arguments, inside=self._inside).finish())
        elif fault.what in ENDS:
            os.killpg(self._command.process.pid, signal.SIGINT)
        elif fault.role == "driver":  # and nobody is left to see that a worker of it hangs
            os.kill(self._victim("rollout"), signal.SIGSTOP)
            os.kill(self._command.process.pid, signal.SIGKILL)
        else:
            os.kill(self._victim(fault.role), stop_or_kill(fault.what))
        if fault.role not in HOSTS:
            self._note(fault)
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

    def _note(self, fault: Fault) -> None:
        self.blows.append(Blow(at=time.time(), what=fault.what, role=fault.role))

    def _strike_hosts(self, fault: Fault) -> None:
        assert self._hosts is not None
        if fault.role == "hosts" or self._other_works():
            self._note(fault)
        if fault.what == "cut":
            self._hosts.cut_off(fault.seconds)
        elif fault.role == "other":
            self._hosts.lose_other()
        else:
            self._hosts.lose()
            code, _, err = self._end.result()
            if code != 1 or not err.splitlines()[-1].endswith(" is gone"):
                raise SoakError(f"exit code {code} without its machines: {err[-3000:]}")
            self._hosts.start()
            self._start("train", "--resume", self._run)

    def _other_works(self) -> bool:
        """Whether a worker of the run is on the other machine, which may be missed."""
        assert self._hosts is not None
        titles = [f"ray::{name}" for name in CLASSES.values()]
        return any(is_running(pid, one) for pid in self._hosts.on_the_other() for one in titles)

    def _run_into_a_full_disk(self) -> None:
        """It goes on as far as its next state, and says what is wrong."""
        states = self._run / "stages" / "*" / "state" / "*"
        full = self._library | disk_fault(states, "open", "write", error=errno.ENOSPC)
        command = Command("train", "--resume", self._run, inside=self._inside, environment=full)
        code, _, err = command.finish(3600)
        if code != 1 or "no space left on the disk" not in err.splitlines()[-1]:
            raise SoakError(f"exit code {code} with a full disk: {err[-3000:]}")

    def _victim(self, role: str) -> int:
        deadline = time.monotonic() + 120
        title = RAYS.get(role) or f"ray::{CLASSES[role]}"
        while time.monotonic() < deadline:
            living = self._command.living() + (self._hosts.living() if self._hosts else [])
            found = [pid for pid in living if is_running(pid, title)]
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
    """Fill in when each loss was noticed and made good; nobody notices any more what another blow
    has ended meanwhile, with all the rest."""
    lost = {role: [e for e in events if is_event(e, "lost", role)] for role in NAMES}
    lost["other"] = [event for event in events if event["event"] == "lost"]
    for blow in blows:
        end = next((one.at for one in blows if one.ends_all and one.at > blow.at), math.inf)
        found = (e for e in lost.get(blow.role, ()) if blow.at < e["time"] < end)
        loss = next(found, None)
        if loss is not None and blow.what != "scale":
            lost[blow.role].remove(loss)
            blow.noticed = loss["time"] - blow.at
            if blow.role in CLASSES:
                blow.recovered = seconds_to_service(blow, loss, events)
        if blow.role not in CLASSES:
            step = watch.first_step_after(blow.at)
            blow.recovered = step and step - blow.at
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
