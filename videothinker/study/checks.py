"""What the settings of a study say of each other."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from videothinker.config.checks.run import cross_checks
from videothinker.config.loading import load_settings
from videothinker.study.cells import cells, runs_of
from videothinker.study.config import StudyConfig


def load_study(path: Path, overrides: Sequence[str] = ()) -> StudyConfig:
    """A study's settings; ConfigError names everything that is wrong."""
    return load_settings(StudyConfig, path, overrides, study_checks)


def study_checks(study: StudyConfig) -> Iterator[str]:
    """What cannot hold together, of the study and of the runs it is made of."""
    own = [
        *(*_check_repeats(study), *_check_names(study)),
        *(*_check_anchors(study), *_check_learners(study)),
    ]
    yield from own
    known = {_key(text) for text in own}
    yield from (text for text in _check_runs(study) if _key(text) not in known)


def _key(text: str) -> str:
    """The setting that a sentence is about."""
    return text.partition(" ")[0]


def _check_runs(study: StudyConfig) -> Iterator[str]:
    """What is said of any run: a study calls its stages arms, and what all have is told once."""
    said = set[str]()
    learners = [arm.learner or study.learner for arm in study.arms]
    for run in runs_of(study, cells(study)[0]):
        numbers = [place for place, learner in enumerate(learners) if learner == run.learner]
        own = "" if run.learner == study.learner else f"arms.{numbers[0]}."
        for text in cross_checks(run):
            parts = re.split(r"\bstages\.(\d+)", text)
            parts[1::2] = [f"arms.{numbers[int(place)]}" for place in parts[1::2]]
            told = "".join(parts)
            if told not in said:
                yield re.sub(r"\blearner\.(?=\w)", f"{own}learner.", told)
            said.add(told)


def _check_learners(study: StudyConfig) -> Iterator[str]:
    """What arms with learner settings of their own say of the others, which other runs train."""
    learners = [arm.learner or study.learner for arm in study.arms]
    for number, arm in enumerate(study.arms):
        where = f"arms.{number}"
        if arm.learner == study.learner:
            yield f"{where}.learner has no effect: the study's has the same settings. Leave it out"
        others = [
            (place, one.name)
            for place, one in enumerate(study.arms)
            if learners[place] != learners[number]
        ]
        if arm.name in [name for place, name in others if place < number]:
            yield (
                f"{where}.name = {arm.name!r}: an earlier arm has this name, and results are kept"
                " by name. Give each arm its own"
            )
        if arm.kl.asks and arm.kl.anchor in dict(others).values():
            yield (
                f"{where}.kl.anchor = {arm.kl.anchor!r}: that arm has another learner, so another"
                f" run trains it. Name an arm before {arm.name} that has the same learner"
            )


def _check_repeats(study: StudyConfig) -> Iterator[str]:
    names = {
        "warm_starts": [cell.warm_start for cell in cells(study)[: len(study.warm_starts)]],
        "seeds": [str(seed) for seed in study.seeds],
    }
    for key, values in names.items():
        again = [value for value, count in Counter(values).items() if count > 1]
        if again:
            yield (
                f"{key}: {again[0]} is named twice, and its results would count double. Name each"
                " once"
            )


def _check_anchors(study: StudyConfig) -> Iterator[str]:
    """Each cell would pin a branch for itself, and arms that are added later another commit."""
    on_hub = {name for run in runs_of(study, cells(study)[0]) for name in run.hub_names}
    for number, arm in enumerate(study.arms):
        if arm.kl.anchor in on_hub:
            yield (
                f"arms.{number}.kl.anchor = {arm.kl.anchor!r}: a study takes folders. Bring it with"
                " `hf download`, and name its folder"
            )


def _check_names(study: StudyConfig) -> Iterator[str]:
    known = study.arm_names
    named = [("reference", study.reference)]
    named += [(f"compare.{n}", arm) for n, pair in enumerate(study.compare) for arm in pair]
    for key, name in named:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {close[0]!r}?" if close else f"There are: {', '.join(known)}."
            yield (f"{key} = {name!r}: no arm has this name. {hint}")
    for number, name in enumerate(study.curves):
        if name not in known[1:]:
            yield (
                f"curves.{number} = {name!r}: no arm that is trained has this name. There are:"
                f" {', '.join(known[1:])}."
            )
    for number, (first, second) in enumerate(study.compare):
        if first == second:
            yield (f"compare.{number}: {first} is compared with itself. Name two arms")
