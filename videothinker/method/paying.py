"""What a run pays: rewards of ours, and functions of the user's, each in a process of its own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np

from videothinker.child import Child, Crashed, Unready
from videothinker.config.rewards import RewardConfig
from videothinker.errors import InputError
from videothinker.files import file_digest
from videothinker.method.rewards import REWARDS
from videothinker.packages import ROOT
from videothinker.types import Question

CARRIED = ROOT / "carried"
"""Where a job finds the files that were uploaded with it."""


class Rewards:
    """The rewards of a configuration. A function that crashes or hangs costs one group."""

    def __init__(self, rewards: Sequence[RewardConfig]) -> None:
        self._rewards = rewards
        self._called = {one.title: Called(one) for one in rewards if one.call is not None}
        self._thread = ThreadPoolExecutor(1, "rewards")

    async def soon(self, question: Question, completions: Sequence[str]) -> dict[str, np.ndarray]:
        """As `of`, without keeping whoever waits from other work; in the order of the calls."""
        if not self._called:
            return self.of(question, completions)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self.of, question, completions)

    def of(self, question: Question, completions: Sequence[str]) -> dict[str, np.ndarray]:
        """Each reward of G completions, weighted: {title: [G] float32}; InputError names the one
        that fails.
        """
        return {
            one.title: np.array(
                [one.weight * value for value in self._values(one, question, completions)],
                dtype=np.float32,
            )
            for one in self._rewards
        }

    def printed(self) -> str:
        """What the functions printed about the last group."""
        return "".join(called.printed() for called in self._called.values())

    def _values(
        self, reward: RewardConfig, question: Question, completions: Sequence[str]
    ) -> Sequence[float]:
        if reward.name is not None:
            return [REWARDS[reward.name](text, question) for text in completions]
        return self._called[reward.title].pay(question, completions)

    def close(self) -> None:
        """End the processes, also under a group that is just being paid."""
        for called in self._called.values():
            called.kill()
        self._thread.shutdown(cancel_futures=True)
        for called in self._called.values():
            called.close()


class Called:
    """A function of the user's."""

    def __init__(self, reward: RewardConfig) -> None:
        self._reward = reward
        file, function = source(reward), reward.place[1]
        command = (sys.executable, "-P", "-m", "videothinker.method.called", str(file), function)
        self._child = Child((*command, f"{reward.memory_gb:g}"))

    def pay(self, question: Question, completions: Sequence[str]) -> list[float]:
        """Unweighted."""
        where, seconds = f"{self._reward.place[0].name}:{self._reward.title}", self._reward.seconds
        request = {"question": asdict(question), "completions": list(completions)}
        try:
            said, _ = self._child.ask(request, seconds)
        except TimeoutError:
            problem = f"took longer than {seconds:g} s for one group (its `seconds`)"
        except Crashed as error:
            problem = f"its process crashed ({error})"
        except Unready as error:
            reason = str(error).removeprefix("exit code 1: ")
            problem = f"cannot be loaded ({reason})"
        else:
            if "error" not in said:
                return [float(value) for value in said["paid"]]
            problem = said["error"]
        raise InputError(f"reward {where}: {problem}")

    def printed(self) -> str:
        """What it printed about the last group."""
        return self._child.printed()

    def kill(self) -> None:
        """End its process from any thread."""
        self._child.kill()

    def close(self) -> None:
        """End its process; another group would start another."""
        self._child.close()


def source(reward: RewardConfig) -> Path:
    """The file of a call: as it came with the job, else where it was named."""
    carried = CARRIED / carried_name(reward)
    return carried if carried.is_file() else reward.place[0]


def carried_name(reward: RewardConfig) -> str:
    """Of its file in a job."""
    return f"{reward.title}.py"


def described(reward: RewardConfig) -> str:
    """For the lineage: which function of which file it was, by content."""
    weight = "" if reward.weight == 1 else f"{reward.weight:g} x "
    if reward.call is None:
        return f"{weight}{reward.title}"
    return f"{weight}{reward.place[0].name}:{reward.title} ({file_digest(source(reward))[:12]})"
