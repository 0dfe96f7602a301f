"""The learner's forward and backward pass: shared prefix against plain rows, and shared rows.

    python tests/benchmarks/learner.py --out results.json

One thread, float32, a Qwen2.5-VL of the 3B model's proportions at a sixteenth of its width, a group
of the paper's shape; then twelve groups of the mini world's shape, in rows that they share against
a row for each; then the memory of the log-probs alone, at three vocabularies, in a process each.
Linux only. Progress goes to stderr, one line of JSON to stdout.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a bare checkout will do
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from counting import flops, memory
from naive import naive_logprobs
from paper_shape import (
    GRID,
    LENGTHS,
    WORDS_AFTER,
    loss_of,
    made_up_group,
    paper_like_model,
)
from torch import Tensor, nn

from learner.rows import row_sizes
from videothinker import cpu_torch
from videothinker.model import policy as policy_module
from videothinker.model.policy import Policy

SMALL_GRID = (3, 6, 10)
"""The mini world's six frames of 84 x 140 pixels: 45 visual tokens."""
SMALL_WORDS_AFTER = 76
SMALL_LENGTHS = (19, 16, 22, 18, 20, 17, 23, 19)
SMALL_GROUPS = 12
VOCABULARIES = (2_000, 20_000, 150_000)
SCORED, HIDDEN = sum(LENGTHS), 64


def mini_model() -> Any:
    """The mini world's, with random weights."""
    cpu_torch.install()
    from transformers import Qwen2_5_VLForConditionalGeneration

    from videothinker.mini.base.build import make_config
    from videothinker.mini.base.tokenizer import make_tokenizer

    torch.manual_seed(0)
    return Qwen2_5_VLForConditionalGeneration(make_config(make_tokenizer())).train()


def passes(model: Any) -> dict[str, Callable[[], None]]:
    """Forward and backward over the group, both ways."""
    policy = Policy(deepcopy(model))  # which changes how it computes
    prompt, completions = made_up_group(model, GRID, WORDS_AFTER, LENGTHS)

    def shared() -> None:
        loss_of(policy([(prompt, completions)], 1.0)[0]).backward()

    def naive() -> None:
        loss_of(naive_logprobs(model, prompt, completions, 1.0)).backward()

    return {"naive": naive, "shared": shared}


def small_passes(model: Any) -> dict[str, Callable[[], None]]:
    """Forward and backward over small groups, each in a row of its own, and in rows they share."""
    policy = Policy(model)
    group = made_up_group(model, SMALL_GRID, SMALL_WORDS_AFTER, SMALL_LENGTHS)
    longest = len(group[0].token_ids) + sum(SMALL_LENGTHS)

    def in_rows(sizes: list[int]) -> None:
        for size in sizes:
            parts = policy([group] * size, 1.0)[0].split(len(SMALL_LENGTHS))
            torch.stack([loss_of(logp, SMALL_LENGTHS) for logp in parts]).sum().backward()

    return {
        "alone": partial(in_rows, [1] * SMALL_GROUPS),
        "together": partial(in_rows, row_sizes(SMALL_GROUPS, longest)),
    }


def seconds(step: Callable[[], None]) -> tuple[float, float]:
    """Wall and processor time of one pass."""
    gc.collect()
    wall, processor = time.perf_counter(), time.process_time()
    step()
    return time.perf_counter() - wall, time.process_time() - processor


def compare(steps: dict[str, Callable[[], None]], rounds: int, label: str) -> dict[str, Any]:
    """Both ways, one after the other in every round, so that a busy machine slows both."""
    counted = {name: flops(step) for name, step in steps.items()}  # also warms up
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
    for number in range(1, rounds + 1):
        for name, step in steps.items():
            took[name].append(seconds(step))
        now = ", ".join(f"{name} {times[-1][0]:.2f} s" for name, times in took.items())
        note(f"{label}, round {number} of {rounds}: {now}")
    wall, processor = (
        [slow[kind] / fast[kind] for slow, fast in zip(*took.values(), strict=True)]
        for kind in range(2)
    )
    slow, fast = counted.values()
    return {
        "flops_ratio": slow / fast,
        "time_ratio": statistics.median(wall),
        "time_spread": [min(wall), max(wall)],
        "processor_time_ratio": statistics.median(processor),
        "processor_time_spread": [min(processor), max(processor)],
        "gflop": {name: count / 1e9 for name, count in counted.items()},
        "seconds": {
            name: statistics.median(wall for wall, _ in times) for name, times in took.items()
        },
    }


def peak_memory(vocabulary: int, *, chunked: bool) -> float:
    """MiB that log-probs, forward and backward, need at most beside the head and its gradient.

    The head's gradient is there before the measurement, but the pass computes it once more before
    adding it: one more copy of the head is part of the figure.
    """
    head = nn.Linear(HIDDEN, vocabulary, bias=False)
    head.weight.grad = torch.ones_like(head.weight)
    hidden = torch.randn(SCORED, HIDDEN, requires_grad=True)
    predicted = torch.randint(vocabulary, (SCORED,))
    if not chunked:
        policy_module.LOGITS_AT_ONCE["cpu"] = SCORED * vocabulary
    score_and_back(head, hidden[:2], predicted[:2])  # libraries take what they keep
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again from here
    score_and_back(head, hidden, predicted)
    return memory("VmHWM") - before


def score_and_back(head: nn.Linear, hidden: Tensor, predicted: Tensor) -> None:
    """Log-probs as the policy computes them, and their gradients."""
    logp, _ = policy_module.token_scores(head, hidden, predicted, 1.0, forbidden=[0, 1, 2, 3])
    logp.sum().backward()


def memory_by_vocabulary() -> dict[str, dict[str, float]]:
    """`peak_memory` in a fresh process each, in chunks and at once."""
    figures: dict[str, dict[str, float]] = {"chunked": {}, "at_once": {}}
    for name, sizes in figures.items():
        for vocabulary in VOCABULARIES:
            command = [sys.executable, __file__, "--memory", name, str(vocabulary)]
            # what is freed goes back at once, or the peak would be that of the heap's holes
            environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
            finished = subprocess.run(
                command, env=environment, stdout=subprocess.PIPE, text=True, check=True
            )
            sizes[str(vocabulary)] = json.loads(finished.stdout)
            note(f"log-probs of {vocabulary} words, {name}: {sizes[str(vocabulary)]:.0f} MiB")
    return figures


def note(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="Shared prefix against plain rows.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    parser.add_argument("--memory", nargs=2, metavar=("HOW", "VOCABULARY"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.memory:
        how, vocabulary = given.memory
        print(json.dumps(peak_memory(int(vocabulary), chunked=how == "chunked")))
        return
    checkpointed = paper_like_model()
    checkpointed.gradient_checkpointing_enable()
    result = {
        **compare(passes(paper_like_model()), given.rounds, "shared prefix"),
        "checkpointing": compare(passes(checkpointed), given.rounds, "with checkpointing"),
        "small_groups": compare(small_passes(mini_model()), given.rounds, "shared rows"),
        "memory_mib": memory_by_vocabulary(),
    }
    text = json.dumps(result)
    print(text)
    if given.out:
        given.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
