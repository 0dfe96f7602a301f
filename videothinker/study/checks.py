"""What the settings of a study say of each other."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from videothinker.config.checks import cross_checks
from videothinker.config.loading import load_settings
from videothinker.study.cells import cells, run_of
from videothinker.study.config import StudyConfig


def load_study(path: Path, overrides: Sequence[str] = ()) -> StudyConfig:
    """A study's settings; ConfigError names everything that is wrong."""
    return load_settings(StudyConfig, path, overrides, study_checks)


def study_checks(study: StudyConfig) -> Iterator[str]:
    """What cannot hold together, of the study and of the runs it is made of."""
    yield from _check_repeats(study)
    yield from _check_names(study)
    yield from _check_anchors(study)
    for text in cross_checks(run_of(study, cells(study)[0])):
        yield text.replace("stages.", "arms.")  # a study calls a run's stages so


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
    on_hub = run_of(study, cells(study)[0]).hub_names
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
