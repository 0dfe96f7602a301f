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

import hashlib
import json
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from videothinker.data.store import write_questions
from videothinker.errors import InputError
from videothinker.run import atomic_write, disk_errors
from videothinker.types import Question

Label = Literal["observational", "inferential"]
Event = frozenset[int]

RULES = ("R1", "R2", "R3", "R4")
SHOWN_FRAMES = 128
"""Length of a CLEVRER video; its log may go on, but what was not shown cannot be a shortcut."""
STATS_SCHEMA = 1

CHOICE_FORMS = (
    re.compile(r"^the (.+?) collides with the (.+?)\.?$", re.IGNORECASE),
    re.compile(r"^the (.+?) and the (.+?) collide\.?$", re.IGNORECASE),
)
REMOVAL_FORMS = (
    re.compile(r"\bif the (.+?) (?:is|was|were) removed\b", re.IGNORECASE),
    re.compile(r"\bwithout the (.+?)\s*(?:[,?.]|$)", re.IGNORECASE),
)
NEGATION = re.compile(r"\bwill not happen\b", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What the four rules look at, for one question."""

    occurred: tuple[bool, ...]
    """Per option: the event is in the video's collision log."""
    correct: tuple[bool, ...]
    """Per option: it is a correct answer."""
    negated: bool
    """The question asks what will not happen."""
    frames: tuple[int | None, ...]
    """Per option: the frame of its first occurrence."""
    removed_frames: tuple[int, ...]
    """Frames of every collision of the removed object; filled only when asked for."""


def bias_label(question: dict[str, Any], annotation: dict[str, Any], rule: str) -> Label:
    """Whether the video alone answers a question, by one of four readings of the paper.

    R1: for every option, "it happened in the video" equals "it is true without the object".
    R2: every correct option is what the video shows.
    R3: at least one correct option is what the video shows.
    R4: the removed object touches nothing until the last of the options' events has happened; to
        the end of the video where none of them happens.

    "What the video shows" is the option's collision, or for "will not happen" its absence. The
    paper gives no code; R1 is the strictest reading of "the event happened irrespective of the
    removal" and is the default.
    """
    if rule not in RULES:
        raise InputError(f"rule: {rule!r} is not one of {', '.join(RULES)}.")
    return _decide(_facts(question, annotation, removal=rule == "R4"), rule)


def _decide(facts: Facts, rule: str) -> Label:
    shown = [happened != facts.negated for happened in facts.occurred]
    if rule == "R1":
        observational = list(facts.correct) == shown
    elif rule == "R4":
        seen = [frame for frame in facts.frames if frame is not None]
        last = max(seen, default=SHOWN_FRAMES)
        observational = all(frame > last for frame in facts.removed_frames)
    else:
        rights = [is_shown for is_shown, right in zip(shown, facts.correct, strict=True) if right]
        observational = bool(rights) and (all(rights) if rule == "R2" else any(rights))
    return "observational" if observational else "inferential"


def _facts(question: dict[str, Any], annotation: dict[str, Any], removal: bool) -> Facts:
    collisions = _collisions(annotation)
    first: dict[Event, int] = {}
    for frame, event in collisions:
        first.setdefault(event, frame)
    choices = _field(question, "choices", list)
    events = [_event(choice, annotation) for choice in choices]
    text = _field(question, "question", str)
    removed = _removed(text, annotation) if removal else None
    return Facts(
        occurred=tuple(event in first for event in events),
        correct=tuple(_is_correct(choice) for choice in choices),
        negated=NEGATION.search(text) is not None,
        frames=tuple(first.get(event) for event in events),
        removed_frames=tuple(frame for frame, event in collisions if removed in event),
    )


def _collisions(annotation: dict[str, Any]) -> list[tuple[int, Event]]:
    """(frame, the two objects) of every collision that the video shows, in time order."""
    shown = []
    for collision in _field(annotation, "collision", list):
        frame = _field(collision, "frame_id", int)
        if frame < SHOWN_FRAMES:
            shown.append((frame, frozenset(_field(collision, "object_ids", list))))
    return sorted(shown, key=lambda entry: entry[0])


def _event(choice: dict[str, Any], annotation: dict[str, Any]) -> Event:
    text = _field(choice, "choice", str)
    for form in CHOICE_FORMS:
        match = form.match(text.strip())
        if match:
            return frozenset(_object(phrase, annotation) for phrase in match.groups())
    raise InputError(
        f"choices.choice: {text!r} names no collision. Expected 'The A collides with the B' or "
        "'The A and the B collide'."
    )


def _removed(text: str, annotation: dict[str, Any]) -> int:
    for form in REMOVAL_FORMS:
        match = form.search(text)
        if match:
            return _object(match.group(1), annotation)
    raise InputError(
        f"question: {text!r} names no removed object. Expected 'if the X is removed' or "
        "'without the X'."
    )


def _object(phrase: str, annotation: dict[str, Any]) -> int:
    """The one object that has every word of the phrase as its colour, material or shape.

    CLEVRER says "object" where the shape is left out, and no more words than it needs.
    """
    words = set(phrase.lower().split()) - {"object"}
    found = [
        entry
        for entry in _field(annotation, "object_property", list)
        if words <= {str(entry.get(key, "")).lower() for key in ("color", "material", "shape")}
    ]
    if len(found) == 1:
        return int(_field(found[0], "object_id", int))
    raise InputError(
        f"object_property: {len(found)} objects of the video are 'the {phrase}', and a question "
        "must mean exactly one. Check that the annotation belongs to the question's video."
    )


def _is_correct(choice: dict[str, Any]) -> bool:
    answer = choice.get("answer")
    if answer not in ("correct", "wrong"):
        raise InputError(
            f"choices.answer: {answer!r} is neither 'correct' nor 'wrong'. CLEVRER's test split "
            "has no answers; use train or validation."
        )
    return bool(answer == "correct")


def _field(record: dict[str, Any], name: str, kind: type) -> Any:
    value = record.get(name) if isinstance(record, dict) else None
    if not isinstance(value, kind):
        found = "missing" if value is None else f"{type(value).__name__}"
        raise InputError(
            f"{name}: expected {kind.__name__}, found {found}. Use CLEVRER's files unchanged."
        )
    return value


def prepare(
    questions: Path,
    annotations: Path,
    videos: Path,
    out: Path,
    rule: str = "R1",
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Writes OUT/questions.parquet, OUT/bias.parquet and OUT/stats.json; returns the statistics.

    Only counterfactual questions are kept, and of those only the ones with a correct option: the
    reward cannot tell a right "none of them" from an empty answer. bias.parquet holds the
    observational ones. Everything is written beside OUT first, so OUT is complete or absent.
    """
    if rule not in RULES:
        raise InputError(f"rule: {rule!r} is not one of {', '.join(RULES)}.")
    questions, out = Path(questions), Path(out)
    kept: list[Question] = []
    counts: Counter[str] = Counter()
    labels: Counter[tuple[str, str]] = Counter()
    for question, found in _read(questions, Path(annotations), Path(videos), progress, counts):
        labels.update(found.items())
        kept.append(replace(question, category=found[rule]))
    if not kept:
        raise InputError(
            f"{questions}: no counterfactual question with a correct option in it. Use CLEVRER's "
            "train or validation questions."
        )
    bias = [question for question in kept if question.category == "observational"]
    stats = {
        "schema": STATS_SCHEMA,
        "rule": rule,
        "questions": len(kept),
        "observational": len(bias),
        "inferential": len(kept) - len(bias),
        "by_rule": {
            name: {kind: labels[name, kind] for kind in ("observational", "inferential")}
            for name in RULES
        },
        "single_answer": sum("," not in question.answer for question in kept),
        "multiple_answer": sum("," in question.answer for question in kept),
        "dropped_no_correct_option": counts["no_correct_option"],
        "other_question_types": counts["other_type"],
        "videos": len({question.video for question in kept}),
        "source": {
            "questions": str(questions),
            "questions_sha256": hashlib.sha256(questions.read_bytes()).hexdigest(),
        },
    }
    _publish(out, kept, bias, stats)
    return stats


def _read(
    questions: Path,
    annotations: Path,
    videos: Path,
    progress: Callable[[int, int], None] | None,
    counts: Counter[str],
) -> Iterator[tuple[Question, dict[str, Label]]]:
    """Every kept question with its label under each rule; what is left out goes into counts."""
    scenes = _load(questions, list)
    annotation_files = _by_name(annotations, ".json", "annotations")
    video_files = _by_name(videos, ".mp4", "videos")
    for done, scene in enumerate(scenes, start=1):
        asked = [
            q for q in scene.get("questions", []) if q.get("question_type") == "counterfactual"
        ]
        counts["other_type"] += len(scene.get("questions", [])) - len(asked)
        if asked:
            name = f"annotation_{_index(scene, questions):05d}.json"
            file = _lookup(annotation_files, name, annotations)
            annotation = _load(file, dict)
            video = _lookup(video_files, _video_name(scene, questions), videos)
        for question in asked:
            try:
                if not any(_is_correct(choice) for choice in _field(question, "choices", list)):
                    counts["no_correct_option"] += 1
                    continue
                facts = _facts(question, annotation, removal=True)
                kept = _question(question, video.stem, video.relative_to(videos).as_posix())
            except InputError as error:
                identity = f"{video.stem}, question {question.get('question_id')}"
                raise InputError(f"{questions} ({identity}; {file}): {error}") from error
            yield kept, {rule: _decide(facts, rule) for rule in RULES}
        if progress:
            progress(done, len(scenes))


def _question(question: dict[str, Any], video_id: str, video: str) -> Question:
    choices = sorted(question["choices"], key=lambda choice: _field(choice, "choice_id", int))
    lettered = [(chr(ord("A") + place), choice) for place, choice in enumerate(choices)]
    return Question(
        id=f"{video_id}/q{question.get('question_id')}",
        video=video,
        text=question["question"],
        options=tuple((letter, choice["choice"]) for letter, choice in lettered),
        answer=",".join(letter for letter, choice in lettered if _is_correct(choice)),
    )


def _index(scene: dict[str, Any], questions: Path) -> int:
    index = scene.get("scene_index")
    if not isinstance(index, int):
        raise InputError(
            f"{questions}: scene_index is {index!r} in one of its scenes, expected a number. Use "
            "CLEVRER's question file unchanged."
        )
    return index


def _video_name(scene: dict[str, Any], questions: Path) -> str:
    return str(scene.get("video_filename") or f"video_{_index(scene, questions):05d}.mp4")


def _by_name(folder: Path, suffix: str, what: str) -> dict[str, list[Path]]:
    """Every file under a folder by its name: flat, in folders of 1000, or in both splits' folders.

    CLEVRER numbers its videos across splits, so a name identifies a file wherever it lies.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of {what}. Unpack CLEVRER's {what} there.")
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob(f"*{suffix}")):
        found.setdefault(path.name, []).append(path)
    return found


def _lookup(files: dict[str, list[Path]], name: str, folder: Path) -> Path:
    found = files.get(name, [])
    if len(found) == 1:
        return found[0]
    if not found:
        raise InputError(
            f"{folder}: {name} is missing, and a question is about it. Unpack the whole split "
            "there (flat or in folders of 1000), or leave its questions out of the question file."
        )
    raise InputError(f"{folder}: {name} is there {len(found)} times; remove {found[1]}.")


def _load(path: Path, kind: type) -> Any:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file. Give CLEVRER's question file.") from error
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}). Download or unpack it again.") from error
    if not isinstance(content, kind):
        raise InputError(
            f"{path}: expected a JSON {kind.__name__}, found {type(content).__name__}. Use "
            "CLEVRER's files unchanged."
        )
    return content


def _publish(out: Path, kept: list[Question], bias: list[Question], stats: dict[str, Any]) -> None:
    """Builds the three files in a folder beside OUT, then moves them in one step.

    Into an existing folder they move one by one, stats.json last, and its old one goes first: a
    folder with stats.json is complete.
    """
    with disk_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".partial", dir=out.parent))
        try:
            partial.chmod(0o755)  # mkdtemp makes it private; the result is an ordinary folder
            write_questions(partial / "questions.parquet", kept)
            write_questions(partial / "bias.parquet", bias)
            atomic_write(partial / "stats.json", json.dumps(stats, indent=2) + "\n")
            if not out.exists():
                partial.rename(out)
                return
            (out / "stats.json").unlink(missing_ok=True)
            for name in ("questions.parquet", "bias.parquet", "stats.json"):
                (partial / name).replace(out / name)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
