"""One question about one video: what a person does first with a trained model."""

from __future__ import annotations

import string
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cluster.verbs.answering import answering, budget_for
from videothinker.errors import InputError, VideoThinkerError
from videothinker.method.answers import THINKING, answer_text
from videothinker.method.prompts import asked
from videothinker.model.checkpoint import is_adapter, require_model
from videothinker.progress import ProgressLine
from videothinker.types import Failure, Question, Wording


def run(
    model: Path,
    video: Path,
    text: str,
    options: Sequence[str] = (),
    wording: Wording | None = None,
    budget: str | None = None,
) -> dict[str, Any]:
    """The model's most likely completion, taken apart; asked as it was trained unless told
    otherwise."""
    if not (is_adapter(model) or (model / "config.json").is_file()):
        raise InputError(f"{model}: no model there (no config.json); --model names its folder")
    require_model(model)
    if not video.exists():
        raise InputError(f"{video}: no such file; --video names a video")
    seen, file = budget_for(model, budget), video.resolve()
    worded = wording or ("direct" if seen.wording == "direct" else "training")
    question = Question(
        id="ask",
        video=file.name,
        text=text,
        options=tuple(zip(string.ascii_uppercase, options, strict=False)),
        answer="",
    )
    started = time.monotonic()
    with (
        ProgressLine("ask") as progress,
        answering(model, file.parent, seen, at_once=1) as answerer,
    ):
        progress(0, 1, "loading the model, then thinking")
        [reply] = answerer.answer([question], lambda question: asked(question, worded))
        progress(1, 1)
    if isinstance(reply.outcome, Failure):
        raise VideoThinkerError(reply.outcome.reason)
    said = reply.outcome.completions[0].text
    thinking = THINKING.search(said)
    return {
        "question": text,
        "thinking": thinking.group(1).strip() if thinking else "",
        "answer": answer_text(said),
        "completion": said,
        "seconds": round(time.monotonic() - started, 1),
    }
