"""The words a model reads: the reference's exact strings, so results stay comparable with it."""

from __future__ import annotations

from typing import Any

from videothinker.types import Question

TRAINING_SUFFIX = (
    "  Output the thinking process in <think> </think> and final answer (letters separated by , "
    "if multiple) in <answer> </answer> tags."
)
"""The two leading spaces are the reference's own and part of what its models were trained on."""

EVALUATION_SUFFIX = (
    "\nPlease think about this question as if you were a human pondering deeply. Engage in an "
    "internal dialogue using expressions such as 'let me think', 'wait', 'Hmm', 'oh, I see', "
    "'let's break it down', etc, or other natural language thought expressions It's encouraged to "
    "include self-reflection or verification in the reasoning process. Provide your detailed "
    "reasoning between the <think> and </think> tags, and then give your final answer between the "
    "<answer> and </answer> tags."
)
"""The missing full stop after "thought expressions" is the reference's own."""

SINGLE_LETTER_SUFFIX = (
    " Please provide only the single option letter (e.g., A, B, C, D, etc.) within the <answer> "
    "</answer> tags."
)


def problem(question: Question) -> str:
    """The question and its options, one "A. text" a line."""
    options = "\n".join(f"{letter}. {text}" for letter, text in question.options)
    return f"{question.text}\n{options}" if options else question.text


def training_text(question: Question) -> str:
    """What the policy reads in training, after the video."""
    return problem(question) + TRAINING_SUFFIX


def evaluation_text(question: Question) -> str:
    """What a model reads in a benchmark, after the video.

    It asks for a single letter even where several options are correct; so did the reference's.
    """
    return problem(question) + EVALUATION_SUFFIX + SINGLE_LETTER_SUFFIX


def messages(question: Question) -> list[dict[str, Any]]:
    """One user turn for a chat template: the video, then the training text.

    There is no system turn; Qwen's template inserts its own default one.
    """
    content = [
        {"type": "video", "video": question.video},
        {"type": "text", "text": training_text(question)},
    ]
    return [{"role": "user", "content": content}]
