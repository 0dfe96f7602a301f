"""What a run asks: the questions of its files, under the categories that its own probes gave them
where `data.category` is probe.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from videothinker.config.settings import RunConfig, StageConfig
from videothinker.data.questions import read_questions, read_weights
from videothinker.data.stream import select
from videothinker.errors import InputError
from videothinker.types import Question
from videothinker.video.frames import is_picture

VALIDATION = "base"
"""Whose folder has what was probed for no stage: the model that is asked first."""


def probed(run: Path, name: str) -> Path:
    """The folder of what a run's probes found."""
    return run / "stages" / name / "probe"


def to_probe(config: RunConfig) -> dict[str, list[Question]]:
    """All that a run will ask, by the first stage that asks it."""
    if config.data.category != "probe":
        return {}
    chosen: dict[str, list[Question]] = {}
    for stage in config.stages:
        name = _name(config, stage)
        drawn = select(read_questions(stage.questions), stage.limit, config.seed)
        if len(drawn) > len(chosen.get(name, ())):  # a smaller draw is a part of a larger one
            chosen[name] = drawn
    if validated := _validated(config):
        chosen[VALIDATION] = validated
    return chosen


def labels_of(config: RunConfig, run: Path, stage: StageConfig) -> Path | None:
    """The file of a stage's questions as they were probed; None where they were not."""
    if config.data.category != "probe":
        return None
    return probed(run, _name(config, stage)) / "questions.parquet"


def stage_questions(config: RunConfig, run: Path, stage: StageConfig) -> list[Question]:
    """Those of a stage, of which `limit` has chosen some, and `category` some of these."""
    questions = select(read_questions(stage.questions), stage.limit, config.seed)
    if (labels := labels_of(config, run, stage)) is not None:
        questions = as_probed(questions, labels)
    chosen = [one for one in questions if stage.category in (None, one.category)]
    if questions and not chosen:
        raise InputError(
            f"stages.{config.stages.index(stage)}.category: of {len(questions)} questions none is"
            f" {stage.category}. Leave it out, or name a file with others"
        )
    return chosen


def stage_weights(
    config: RunConfig, stage: StageConfig, questions: Sequence[Question]
) -> list[float]:
    """What each of a stage's questions weighs, where its draw goes by a column."""
    known = read_weights(stage.questions, stage.draw.column)
    weights = [known[one.id] for one in questions]
    if not any(weights):
        raise InputError(
            f"{stage.questions}: column {stage.draw.column!r} is 0 for all {len(weights)} questions"
            f" of stages.{config.stages.index(stage)}, so none would be drawn. Give some a weight,"
            " or set draw.by to uniform"
        )
    return weights


def drawn_ahead(config: RunConfig, stage: StageConfig) -> int:
    """Positions by which drawing may be ahead of what is known: prompts are begun for the step
    after one that is `max_staleness` steps ahead of the one that is trained.
    """
    return (2 + config.rollout.max_staleness) * (stage.prompts_per_step + config.sampling.refill)


def validation_questions(config: RunConfig, run: Path, count: int) -> list[Question]:
    """The first of the validation questions, in each of the run's wordings; none where there is no
    file of them."""
    questions = _validated(config)[:count]
    if questions and config.data.category == "probe":
        questions = as_probed(questions, probed(run, VALIDATION) / "questions.parquet")
    wordings = config.prompts.each
    return [replace(one, wording=wording) for wording in wordings for one in questions]


def as_probed(questions: Sequence[Question], labels: Path) -> list[Question]:
    """The same under the categories that probes gave them."""
    known = {one.id: one.category for one in read_questions(labels)}
    return [replace(one, category=known[one.id]) for one in questions]


def _name(config: RunConfig, stage: StageConfig) -> str:
    """Stages that ask of the same file have their labels in one place."""
    return next(one.name for one in config.stages if one.questions == stage.questions)


def _validated(config: RunConfig) -> list[Question]:
    """As many as any validation of the run asks."""
    if config.data.validation is None:
        return []
    while_training = [one.validate_questions for one in config.stages if one.validate_every]
    most = max(config.data.validation_questions, *while_training, 0)
    return read_questions(config.data.validation)[:most]


def whole_views(config: RunConfig, file: Path, questions: Sequence[Question]) -> Iterator[str]:
    """Stages whose anchor is to see less of a file's questions, of none of which there is less."""
    for number, stage in enumerate(config.stages):
        view = stage.kl.anchor_view
        if stage.questions != file or not stage.kl.asks or view == "video":
            continue
        drawn = select(questions, stage.limit, config.seed)
        shown = {path for question in drawn for path in question.shows}
        timed = view in ("frame", "shuffled")
        if timed:
            shown = {path for path in shown if not is_picture(Path(path))}
        if drawn and not shown:
            yield (
                f"stages.{number}.kl.anchor_view = {view!r}: no question that is drawn from {file}"
                f" shows {'a video' if timed else 'anything'}, so the anchor would see all of each."
                f" {'Use blind or masked' if timed else 'Leave it out'}, or name other questions"
            )


def unfit_draws(config: RunConfig, file: Path, questions: Sequence[Question]) -> Iterator[str]:
    """Why stages cannot draw from a file as they are configured; of what probes find, later."""
    for number, stage in enumerate(config.stages):
        if stage.questions != file:
            continue
        chosen = select(questions, stage.limit, config.seed)
        known = config.data.category == "given" or stage.category is None
        if known:
            chosen = [one for one in chosen if stage.category in (None, one.category)]
        if stage.draw.by == "column":
            try:
                stage_weights(config, stage, chosen)
            except InputError as error:
                yield str(error)
        if stage.draw.by == "difficulty" and known:
            yield from _never_resting(f"stages.{number}", config, stage, len(chosen))


def _never_resting(where: str, config: RunConfig, stage: StageConfig, count: int) -> Iterator[str]:
    """Why no question is known to be too easy or too hard when a stage draws it again."""
    most = stage.steps * (stage.prompts_per_step + config.sampling.refill)
    ahead, rest = drawn_ahead(config, stage), stage.draw.rest
    if most <= count:
        yield (
            f"{where}.draw.by = 'difficulty' has no effect: {where} asks at most {most} questions,"
            f" and there are {count}, so that none is asked again. Raise {where}.steps, or lower"
            f" {where}.limit"
        )
    elif rest * count <= ahead:
        yield (
            f"{where}.draw.rest = {rest} has no effect: {ahead} questions are drawn before the"
            f" answers to them are known, and {rest} rounds are {rest * count}. Raise it to"
            f" {ahead // count + 1}, or use more questions"
        )
