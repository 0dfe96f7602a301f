"""A model's answers to a benchmark: the most likely ones, kept as they come, scored at the end.

Questions are asked with the training prompt, which lets a model name several letters.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from actors.loader import PromptLoader
from actors.rollout import RolloutWorker
from cluster.fleet import Loader, Rollouts
from cluster.launch import actor, ray_running
from videothinker import evaluation
from videothinker.budget import Budget, read_budget
from videothinker.config import ClusterConfig, Device, RolloutConfig
from videothinker.errors import InputError
from videothinker.progress import ProgressLine
from videothinker.run import atomic_write, disk_errors, read_lines
from videothinker.types import Question
from videothinker.weights import model_digest

BATCH = 64


def run(model: Path, benchmark: str, data: Path, videos: Path, out: Path) -> dict[str, Any]:
    """Answer what is not answered yet, then score everything; safe to interrupt and repeat."""
    questions = evaluation.load(benchmark, data)
    digest = model_digest(model)
    answers = Answers(out, {"model": digest, "benchmark": benchmark, "data": str(data)})
    waiting = [question for question in questions if question.id not in answers.known]
    if waiting:
        answer(waiting, model, videos, answers)
    completions = [answers.known.get(question.id, "") for question in questions]
    result = {
        "model": str(model),
        "digest": digest,
        "unanswered": sum(question.id not in answers.known for question in questions),
        **evaluation.score(benchmark, questions, completions),
        "official": evaluation.score(benchmark, questions, completions, "official"),
    }
    if benchmark == "clevrer":
        result["diagnosis"] = evaluation.diagnose(questions, completions)
    atomic_write(out / "result.json", json.dumps(result, indent=2) + "\n")
    return result


class Answers:
    """OUT/answers.jsonl: one line an answer, of one model on one benchmark only."""

    def __init__(self, out: Path, identity: dict[str, str]) -> None:
        with disk_errors(out):
            out.mkdir(parents=True, exist_ok=True)
        origin = out / "origin.json"
        if origin.is_file() and json.loads(origin.read_text()) != identity:
            raise InputError(
                f"{out}: holds answers of another model or benchmark; give a new --out folder"
            )
        atomic_write(origin, json.dumps(identity, indent=2) + "\n")
        self._file = out / "answers.jsonl"
        self._skipped = out / "skipped.jsonl"
        self.known = {line["id"]: line["completion"] for line in read_lines(self._file)}

    def add(self, question: Question, completion: str) -> None:
        """Keep one answer."""
        self.known[question.id] = completion
        self._append(self._file, {"id": question.id, "completion": completion})

    def skip(self, question: Question, reason: str) -> None:
        """Keep the reason why there is none."""
        self._append(self._skipped, {"question_id": question.id, "reason": reason})

    def _append(self, path: Path, entry: dict[str, str]) -> None:
        with disk_errors(path), path.open("a") as file:
            file.write(json.dumps(entry) + "\n")


def answer(questions: list[Question], model: Path, videos: Path, answers: Answers) -> None:
    """One most likely completion per question, on one engine."""
    device: Device = "cuda" if torch.cuda.is_available() else "cpu"
    with ray_running(ClusterConfig(device=device)), ProgressLine("evaluate") as progress:
        loader, rollouts = start(model, videos, read_budget(model), device)
        done = 0
        for start_of_batch in range(0, len(questions), BATCH):
            batch = questions[start_of_batch : start_of_batch + BATCH]
            prepared = loader.prepare(batch)
            loader.prefetch(questions[start_of_batch + BATCH : start_of_batch + 2 * BATCH])
            for item in prepared:
                if item.failure is not None:
                    answers.skip(item.question, item.failure)
            usable = [item for item in prepared if item.failure is None]
            seeds = [0] * len(usable)  # of no effect: the most likely answer is taken
            for group, item in rollouts.generate(usable, seeds, samples=1, temperature=0.0):
                answers.add(item.question, group.completions[0].text)
                done += 1
                progress(done, len(questions))


def start(model: Path, videos: Path, budget: Budget, device: Device) -> tuple[Loader, Rollouts]:
    """A prompt loader and one rollout worker that keeps the weights it starts with."""
    loader = actor(PromptLoader, device).remote(model, videos, budget.video, budget.longest_prompt)
    worker = actor(RolloutWorker, device, "rollout").remote(
        "evaluation",
        model,
        budget.dtype,
        RolloutConfig(max_model_len=budget.max_model_len),
        budget.max_tokens,
        device,
    )
    return Loader([loader]), Rollouts([worker])
