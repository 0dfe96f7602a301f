"""A reward on completions that a run has made already, before anything is trained on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from videothinker.config.rewards import RewardConfig
from videothinker.errors import InputError
from videothinker.files import last_lines
from videothinker.method.paying import Rewards
from videothinker.progress import ProgressLine
from videothinker.run.rollouts import read_groups
from videothinker.terminal_text import text_table
from videothinker.types import Question

COLUMNS = (
    *("prompt_id", "video", "also", "text", "options", "answer", "category", "kind", "tolerance"),
    *("start", "end", "wording", "completions", "rewards"),
)
SHOWN = 8
WORDS = 72
"""Characters of a completion that are shown, its last."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Paid:
    """A completion, what it earned in the run and what the function pays."""

    id: str
    answer: str
    completion: str
    rewards: float
    paid: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """What a function pays for the newest groups of a run."""

    name: str
    groups: int
    failures: tuple[str, ...]
    """Why it did not pay for some of the groups."""
    equal: int
    """Groups that it pays alike, in which it teaches nothing."""
    paid: tuple[Paid, ...]
    printed: str

    def as_dict(self) -> dict[str, Any]:
        """What `videothinker reward try --json` prints."""
        values = [one.paid for one in self.paid]
        return {
            "reward": self.name,
            "groups": self.groups,
            "failures": list(self.failures),
            "mean": fmean(values) if values else None,
            "lowest": min(values, default=None),
            "highest": max(values, default=None),
            "equal_reward_groups": self.equal / max(1, self.groups - len(self.failures)),
            "paid": [asdict(one) for one in self.paid],
        }

    def text(self) -> str:
        """The lowest and the highest, and what all of them come to."""
        ranked = sorted(self.paid, key=lambda one: one.paid)
        some = ranked if len(ranked) <= SHOWN else ranked[: SHOWN // 2] + ranked[-SHOWN // 2 :]
        rows = [
            (f"{one.paid:.3g}", f"{one.rewards:.3g}", one.answer, tail(one.completion))
            for one in reversed(some)
        ]
        lines = [text_table([(self.name, "in the run", "right", "completion")], rows, right=(0, 1))]
        if ranked:
            mean = fmean(one.paid for one in ranked)
            lines.append(
                f"\n{len(ranked)} completions of {self.groups} groups: mean {mean:.3g}, from"
                f" {ranked[0].paid:.3g} to {ranked[-1].paid:.3g}; in {self.equal} of the groups all"
                " are paid alike, which teaches nothing"
            )
        return "\n".join(lines)


def try_reward(reward: RewardConfig, run: Path, steps: int) -> Trial:
    """Pay for the groups of a run's newest steps; InputError where there is nothing to show."""
    rows = list(newest(run, steps))
    if not rows:
        raise InputError(f"{run}: no rollouts there; name the folder of a run that made a step")
    paid: list[Paid] = []
    failures: list[str] = []
    equal, printed = 0, ""
    with closing(Rewards([reward])) as rewards, ProgressLine(reward.title) as progress:
        for done, row in enumerate(rows, start=1):
            try:
                [values] = rewards.of(question_of(row), row["completions"]).values()
            except InputError as error:
                failures.append(str(error))
                continue
            printed += rewards.printed()
            equal += len(set(values.tolist())) < 2
            paid += [
                Paid(id=row["prompt_id"], answer=row["answer"], completion=text, rewards=r, paid=v)
                for text, r, v in zip(
                    row["completions"], row["rewards"], values.tolist(), strict=True
                )
            ]
            progress(done, len(rows))
    if not paid:
        raise InputError(failures[0])
    return Trial(
        name=reward.title,
        groups=len(rows),
        failures=tuple(failures),
        equal=equal,
        paid=tuple(paid),
        printed=printed,
    )


def newest(run: Path, steps: int) -> Iterator[dict[str, Any]]:
    """The groups of the newest steps that have any."""
    for line in last_lines(run / "metrics.jsonl", steps):
        yield from read_groups(run, line["stage"], line["step"], COLUMNS, every=True)


def question_of(row: dict[str, Any]) -> Question:
    """The question of a row; runs of earlier versions left out what goes without saying."""
    usual = {key: row[key] for key in ("kind", "wording") if row.get(key)}
    return Question(
        id=row["prompt_id"],
        options=tuple((option["letter"], option["text"]) for option in row["options"]),
        tolerance=row.get("tolerance"),
        also=tuple(row.get("also") or ()),
        **{key: row[key] for key in ("video", "text", "answer", "category", "start", "end")},
        **usual,
    )


def tail(text: str) -> str:
    """The end of a completion, where its answer is, in one line."""
    line = " ".join(text.split())
    return line if len(line) <= WORDS else f"...{line[-WORDS:]}"
