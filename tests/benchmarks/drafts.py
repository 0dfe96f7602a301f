"""What guessing tokens from the completions before is worth (`rollout.drafts`), and what it costs.

    PYTHONPATH=.:tests python tests/benchmarks/drafts.py RUN [--drafts 5] [--rounds 9] [--real]
        [--batches 8,16,64,256]

RUN is a quickstart's folder: the model that its first stage left answers questions of the second,
after 64 others, as in a stage's first steps. Two engines in one process, one with drafts, take
turns; each answers the same questions with the same seeds. With `--real` a model of 151,936 words
and random weights instead, after 8 others, at a temperature at which it repeats itself: what a
large head makes of it. Processor seconds, so that neighbours count for less. Progress goes to
stderr, one line of JSON to stdout.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

from mini_worlds import MINI_VIDEO
from real_models import write_real

from actors.vllm_engine import VllmEngine
from videothinker import cpu_torch
from videothinker.config.settings import RolloutConfig
from videothinker.data.questions import read_questions
from videothinker.method.prompts import training_text
from videothinker.model.processing import PromptBuilder
from videothinker.process import metrics
from videothinker.types import Prompt
from videothinker.video.frames import Clip, FrameBudget, read_clip

GROUP, TOKENS = 8, 48
BEFORE, AT_ONCE = 64, 8
"""Questions that were answered before, of a stage's step or some, and how many of them together."""
REAL, REPEATS = "Qwen2.5-VL-3B-Instruct", 0.1


class Decoded:
    """A source of clips for a PromptBuilder."""

    def get(self, path: Path, start: float | None = None, end: float | None = None) -> Clip:
        return read_clip(path, FrameBudget.model_validate(MINI_VIDEO.model_dump()), start, end)


class Contender:
    """An engine, and how many steps it makes."""

    def __init__(self, model: Path, drafts: int) -> None:
        config = RolloutConfig(max_model_len=512, cache_gb=0.5, drafts=drafts)
        self._engine = VllmEngine(model, "float32", config, "cpu")
        scheduler = self._engine._engine.engine_core.engine_core.scheduler
        self._schedule, scheduler.schedule = scheduler.schedule, self._counted
        self._steps = 0

    def answer(self, prompts: Sequence[Prompt], seed: int, temperature: float) -> dict[str, float]:
        """All of them side by side."""
        self._steps = 0
        spent, begun = time.process_time(), time.monotonic()
        groups = self._engine.sample(
            prompts,
            samples=GROUP,
            temperature=temperature,
            max_tokens=TOKENS,
            seeds=[seed + GROUP * place for place in range(len(prompts))],
        )
        tokens = sum(len(one.token_ids) for _, group in groups for one in group)
        spent, took = time.process_time() - spent, time.monotonic() - begun
        return {"rate": tokens / spent, "wall_rate": tokens / took, "steps": self._steps}

    def _counted(self, *given: Any, **named: Any) -> Any:
        self._steps += 1
        return self._schedule(*given, **named)


def measure(
    given: argparse.Namespace, model: Path, before: int, temperature: float
) -> dict[str, Any]:
    """Medians for each number of completions side by side."""
    batches = [int(one) for one in given.batches.split(",")]
    inputs = given.run / "inputs"
    builder = PromptBuilder(model, inputs / "videos", Decoded())
    questions = read_questions(inputs / "train" / "questions.parquet")
    prompts = [builder.build(one, training_text(one)) for one in questions[: before + 128]]
    contenders = {"without": Contender(model, 0), "with": Contender(model, given.drafts)}
    for one in contenders.values():
        for first in range(0, before, AT_ONCE):
            one.answer(prompts[first : first + AT_ONCE], 10**6 + 1000 * first, temperature)
    return {
        str(batch): compared(
            contenders, prompts[before:], batch // GROUP, given.rounds, temperature
        )
        for batch in batches
    }


def compared(
    contenders: dict[str, Contender],
    prompts: Sequence[Prompt],
    together: int,
    rounds: int,
    temperature: float,
) -> dict[str, Any]:
    """Both in turns; the first round is not counted."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in contenders}
    before = guessed()
    for number in range(rounds + 1):
        first = number * together % (len(prompts) - together + 1)
        names = sorted(contenders, reverse=number % 2 == 1)
        for name in names:
            some = prompts[first : first + together]
            figures = contenders[name].answer(some, 10_000 * number, temperature)
            found[name].append(figures)
    drafted, accepted = (now - then for now, then in zip(guessed(), before, strict=True))
    pairs = zip(found["with"][1:], found["without"][1:], strict=True)
    ratios = [ours["rate"] / plain["rate"] for ours, plain in pairs]
    result: dict[str, Any] = {
        name: {key: statistics.median(one[key] for one in figures[1:]) for key in figures[0]}
        for name, figures in found.items()
    }
    result["ratio"] = [round(call(ratios), 2) for call in (statistics.median, min, max)]
    result["accepted_share"] = round(accepted / drafted, 2) if drafted else None
    print(f"{together * GROUP}: {result}", file=sys.stderr, flush=True)
    return result


def guessed() -> tuple[float, float]:
    """Tokens guessed so far, and those of them that were sampled."""
    kinds = (metrics.DRAFTED_TOKENS, metrics.ACCEPTED_TOKENS)
    drafted, accepted = (next(iter(kind.collect())).samples[0].value for kind in kinds)
    return drafted, accepted


def main() -> None:
    """One line of JSON on stdout."""
    parser = argparse.ArgumentParser(description="Sampling with and without drafts.")
    parser.add_argument("run", type=Path)
    parser.add_argument("--drafts", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--real", action="store_true")
    parser.add_argument("--batches", default="8,16,64,256")
    given = parser.parse_args()
    cpu_torch.install()
    with tempfile.TemporaryDirectory(prefix="videothinker-drafts-") as place:
        if given.real:
            found = measure(given, write_real(Path(place) / "model", REAL), AT_ONCE, REPEATS)
        else:
            found = measure(given, given.run / "stages" / "bias" / "model", BEFORE, 1.0)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
