"""How far each model of a run has gone from the run's bias model, on the answers it gave."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

import numpy as np
import torch

from videothinker.config.settings import RunConfig
from videothinker.method.prompts import training_text
from videothinker.model.families.known import frames_for
from videothinker.model.policy import Policy, load_model
from videothinker.model.processing import PromptBuilder
from videothinker.run.answers import Answer, read_answers
from videothinker.study.cells import QUESTIONS
from videothinker.types import Question
from videothinker.video.clips import ClipStore


def divergences(
    config: RunConfig, models: Sequence[str], questions: Sequence[Question]
) -> dict[str, np.ndarray]:
    """By model, the mean log-ratio to the bias model over the tokens of each answer, [questions].

    The answers' own log-probs are their sampler's; the bias model sees the answers of all models
    to a question in one forward. NaN where a model did not answer, and nothing without a bias
    model.
    """
    stages = config.out / "stages"
    values = {name: np.full(len(questions), np.nan) for name in models}
    bias = next((s.name for s in config.stages if s.questions.stem == QUESTIONS["bias"]), None)
    if bias is None or bias not in models:
        return {}
    answers = {name: read_answers(stages / name, "sampled") for name in models}
    policy = Policy(load_model(stages / bias / "model", config.model.dtype).eval())
    data = config.data
    budget = frames_for(config.model.path, config.video)
    clips = ClipStore(data.cache, data.cache_gb, budget, data.decode_seconds)
    with closing(clips), torch.inference_mode():
        builder = PromptBuilder(config.model.path, data.videos, clips)
        for place, question in enumerate(questions):
            given = {name: a[question.id] for name, a in answers.items() if question.id in a}
            if not given:
                continue
            prompt = builder.build(question, training_text(question))
            tokens = [answer.token_ids for answer in given.values()]
            logp, _ = policy([(prompt, tokens)], config.sampling.temperature)
            for (name, answer), anchor in zip(given.items(), logp.numpy(), strict=True):
                values[name][place] = _log_ratio(answer, anchor)
    return values


def _log_ratio(answer: Answer, anchor: np.ndarray) -> float:
    """Mean over an answer's tokens; the anchor's log-probs may be padded."""
    return float(np.mean(answer.logprobs - anchor[: len(answer.logprobs)]))
