"""One self-contained page about one model on one benchmark, from what `evaluate` left behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from videothinker.config.settings import DataConfig
from videothinker.errors import InputError
from videothinker.evaluation import scores
from videothinker.evaluation.compare import TITLES, label
from videothinker.evaluation.result import (
    Diagnosis,
    Lengths,
    Result,
    Score,
    Scores,
    read_result,
)
from videothinker.files import atomic_write, read_lines
from videothinker.report.charts import Dot, dot_rows
from videothinker.report.markup import colour, render
from videothinker.report.stills import stills_of
from videothinker.types import Question

SHOWN_ANSWERS = 3
"""Right ones, and as many wrong ones."""
SHOWN_REASONS = 200
MEASURED, GUESSED = 2, 1
"""Colours of a dot and of the tick at chance."""
Paired = tuple[str, Score | None, Score | None]
"""A category, and its scores by the reference and by the benchmark's own rule."""


def write_evaluation_report(folder: Path) -> Path:
    """Writes FOLDER/report.html beside the result.json it is about, and returns its path."""
    result = read_result(folder)
    diagnosis, questions = result.diagnosis, _questions(result)
    page = render(
        "evaluation.html",
        result=result,
        model=label(result.model),
        benchmark=TITLES[result.benchmark],
        scorings=[("reference", result), ("official", result.official)],
        headline=(headline := result.scores(result.protocol.scoring)),
        verdict=verdict(headline),
        manner_asked=_asked(result),
        gap=_gap(diagnosis) if diagnosis else "",
        by_kind=_charts(_by_kind(diagnosis, result.official)) if diagnosis else None,
        by_category=_category_charts(result),
        rows=_rows(result),
        finer_rows=_paired(result.by_subcategory, result.official.by_subcategory),
        questions_known=bool(questions),
        manner=_manner(result.lengths) if result.lengths else "",
        confusions=_confused(result, questions),
        answers=_answers(result, questions, read_lines(folder / "answers.jsonl")),
        skipped=read_lines(folder / "skipped.jsonl"),
        shown_reasons=SHOWN_REASONS,
        circumstances=_circumstances(result).items(),
        measured=colour(MEASURED),
        guessed=colour(GUESSED),
        percent=_percent,
        points=_points,
        interval=_interval,
    )
    atomic_write(folder / "report.html", page)
    return folder / "report.html"


def _asked(result: Result) -> str:
    """In what manner, in a few words."""
    if result.protocol.wording is None:
        return f"by the protocol {result.protocol.name}"
    return "directly, without thinking" if result.protocol.wording == "direct" else "after thinking"


def verdict(score: Score) -> str:
    """What the interval says about guessing, in one sentence."""
    guesses = {"chance": score.chance, "always giving the most common answer": score.majority}
    found: dict[str, list[str]] = {"above": [], "below": [], "not clearly different from": []}
    above, below, unclear = found.values()
    for name, value in guesses.items():
        if value is not None:
            side = above if score.low > value else below if score.high < value else unclear
            side.append(f"{name} ({_percent(value)})")
    told = [f"{side} {' and '.join(names)}" for side, names in found.items() if names]
    return f"That is {', '.join(told)}." if told else ""


def _by_kind(diagnosis: Diagnosis, official: Scores) -> dict[str, Score]:
    """The diagnosis, with what guessing reaches."""
    found: dict[str, Score] = {}
    for kind in scores.KINDS:
        one, guessed = getattr(diagnosis, kind), official.by_category.get(kind)
        guesses = {key: getattr(guessed, key, None) for key in ("chance", "majority")}
        found[kind] = Score(accuracy=one.mean, low=one.low, high=one.high, n=one.n, **guesses)
    return found


def _gap(diagnosis: Diagnosis) -> str:
    gap = diagnosis.gap()
    if gap is None:
        return "Only one of the two kinds was asked."
    points, low, high = (100 * value for value in gap)
    return f"Shortcut gap: {points:+.1f} points (95% interval {low:+.1f} to {high:+.1f})."


def _category_charts(result: Result) -> dict[str, str] | None:
    """Best first; None where there is but one, or the same is drawn above."""
    ranked = sorted(result.by_category.items(), key=lambda item: -(item[1].accuracy or 0.0))
    drawn_above = result.diagnosis and set(result.by_category) <= set(scores.KINDS)
    return _charts(dict(ranked)) if len(ranked) > 1 and not drawn_above else None


def _rows(result: Result) -> list[Paired]:
    official = result.official
    rows: list[Paired] = [("all", result, official)]
    if official.per_option:
        rows.append(("all, option by option", None, official.per_option))
    return rows + _paired(result.by_category, official.by_category)


def _paired(reference: Mapping[str, Score], official: Mapping[str, Score]) -> list[Paired]:
    """Every category that either scoring has."""
    names = dict.fromkeys([*reference, *official])
    return [(_named(name), reference.get(name), official.get(name)) for name in names]


def _charts(by_kind: Mapping[str, Score]) -> dict[str, str]:
    """For wide screens and for phones."""
    dots = [
        Dot(
            label=_named(name),
            mean=one.accuracy,
            low=one.low,
            high=one.high,
            chance=one.chance,
            n=one.n,
            colour=MEASURED,
        )
        for name, one in by_kind.items()
        if one.accuracy is not None
    ]
    summary = "Accuracy: " + "; ".join(f"{dot.label} {_percent(dot.mean)}" for dot in dots)
    return {"wide": dot_rows(dots, 980, summary), "narrow": dot_rows(dots, 358, summary)}


def _answers(
    result: Result, questions: Mapping[str, Question], lines: Sequence[Mapping[str, Any]]
) -> list[dict[str, object]]:
    """The first right and wrong answers of the file, so that nobody picked them."""
    chosen: dict[bool | None, list[dict[str, object]]] = {True: [], False: [], None: []}
    for line in lines:
        question = questions.get(line["id"])
        right = _is_right(result, question, line["completion"]) if question else None
        if len(chosen[right]) < SHOWN_ANSWERS:
            chosen[right].append({**line, "question": question, "right": right})
    return [one for some in chosen.values() for one in some]


def _manner(lengths: Lengths) -> str:
    """How long answers are, how many were cut off, and how many think first, in one sentence."""
    told, tokens = [], lengths.tokens
    if tokens.mean is not None:
        told.append(f"An answer has {tokens.mean:.0f} tokens, the longest {tokens.most}.")
    for share, what in (
        (lengths.cut_off, "were cut off at the longest allowed"),
        (lengths.thinking, "think before they answer"),
    ):
        if share.mean is not None:
            told.append(f"{_percent(share.mean)} {what}.")
    return " ".join(told)


def _confused(result: Result, questions: Mapping[str, Question]) -> list[dict[str, object]]:
    """Options most often taken for others, each with a question of which the video is shown."""
    found: list[dict[str, object]] = []
    if not result.confusions or not result.videos:
        return found
    data = DataConfig(videos=Path(result.videos))
    with stills_of(data, result.protocol.budget, Path(result.model)) as pictures:
        for confusion in result.confusions:
            known = [questions[name] for name in confusion.questions if name in questions]
            one = known[0] if known else None
            shown = pictures(one.shows, one.start, one.end) if one else []
            found.append({"confusion": confusion, "question": one, "stills": shown})
    return found


def _questions(result: Result) -> dict[str, Question]:
    """Answers are worth showing without their questions, which may lie elsewhere by now."""
    if not Path(result.data).exists():
        return {}
    try:
        found = scores.load(result.benchmark, result.data)
    except InputError:
        return {}
    return {question.id: question for question in found}


def _is_right(result: Result, question: Question, completion: str) -> bool | None:
    """By the reference scoring; None where it does not count the question."""
    accuracy = scores.score(result.benchmark, [question], [completion])["accuracy"]
    return None if accuracy is None else bool(accuracy)


def _circumstances(result: Result) -> dict[str, str]:
    asked = result.protocol
    return {
        "model": result.model,
        "digest": result.digest,
        "benchmark": result.benchmark,
        "questions": " ".join([result.data, result.questions]).strip(),
        "protocol": f"{asked.name} {asked.digest()[:8]}",
        "longest answer": f"{asked.max_tokens} tokens",
        "temperature": str(asked.temperature),
        "video": ", ".join(f"{key} {value}" for key, value in asked.video.items()),
    }


def _named(category: str) -> str:
    return category or "(none)"


def _points(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def _percent(share: float) -> str:
    return f"{_points(share)}%"


def _interval(score: Score) -> str:
    return f"{100 * score.low:.1f} to {100 * score.high:.1f}"
