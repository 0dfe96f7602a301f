"""One self-contained page about one model on one benchmark, from what `evaluate` left behind.

Category names, questions, completions and reasons come from outside; all of it is escaped before it
reaches the page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from videothinker.errors import InputError
from videothinker.evaluation import scores
from videothinker.evaluation.compare import TITLES, Diagnosis, Result, Score, label, read_result
from videothinker.files import atomic_write, read_lines
from videothinker.report.charts import Dot, dot_rows
from videothinker.report.style import page
from videothinker.report.training import chip
from videothinker.types import Question

SHOWN_ANSWERS = 3
"""Right ones, and as many wrong ones."""
SHOWN_REASONS = 200
MEASURED, GUESSED = 2, 1
"""Colours of a dot and of the tick at chance."""


def write_evaluation_report(folder: Path) -> Path:
    """Writes FOLDER/report.html beside the result.json it is about, and returns its path."""
    result = read_result(folder)
    name = f"{label(result.model)} on {TITLES[result.benchmark]}"
    body = (
        f'<div class="kicker">VideoThinker, evaluation of {escape(label(result.model))}</div>'
        + _headline(result)
        + _diagnosis_section(result)
        + _category_section(result)
        + _answers_section(result, read_lines(folder / "answers.jsonl"))
        + _skipped_section(read_lines(folder / "skipped.jsonl"))
        + _circumstances(result)
    )
    atomic_write(folder / "report.html", page(name, body))
    return folder / "report.html"


def verdict(score: Score) -> str:
    """What the interval says about guessing, in one sentence."""
    guesses = [
        (value, f"{name} ({_percent(value)})")
        for value, name in (
            (score.chance, "chance"),
            (score.majority, "always giving the most common answer"),
        )
        if value is not None
    ]
    above = [name for value, name in guesses if score.low > value]
    below = [name for value, name in guesses if score.high < value]
    unclear = [name for _, name in guesses if name not in above + below]
    parts = [f"above {' and '.join(above)}"] if above else []
    parts += [f"below {' and '.join(below)}"] if below else []
    parts += [f"not clearly different from {' and '.join(unclear)}"] if unclear else []
    return f"That is {', '.join(parts)}." if parts else ""


def _headline(result: Result) -> str:
    title = TITLES[result.benchmark]
    if result.accuracy is None:
        return f"<h1>No question of {title} was asked.</h1>"
    scored = [("reference", result), ("official", result.official)]
    figures = "; ".join(
        f"{spoken} scoring {_percent(one.accuracy)} (95% interval {_interval(one)}, n {one.n:,})"
        for spoken, one in scored
        if one.accuracy is not None
    )
    manner = "directly, without thinking" if result.wording == "direct" else "after thinking"
    lost = (
        f" {result.unanswered:,} questions have no answer and count as wrong."
        if result.unanswered
        else ""
    )
    return (
        f"<h1>{escape(label(result.model))} answers {_percent(result.accuracy)} of {title} right."
        f"</h1><p>{escape(verdict(result))}</p>"
        f'<p class="note">Answered {manner}: {figures}.{lost}</p>'
    )


def _diagnosis_section(result: Result) -> str:
    diagnosis = result.diagnosis
    if diagnosis is None:
        return ""
    by_kind = {}
    for kind in scores.KINDS:
        one, category = getattr(diagnosis, kind), result.official.by_category.get(kind)
        by_kind[kind] = Score(
            accuracy=one.mean,
            low=one.low,
            high=one.high,
            n=one.n,
            chance=category.chance if category else None,
            majority=category.majority if category else None,
        )
    return (
        "<h2>Observational and inferential</h2>"
        f'<p class="note">{_gap(diagnosis)} Observational questions are answered by the video '
        "alone; inferential ones only by thinking the removal through. Right is a question whose "
        f"correct letters are named, all of them and no other.</p>{_chart(by_kind)}"
    )


def _gap(diagnosis: Diagnosis) -> str:
    gap = diagnosis.gap()
    if gap is None:
        return "Only one of the two kinds was asked."
    points, low, high = (100 * value for value in gap)
    return f"Shortcut gap: {points:+.1f} points (95% interval {low:+.1f} to {high:+.1f})."


def _category_section(result: Result) -> str:
    ranked = sorted(result.by_category.items(), key=lambda item: -(item[1].accuracy or 0.0))
    drawn_above = result.diagnosis and set(result.by_category) <= set(scores.KINDS)
    chart = _chart(dict(ranked)) if len(ranked) > 1 and not drawn_above else ""
    official = result.official
    rows: list[tuple[str, Score | None, Score | None]] = [("all", result, official)]
    if official.per_option:
        rows.append(("all, option by option", None, official.per_option))
    rows += _paired(result.by_category, official.by_category)
    finer = _paired(result.by_subcategory, official.by_subcategory)
    details = f"<details><summary>In finer categories</summary>{_table(finer)}</details>"
    return (
        f"<h2>By category</h2>{chart}{_table(rows)}{details if finer else ''}"
        '<p class="note">Percent, with 95% intervals. Reference: the first answer, character for '
        "character. Official: the benchmark's own rule. Chance: guessing blindly. Majority: always "
        "the most common answer.</p>"
    )


def _paired(
    reference: Mapping[str, Score], official: Mapping[str, Score]
) -> list[tuple[str, Score | None, Score | None]]:
    """Every category that either scoring has."""
    names = dict.fromkeys([*reference, *official])
    return [(_named(name), reference.get(name), official.get(name)) for name in names]


def _chart(by_kind: Mapping[str, Score]) -> str:
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
    return (
        f'<div class="legend">{chip("accuracy with 95% interval", MEASURED)}'
        f"{chip('chance', GUESSED)}</div>"
        f'<div class="wide">{dot_rows(dots, 980, summary)}</div>'
        f'<div class="narrow">{dot_rows(dots, 358, summary)}</div>'
    )


def _table(rows: Sequence[tuple[str, Score | None, Score | None]]) -> str:
    lines = ""
    for name, reference, other in rows:
        known = reference or other
        guesses = (known.chance, known.majority) if known else (None, None)
        cells = [_cell(reference), _cell(other), *map(_points, guesses)]
        cells.append(f"{known.n:,}" if known else "-")
        lines += f"<tr><td>{escape(name)}</td>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
    titles = ("category", "reference", "official", "chance", "majority", "n")
    head = "".join(f"<th>{title}</th>" for title in titles)
    return (
        f'<div class="scroll"><table class="scores"><thead><tr>{head}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )


def _cell(score: Score | None) -> str:
    if score is None or score.accuracy is None:
        return "-"
    return f"{_points(score.accuracy)}<small>{_interval(score)}</small>"


def _answers_section(result: Result, lines: Sequence[Mapping[str, Any]]) -> str:
    """The first right and wrong answers of the file, so that nobody picked them."""
    questions = _questions(result)
    chosen: dict[bool | None, list[str]] = {}
    for line in lines:
        question = questions.get(line["id"])
        right = _is_right(result, question, line["completion"]) if question else None
        cards = chosen.setdefault(right, [])
        if len(cards) < SHOWN_ANSWERS:
            cards.append(_card(str(line["id"]), str(line["completion"]), question, right))
    cards = [card for right in (True, False, None) for card in chosen.get(right, [])]
    if not cards:
        return ""
    note = (
        "The first ones of answers.jsonl that the reference scoring calls right and wrong."
        if questions
        else "The first ones of answers.jsonl. Their file of questions is not readable from here."
    )
    return f'<h2>Some answers</h2><p class="note">{note}</p>{"".join(cards)}'


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


def _card(name: str, completion: str, question: Question | None, right: bool | None) -> str:
    kind, spoken = {True: (" good", "right"), False: (" bad", "wrong"), None: ("", "answer")}[right]
    asked = ""
    if question:
        correct = question.answer.split(",")
        options = "".join(
            f'<li class="right">{escape(letter)}. {escape(text)} &#10003;</li>'
            if letter in correct
            else f"<li>{escape(letter)}. {escape(text)}</li>"
            for letter, text in question.options
        )
        asked = f'<p class="question">{escape(question.text)}</p><ol class="options">{options}</ol>'
    return (
        f'<article class="group-card"><div class="kicker">{escape(name)}</div>{asked}'
        f'<div class="completion{kind}"><header><b>{spoken}</b></header>'
        f"<p>{escape(completion)}</p></div></article>"
    )


def _skipped_section(lines: Sequence[Mapping[str, Any]]) -> str:
    if not lines:
        return ""
    rows = "".join(
        f"<tr><td>{escape(str(line.get('question_id')))}</td>"
        f"<td>{escape(str(line.get('reason')))}</td></tr>"
        for line in lines[:SHOWN_REASONS]
    )
    more = len(lines) - SHOWN_REASONS
    rest = f'<p class="note">{more:,} more are in skipped.jsonl.</p>' if more > 0 else ""
    return (
        f'<h2>Left out</h2><p class="note">{len(lines):,} questions could not be asked.</p>'
        f'<table class="lineage"><tbody>{rows}</tbody></table>{rest}'
    )


def _circumstances(result: Result) -> str:
    rows = {
        "model": result.model,
        "digest": result.digest,
        "benchmark": result.benchmark,
        "questions": " ".join([result.data, result.questions]).strip(),
        "wording": result.wording,
        "frames": f"at most {result.frames}",
        "video": ", ".join(f"{key} {value}" for key, value in result.video.items()),
    }
    cells = "".join(
        f"<tr><td>{key}</td><td><code>{escape(value)}</code></td></tr>"
        for key, value in rows.items()
    )
    return f'<h2>How it was asked</h2><table class="lineage"><tbody>{cells}</tbody></table>'


def _named(category: str) -> str:
    return category or "(none)"


def _points(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def _percent(share: float) -> str:
    return f"{_points(share)}%"


def _interval(score: Score) -> str:
    return f"{100 * score.low:.1f} to {100 * score.high:.1f}"
