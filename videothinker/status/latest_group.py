"""The newest question that a run put to its policy, with one right and one wrong answer."""

from __future__ import annotations

from dataclasses import dataclass

from videothinker.errors import InputError
from videothinker.run.rollouts import read_groups
from videothinker.status.snapshot import Fields, Snapshot

STEPS_SEARCHED = 3
TEXTS = ("text", "answer", "category", "completions", "rewards")
ACCURACIES = ("reward_soft_accuracy", "reward_accuracy", "reward_strict_accuracy")
"""Columns that say how right a completion is; without one, the reward does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RewardedText:
    """One completion and what it earned."""

    text: str
    reward: float


@dataclass(frozen=True, kw_only=True, slots=True)
class LatestGroup:
    """A question, and of its completions one that is right and one that is not, if there are."""

    stage: str
    step: int
    question: str
    answer: str
    category: str
    right: RewardedText | None
    wrong: RewardedText | None


def latest_group(run: Snapshot) -> LatestGroup | None:
    """Of the newest step whose file can be read; one with both kinds of answers if it has one."""
    for line in list(run.metrics)[: -STEPS_SEARCHED - 1 : -1]:
        stage, step = line["stage"], int(line["step"])
        groups = [_group(row, stage, step) for row in _rows(run, stage, step)]
        if groups:
            return next((group for group in groups if group.right and group.wrong), groups[0])
    return None


def _rows(run: Snapshot, stage: str, step: int) -> list[Fields]:
    try:
        rows = read_groups(run.path, stage, step, TEXTS + ACCURACIES)
    except InputError:
        return []  # copied in part, or damaged
    return [row for row in rows if row.get("completions") and row.get("rewards")]


def _group(row: Fields, stage: str, step: int) -> LatestGroup:
    rewards = row["rewards"]
    scores = next((row[name] for name in ACCURACIES if row.get(name)), None)
    judged, enough = (scores, 1.0) if scores else (rewards, max(rewards))
    right: list[RewardedText] = []
    wrong: list[RewardedText] = []
    for text, reward, score in zip(row["completions"], rewards, judged, strict=False):
        answer = RewardedText(text=str(text), reward=float(reward))
        (right if score >= enough else wrong).append(answer)
    return LatestGroup(
        stage=stage,
        step=step,
        question=str(row.get("text") or ""),
        answer=str(row.get("answer") or ""),
        category=str(row.get("category") or ""),
        right=max(right, key=lambda answer: answer.reward, default=None),
        wrong=min(wrong, key=lambda answer: answer.reward, default=None),
    )
