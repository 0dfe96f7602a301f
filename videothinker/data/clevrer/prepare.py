"""CLEVRER's counterfactual questions, each marked observational or inferential.

A counterfactual question asks what would happen without one object. It is *observational* when
the video alone already gives its answer, because the removal changes nothing that the options are
about; it is *inferential* when the removal has to be thought through. The first stage trains a
model on observational questions only, so that it learns the shortcut that the second stage moves
away from.

The reader takes CLEVRER's own files as they are distributed, and the miniature world's, which use
the same schema.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from videothinker.data.clevrer.evidence import write_evidence
from videothinker.data.clevrer.files import (
    AskedScene,
    find_files,
    read_annotation,
    read_scenes,
    shown_frames,
)
from videothinker.data.clevrer.records import (
    Annotation,
    AskedQuestion,
    Counterfactual,
    checked,
    read_parts,
    read_question,
    within,
)
from videothinker.data.clevrer.rules import (
    RULES,
    SHORT_CLIPS,
    SHOWN_FRAMES,
    Evidence,
    gather,
    label,
)
from videothinker.data.questions import write_questions
from videothinker.errors import InputError
from videothinker.files import (
    disk_errors,
    file_digest,
    partial_folder,
    replace_files,
    write_json,
)
from videothinker.types import LABELS, Label, Question

STATS_SCHEMA = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Labelled:
    """A question with what the labels rest on."""

    question: Question
    """Its category is the label under the chosen rule."""
    without_clause: str
    """The question's text without the removal."""
    evidence: Evidence
    labels: dict[str, Label]
    """Under every rule."""


def bias_label(question: dict[str, Any], annotation: dict[str, Any], rule: str) -> Label:
    """Whether the video alone answers one of CLEVRER's questions; see `label` for the rules.

    A video is as long as CLEVRER's of that number: what its log holds after that was not shown.
    """
    record = checked(Annotation, annotation)
    frames = SHORT_CLIPS.get(record.scene_index or 0, SHOWN_FRAMES)
    asked = read_question(checked(Counterfactual, question))
    return label(gather(asked, record, frames), rule)


def without_clause(text: str) -> str:
    """A counterfactual question without its removal; InputError where the wording is not known.

    "Without the red cube, what will happen?" becomes "What will happen?".
    """
    return read_parts(text).without_clause


def prepare(
    questions: Path,
    annotations: Path,
    videos: Path,
    out: Path,
    rule: str = "R1",
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Writes questions, bias set, evidence and statistics into OUT; returns the statistics.

    Only counterfactual questions are kept. Those without a correct option go into a file of their
    own: the reward cannot tell a right "none of them" from an empty answer. Everything is written
    beside OUT first, so OUT is complete or absent. docs/data.md describes the files.

    The question file is read and checked as a whole, a video at a time, before the first annotation
    is opened; progress counts videos.
    """
    if rule not in RULES:
        raise InputError(f"rule: {rule!r} is not one of {', '.join(RULES)}.")
    questions, annotations, videos, out = (Path(p) for p in (questions, annotations, videos, out))
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file. Give a folder, new or with an earlier result.")
    scenes, others = [], 0
    for scene in read_scenes(questions):
        others += scene.other_questions
        if scene.asked:
            scenes.append(scene)
    labelled = _label_all(questions, scenes, annotations, videos, rule, progress)
    kept = [entry for entry in labelled if entry.question.answer]
    if not kept:
        raise InputError(
            f"{questions}: no counterfactual question with a correct option in it. Use CLEVRER's "
            "train or validation questions."
        )
    stats = {
        **_statistics(kept, rule),
        "no_correct_option": len(labelled) - len(kept),
        "other_question_types": others,
        "source": {"questions": str(questions), "questions_sha256": file_digest(questions)},
    }
    _publish(out, labelled, stats)
    return stats


def _label_all(
    questions: Path,
    scenes: Sequence[AskedScene],
    annotations: Path,
    videos: Path,
    rule: str,
    progress: Callable[[int, int], None] | None,
) -> list[Labelled]:
    annotation_files = find_files(annotations, [s.annotation for s in scenes], "annotation")
    video_files = find_files(videos, [s.video for s in scenes], "video")
    labelled = []
    for done, scene in enumerate(scenes, start=1):
        video, file = video_files[scene.video], annotation_files[scene.annotation]
        annotation = read_annotation(file, scene.index)
        frames = shown_frames(scene.index, video)
        place = video.relative_to(videos).as_posix()
        for identity, asked in scene.asked.items():
            with within(f"{questions}: scene {scene.index}: question {identity}: {file}"):
                evidence = gather(asked, annotation, frames)
            labelled.append(_labelled(f"{video.stem}/q{identity}", place, asked, evidence, rule))
        if progress:
            progress(done, len(scenes))
    return labelled


def _labelled(
    identity: str, video: str, asked: AskedQuestion, evidence: Evidence, rule: str
) -> Labelled:
    labels = {name: label(evidence, name) for name in RULES}
    question = Question(
        id=identity,
        video=video,
        text=asked.text,
        options=tuple((option.letter, option.text) for option in evidence.options),
        answer=evidence.answer,
        category=labels[rule],
    )
    return Labelled(
        question=question,
        without_clause=asked.parts.without_clause,
        evidence=evidence,
        labels=labels,
    )


def _statistics(kept: Sequence[Labelled], rule: str) -> dict[str, Any]:
    by_rule = {name: Counter(entry.labels[name] for entry in kept) for name in RULES}
    clips = {entry.question.video: entry.evidence.shown_frames for entry in kept}
    multiple = sum("," in entry.question.answer for entry in kept)
    return {
        "schema": STATS_SCHEMA,
        "rule": rule,
        "questions": len(kept),
        **{name: by_rule[rule][name] for name in LABELS},
        "by_rule": {name: {kind: by_rule[name][kind] for kind in LABELS} for name in RULES},
        "disagreements": {
            f"{one}-{other}": sum(entry.labels[one] != entry.labels[other] for entry in kept)
            for one, other in itertools.combinations(RULES, 2)
        },
        "single_answer": len(kept) - multiple,
        "multiple_answer": multiple,
        "videos": len(clips),
        "short_clips": {video: n for video, n in clips.items() if n < SHOWN_FRAMES},
    }


def _publish(out: Path, labelled: Sequence[Labelled], stats: dict[str, Any]) -> None:
    """Builds the files in a folder beside OUT, then moves them in one step."""
    with disk_errors(out), partial_folder(out) as partial:
        _write(partial, labelled)
        write_json(partial / "stats.json", stats)
        replace_files(partial, out, last="stats.json")


def _write(folder: Path, labelled: Sequence[Labelled]) -> None:
    kept = [entry for entry in labelled if entry.question.answer]
    bias = [entry for entry in kept if entry.question.category == "observational"]
    files = {
        "questions": [entry.question for entry in kept],
        "bias": [entry.question for entry in bias],
        "bias_without_clause": [
            replace(entry.question, text=entry.without_clause) for entry in bias
        ],
        "no_answer": [entry.question for entry in labelled if not entry.question.answer],
    }
    for name, questions in files.items():
        write_questions(folder / f"{name}.parquet", questions)
    rows = [(entry.question.id, entry.labels, entry.evidence) for entry in labelled]
    write_evidence(folder / "evidence.parquet", rows)
