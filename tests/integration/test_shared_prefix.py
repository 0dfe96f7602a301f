"""One packed row under DeepSpeed against plain rows without: the same loss, the same gradients."""

from __future__ import annotations

import itertools
import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from naive import naive_logprobs
from torch import Tensor

from videothinker.config.learner import LearnerConfig
from videothinker.config.settings import VideoConfig
from videothinker.method.objective import policy_loss
from videothinker.method.prompts import training_text
from videothinker.model.policy import completion_mask, load_model
from videothinker.model.processing import ClipSource, PromptBuilder
from videothinker.types import Prompt, Question

TOLERANCE = 1e-5
LENGTHS = ((20, 1, 7, 12), (3, 26, 5))
CASES = list(itertools.product((0, 2, 3), (False, True), (1, 2)))
"""ZeRO stage, whether checkpointing, and how many groups share a row."""
RANKS = (1, 2)


@dataclass(frozen=True, kw_only=True)
class Group:
    """What a loss needs beside the policy."""

    prompt: Prompt
    completions: list[np.ndarray]
    anchor: Tensor
    advantages: Tensor

    def loss(self, logp: Tensor) -> Tensor:
        """With an anchor close enough to feel both directions of the divergence."""
        mask = completion_mask([len(tokens) for tokens in self.completions], logp.device)
        loss, _ = policy_loss(
            logp,
            logp.detach(),
            self.anchor,
            self.advantages,
            mask,
            direction="repel",
            coefficient=0.1,
        )
        return loss


@dataclass(frozen=True, kw_only=True)
class Update:
    """The mean loss over the groups and its gradient by parameter name."""

    loss: float
    gradients: dict[str, Tensor]


def made_up_groups(folder: Path) -> list[Group]:
    """Random completions, advantages and anchors for the prompts; the same in every process."""
    prompts: list[Prompt] = pickle.loads((folder / "prompts.pickle").read_bytes())
    random, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    return [
        Group(
            prompt=prompt,
            completions=[random.integers(5, 100, size=length) for length in lengths],
            anchor=-4 - torch.rand(len(lengths), max(lengths), generator=generator),
            advantages=torch.randn(len(lengths), generator=generator),
        )
        for prompt, lengths in zip(prompts, LENGTHS, strict=True)
    ]


def naive_update(model: Any, groups: Sequence[Group]) -> Update:
    """Through transformers alone."""
    losses = [
        group.loss(naive_logprobs(model, group.prompt, group.completions, 1.0)) for group in groups
    ]
    loss = torch.stack(losses).mean()
    loss.backward()
    gradients = {
        name: parameter.grad
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    return Update(loss=loss.item(), gradients=gradients)


def shared_update(
    base: Path, config: LearnerConfig, groups: Sequence[Group], together: int
) -> Update:
    """Through the learner's engine, on this rank's groups; what all ranks have then exchanged."""
    from deepspeed.utils import safe_get_full_grad

    from learner.deepspeed_engine import Trainee, mean_over_ranks

    rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
    trainee = Trainee(base, "float32", config)
    share = groups[rank::world]
    total = torch.zeros(())
    rows = [share[start : start + together] for start in range(0, len(share), together)]
    for row in rows:
        logp, _ = trainee([(group.prompt, group.completions) for group in row], 1.0)
        parts = zip(row, logp.split([len(group.completions) for group in row]), strict=True)
        losses = [group.loss(part[:, : group.anchor.shape[1]]) for group, part in parts]
        loss = torch.stack(losses).sum() / len(share)
        trainee.backward(loss, last=row is rows[-1])
        total += loss.detach()
    gradients = {
        name: safe_get_full_grad(parameter) for name, parameter in trainee._model.named_parameters()
    }
    return Update(
        loss=float(mean_over_ranks(total)),
        gradients={name: gradient for name, gradient in gradients.items() if gradient is not None},
    )


def work(folder: Path, rank: int, world: int, port: int) -> None:
    """One rank's process: every case, one after the other."""
    from learner.deepspeed_engine import connect

    store = torch.distributed.TCPStore(
        "127.0.0.1", port, is_master=rank == 0, wait_for_workers=False
    )
    connect(rank, world, store, "cpu")
    groups = made_up_groups(folder)
    for case in CASES:
        stage, checkpointing, together = case
        config = LearnerConfig(ranks=world, zero_stage=stage, gradient_checkpointing=checkpointing)
        update = shared_update(folder / "model", config, groups, together)
        if rank == 0:
            torch.save((update.loss, update.gradients), folder / file_of(world, case))


def file_of(world: int, case: tuple[int, bool, int]) -> str:
    """Where rank 0 leaves a case's update."""
    return "_".join(map(str, (world, *case))) + ".pt"


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory,
    mini_base: Path,
    mini_world: Path,
    mini_video: VideoConfig,
    mini_questions: list[Question],
    read_here: Callable[[VideoConfig], ClipSource],
) -> Path:
    """What the ranks' processes read, and where they write."""
    folder = tmp_path_factory.mktemp("ranks")
    (folder / "model").symlink_to(mini_base)
    builder = PromptBuilder(mini_base, mini_world / "raw" / "videos", read_here(mini_video))
    prompts = [
        builder.build(question, training_text(question))
        for question in (mini_questions[0], mini_questions[-1])
    ]
    (folder / "prompts.pickle").write_bytes(pickle.dumps(prompts))
    return folder


@pytest.fixture(scope="module")
def naive(folder: Path) -> Update:
    groups = made_up_groups(folder)
    return naive_update(load_model(folder / "model", "float32"), groups)


@pytest.fixture(scope="module", params=RANKS, ids=lambda ranks: f"{ranks}-ranks")
def ranks(request: pytest.FixtureRequest, folder: Path) -> int:
    """So many processes have computed every case."""
    world: int = request.param
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    here = Path(__file__)
    environment = os.environ | {"PYTHONPATH": f"{here.parents[2]}{os.pathsep}{here.parents[1]}"}
    processes = [
        subprocess.Popen(
            [sys.executable, here, folder, str(rank), str(world), str(port)], env=environment
        )
        for rank in range(world)
    ]
    try:
        assert [process.wait(timeout=300) for process in processes] == [0] * world
    finally:
        for process in processes:
            process.kill()
    return world


@pytest.fixture(params=CASES, ids=lambda case: "zero-{}-checkpointing-{}-groups-{}".format(*case))
def shared(request: pytest.FixtureRequest, folder: Path, ranks: int) -> Update:
    loss, gradients = torch.load(folder / file_of(ranks, request.param))
    return Update(loss=loss, gradients=gradients)


def test_the_loss_is_that_of_plain_rows(shared: Update, naive: Update) -> None:
    assert shared.loss == pytest.approx(naive.loss, rel=TOLERANCE)


def test_every_gradient_is_that_of_plain_rows(shared: Update, naive: Update) -> None:
    assert shared.gradients.keys() == naive.gradients.keys()
    apart = {
        name: float((shared.gradients[name] - gradient).norm() / gradient.norm())
        for name, gradient in naive.gradients.items()
    }
    worst = max(apart, key=lambda name: apart[name])
    assert apart[worst] < TOLERANCE, f"{worst}: {apart[worst]:.2g}"


if __name__ == "__main__":
    work(Path(sys.argv[1]), *map(int, sys.argv[2:]))
