"""The report's second part: the same questions, put to every model of the run.

Which ones are shown follows from counting, and the page says how. Question text and completions
come from outside; all of it is escaped before it reaches the page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from videothinker.errors import InputError
from videothinker.report.groups import Pictures
from videothinker.report.groups import asked as asked_html
from videothinker.report.outcomes import (
    EXAMPLES,
    Asked,
    Outcome,
    examples,
    outcomes,
    parts,
    read_asked,
)
from videothinker.report.results import KIND_TITLES, SPOKEN
from videothinker.report.training import chip
from videothinker.status.snapshot import Snapshot
from videothinker.types import Question

ROWS = 6
"""Outcomes of a kind that are listed one by one, besides those of which a clip is shown."""
TITLE = "<h2>The same questions, put to every model</h2>"
RIGHT, WRONG = "&#10003;", "&#10007;"


def answers_section(run: Snapshot, pictures: Pictures, colours: Mapping[str, int]) -> str:
    """How often which models were right, and a few clips with what each model said."""
    try:
        asked = read_asked(run)
    except InputError as error:
        return f'{TITLE}<p class="note">Answers are kept, but {escape(str(error))}</p>'
    if asked is None:
        return ""
    found = outcomes(asked)
    chosen = [one for ranked in found.values() for one in examples(ranked)]
    cards = "".join(
        _card(asked, number, one, pictures(_row(one.questions[0])), colours)
        for number, one in enumerate(chosen, 1)
    )
    return f"{TITLE}{_rule(asked, found)}{_table(asked, found, chosen)}{cards}"


def _rule(asked: Asked, found: Mapping[str, Sequence[Outcome]]) -> str:
    """What was counted, and how the clips follow from it."""
    count, models = len(asked.questions), len(asked.said)
    if models > 1:
        put = f"{models} models, one sampled answer each to the same {count} validation questions"
        which = (
            "of each kind they are the first question, in the order of its file, of the commonest "
            f"outcome on which all models agree and of the {EXAMPLES - 1} commonest on which they "
            "do not (where there are fewer, of the next commonest)"
        )
    else:
        put = f"One model so far, one sampled answer to each of {count} validation questions"
        which = "of each kind they are the first, in the order of its file, of each outcome"
    left = len({one.category for one in asked.questions} - set(found))
    others = f" Kinds of questions that are not shown: {left}." if left else ""
    return (
        f'<p class="note">{put}. Right is who names exactly the correct letters, whatever the '
        f"thinking above them says. Nobody picked the clips: {which}. Another draw of answers "
        f"would come out a little differently.{others}</p>"
    )


def _table(asked: Asked, found: Mapping[str, Sequence[Outcome]], chosen: Sequence[Outcome]) -> str:
    """How often each outcome occurs, by kind; those with a clip name it."""
    names = "".join(f"<th>{escape(SPOKEN.get(model, model))}</th>" for model in asked.said)
    width = len(asked.said) + 2
    body = ""
    for kind, ranked in found.items():
        listed = [one for place, one in enumerate(ranked) if place < ROWS or one in chosen]
        rest = [one for one in ranked if one not in listed]
        body += f'<tr><th class="kind" colspan="{width}">{escape(_kind(kind))}</th></tr>'
        body += "".join(_outcome_row(one, chosen) for one in listed)
        if rest:
            count = sum(len(one.questions) for one in rest)
            body += (
                f'<tr><td>{count} of {rest[0].of}</td><td colspan="{width - 1}">in '
                f"{len(rest)} rarer {'way' if len(rest) == 1 else 'ways'}</td></tr>"
            )
    return (
        '<div class="scroll"><table class="outcomes"><thead><tr><th>questions</th>'
        f"{names}<th>shown</th></tr></thead><tbody>{body}</tbody></table></div>"
    )


def _outcome_row(outcome: Outcome, chosen: Sequence[Outcome]) -> str:
    marks = "".join(
        f'<td class="yes">{RIGHT}</td>' if right else f'<td class="no">{WRONG}</td>'
        for right in outcome.right
    )
    shown = f"clip {chosen.index(outcome) + 1}" if outcome in chosen else ""
    return f"<tr><td>{outcome.share}</td>{marks}<td>{shown}</td></tr>"


def _card(
    asked: Asked,
    number: int,
    outcome: Outcome,
    stills: Sequence[str],
    colours: Mapping[str, int],
) -> str:
    question = outcome.questions[0]
    answers = "".join(
        _answer(asked, model, question, colours.get(model, 0)) for model in asked.said
    )
    kicker = f"Clip {number}. {_kind(outcome.kind)}; {outcome.share} come out like this"
    return (
        f'<article class="group-card"><div class="kicker">{escape(kicker)}</div>'
        f"{asked_html(_row(question), stills)}"
        f'<div class="completions answers">{answers}</div></article>'
    )


def _answer(asked: Asked, model: str, question: Question, colour: int) -> str:
    """What one model said: its thinking as it was worded, then its answer."""
    right = asked.right(model, question)
    verdict = f"{RIGHT} right" if right else f"{WRONG} wrong"
    completion = asked.said[model].get(question.id)
    thinking, answer = parts(completion or "")
    thought = f"<p>{escape(thinking)}</p>" if thinking else ""
    said = "No answer: it was left out." if completion is None else f"Answer: {answer or 'empty'}"
    return (
        f'<div class="completion {"good" if right else "bad"}"><header>'
        f"{chip(SPOKEN.get(model, model), colour)}<b>{verdict}</b></header>"
        f'{thought}<p class="said">{escape(said)}</p></div>'
    )


def _kind(kind: str) -> str:
    """A kind of question as a title."""
    words = KIND_TITLES.get(kind)
    return f"{words.capitalize()} ({kind})" if words else kind or "All questions"


def _row(question: Question) -> dict[str, object]:
    """A question as files of groups have it."""
    return {
        "video": question.video,
        "text": question.text,
        "options": [{"letter": letter, "text": text} for letter, text in question.options],
        "answer": question.answer,
        "start": question.start,
        "end": question.end,
    }
