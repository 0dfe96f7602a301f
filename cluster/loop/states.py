"""A stage's resumable states: `state/step_000050/`, complete or absent.

Each rank writes its part, and what that is: `rank_N.json`. `progress.json` gathers those, with a
checksum of every file, and is what makes a folder a state.

    write in .step_000050.*.partial -> all of it on the disk -> its name -> that on the disk
    then, beside the training: read back from the disk -> as it was written? -> the oldest goes

Beside them, an anchor that is the policy of some steps ago: `anchor/step_000040/`, a model that the
learner writes and the scorers read. The groups of step s are scored by the policy as it was after
step `KLConfig.anchored_after(s - 1)`, 0 being the initial model; so whoever goes on from a state
needs the one of that state's step.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Thread

from cluster.workers.fleet import Fleet
from cluster.workers.learner import Learner
from videothinker.config.kl import KLConfig
from videothinker.errors import InputError
from videothinker.files import file_digest, read_json, whole_folder, write_json
from videothinker.run.copies import Copying
from videothinker.run.directory import RunDirectory

logger = logging.getLogger(__name__)

PROGRESS = "progress.json"


class States:
    """The states of a run, as it makes them and goes on from them.

    What was written is read back by a thread, not from memory. Only one that is as it was written
    counts among those that are kept; one that is not is said at once.
    """

    def __init__(self, run: RunDirectory, copying: Copying | None = None) -> None:
        self._run = run
        self._copying = copying or Copying(run.path, None)
        self._damaged: list[Path] = []
        self._reading: Thread | None = None

    def newest(self, stage: str) -> tuple[int, Path | None]:
        """Where a stage goes on from; status.json names the damaged states it could not."""
        self.wait()
        damaged: list[dict[str, str]] = []
        newest = newest_state(
            self._run.stage(stage), lambda *about: damaged.append(self._of(*about))
        )
        if damaged:
            self._run.status(passed_over=damaged)
        return newest

    def save(self, learner: Learner, stage: str, step: int, keep: int) -> None:
        """Another one; once it has been read back, the newest few are left."""
        self.wait()
        while self._damaged:
            shutil.rmtree(self._damaged.pop(), ignore_errors=True)
        folder = self._run.stage(stage)
        state = save_state(learner, folder, step)
        self._reading = Thread(target=self._read_back, args=(folder, state, keep), daemon=True)
        self._reading.start()

    def wait(self) -> None:
        """For the one that is being read back."""
        if self._reading is not None:
            self._reading.join()

    def rest(self, state: Path | None) -> None:
        """Before the run stops: until the state that it goes on from is also where it is copied."""
        self.wait()
        self._copying.wait()
        if state not in self._damaged:
            self._copying.begin(state)
            self._copying.wait()

    def drop(self, stage: str) -> None:
        """Of a stage that is finished: its model, which is copied now, is all that anybody needs of
        it."""
        self.wait()
        self._copying.wait()
        for state in _states(self._run.stage(stage)):
            shutil.rmtree(state)
        self._copying.begin(None)

    def _read_back(self, stage: Path, state: Path, keep: int) -> None:
        flaw = damage(state, from_disk=True)
        if flaw is None:
            self._copying.begin(state)
            try:
                forget_older(stage, state, keep, self._copying.state)
            except OSError as error:
                logger.warning("%s: older states cannot be removed: %s", stage / "state", error)
            return
        self._damaged.append(state)
        logger.warning("%s: %s. The states before it are kept; look at the disk", state, flaw)
        self._run.status(damaged=self._of(state, flaw))

    def _of(self, state: Path, reason: str) -> dict[str, str]:
        return {"state": str(state.relative_to(self._run.path)), "reason": reason}


def save_state(learner: Learner, stage: Path, step: int) -> Path:
    """Let every rank write its part, then give the folder its name."""
    states = stage / "state"
    for abandoned in states.glob(".step_*.partial"):
        shutil.rmtree(abandoned)
    folder = state_folder(stage, step)
    with whole_folder(folder, replace=True) as partial:
        learner.save_state(partial)
        _conclude(partial, step)
    return folder


def forget_older(stage: Path, newest: Path, keep: int, held: Path | None = None) -> None:
    """All but the newest few, and one that is being copied."""
    # what lies beyond was passed over when the run resumed
    beyond = [state for state in _states(stage) if state > newest]
    for old in [*beyond, *[state for state in _states(stage) if state <= newest][:-keep]]:
        if old != held:
            shutil.rmtree(old)


def state_folder(stage: Path, step: int) -> Path:
    """Of a stage's folder, where the state of a step is, if there is one."""
    return stage / "state" / f"step_{step:06d}"


def newest_state(
    stage: Path, passed_over: Callable[[Path, str], None] | None = None
) -> tuple[int, Path | None]:
    """The steps done and their folder, undamaged; (0, None) where there is none.

    `passed_over` is told of every newer state that is damaged, and what is wrong with it.
    """
    for folder in reversed(_states(stage)):
        flaw = damage(folder)
        if flaw is None:
            return int(read_json(folder / PROGRESS)["step"]), folder
        logger.warning("%s is passed over: %s", folder, flaw)
        if passed_over is not None:
            passed_over(folder, flaw)
    return 0, None


def damage(folder: Path, *, from_disk: bool = False) -> str | None:
    """Why a state cannot be resumed from; None where all of it is as it was written. `from_disk`:
    also where the system still has in memory what was written.

    Ranks load a state, which unpickles parts of it, only after this.
    """
    if not (folder / PROGRESS).is_file():
        return f"{PROGRESS} is missing"
    try:
        digests = dict(read_json(folder / PROGRESS)["digests"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return f"{PROGRESS} is damaged"
    for name, digest in digests.items():
        file = folder / name
        if not file.is_file():
            return f"{name} is missing"
        try:
            if file_digest(file, from_disk=from_disk) != digest:
                return f"{name} is not as it was written"
        except OSError as error:
            return f"{name} cannot be read ({error.strerror})"
    return None


def anchor_folder(stage: Path, step: int) -> Path:
    """Where the policy of a step lies, once it is written."""
    return stage / "anchor" / f"step_{step:06d}"


def require_anchor(stage: Path, step: int) -> Path:
    """The same; InputError where it is gone."""
    folder = anchor_folder(stage, step)
    if not folder.is_dir():
        raise InputError(
            f"{folder}: gone, and the newest state of its stage goes on with it as the anchor."
            f" Remove that state from {stage / 'state'}, to go on from an earlier one"
        )
    return folder


def write_anchor(fleet: Fleet, stage: Path, kl: KLConfig, step: int, base: Path) -> None:
    """The policy after a step, beside what the scorers have by then and what states need."""
    fleet.settle_scorers()  # or one might be reading what goes
    states = [int(state.name.removeprefix("step_")) for state in _states(stage)]
    drop_anchors(stage, kl, [*states, step - 1])
    fleet.learner.save_model(anchor_folder(stage, step), base)


def forget_anchors(fleet: Fleet, stage: Path, kl: KLConfig) -> None:
    """Of a stage that has made its last step."""
    fleet.anchor.load()
    fleet.settle_scorers()
    drop_anchors(stage, kl, [])


def drop_anchors(stage: Path, kl: KLConfig, done: Sequence[int]) -> None:
    """All that nobody needs who goes on after one of the steps done."""
    needed = {anchor_folder(stage, kl.anchored_after(step)) for step in done}
    for folder in (stage / "anchor").glob("step_*"):
        if folder not in needed:
            shutil.rmtree(folder)


def _conclude(partial: Path, step: int) -> None:
    """Gather the ranks' own accounts into progress.json, on the disk before it counts."""
    accounts = sorted(partial.glob("rank_*.json"))
    parts = [read_json(account) for account in accounts]
    digests = {name: digest for part in parts for name, digest in part["digests"].items()}
    content = {"step": step, **parts[0], "digests": digests}
    write_json(partial / PROGRESS, content)
    for account in accounts:
        account.unlink()


def _states(stage: Path) -> list[Path]:
    return sorted((stage / "state").glob("step_*"))
