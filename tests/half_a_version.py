"""An engine that is sent what it must not sample with; to be run in a process of its own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from unittest import mock

import torch

from actors.rollout import RolloutWorker
from learner.deepspeed_engine import meeting_point
from videothinker.config.settings import RolloutConfig
from videothinker.errors import Lost, WeightsError
from videothinker.model import transfer
from videothinker.model.policy import load_model
from videothinker.model.transfer import Sender, entry
from videothinker.process.address import LOOPBACK, stay_on
from videothinker.types import Prompt, Route


@dataclass(frozen=True, kw_only=True)
class Found:
    """What an engine said before and after each update, and why it refused two of them."""

    before: list[str]
    incomplete: str
    after_refusal: list[str]
    after_update: list[str]
    damaged: str
    afterwards: str


class Sent:
    """A sender in this process, whose parts a test may spoil."""

    def __init__(
        self,
        tensors: dict[str, torch.Tensor],
        path: Literal["ipc", "nccl"] = "ipc",
        receivers: int = 1,
    ) -> None:
        stay_on(LOOPBACK)
        self.path, self.receivers = path, receivers
        self.store = meeting_point(LOOPBACK)
        names = list(tensors)
        self.parts = [names[:20], names[20:]]
        self.tensors = tensors
        plan = [[entry(name, tensors[name]) for name in part] for part in self.parts]
        self.sender = Sender(self.store, torch.device("cpu"), plan)

    def to(self, worker: RolloutWorker, number: int, damaged: int | None = None) -> str:
        """Why it broke off; `damaged` is the part in which a byte changes on its way."""
        route = Route(
            path=self.path,
            host=LOOPBACK,
            port=self.store.port,
            number=number,
            link=number,
            receiver="here",
            receivers=self.receivers,
            seconds=30,
        )
        with ThreadPoolExecutor(1) as aside:
            coming = aside.submit(worker.receive, 1, route)
            sending, finish = self.sender.begin(route, 1), transfer.finish
            for place, part in enumerate(self.parts):
                content = {name: self.tensors[name] for name in part}
                # damaged after it was packed, before it is announced
                spoil = (lambda _: sending._buffer[3:4].add_(1)) if place == damaged else finish
                with mock.patch.object(transfer, "finish", spoil):
                    sending.part(content)
            broken = self.sender.end(route, sending)
            coming.result()
        return broken


def half_a_version(base: Path, prompt: Prompt) -> Found:
    """An incomplete version, a whole one, and one of which a part is damaged on its way."""
    size = RolloutConfig(max_model_len=512, cache_gb=0.25)
    worker = RolloutWorker("here", base, "float32", size, 16, "cpu")

    def said(version: int) -> list[str]:
        [(_, group)] = worker.generate(version, 4, 1.0, [0], prompt)
        return [completion.text for completion in group.completions]

    before = said(0)
    model = load_model(base, "float32")
    weights = {name: 0.9 * parameter.detach() for name, parameter in model.named_parameters()}
    incomplete = refused(Sent(dict(list(weights.items())[:-1])), worker, 1)
    after_refusal = said(0)
    sent = Sent(weights)
    assert sent.to(worker, 2) == ""
    after_update = said(1)
    damaged = refused(sent, worker, 3, damaged=1)
    try:
        said(1)
        afterwards = ""
    except Lost as error:
        afterwards = str(error)
    return Found(
        before=before,
        incomplete=incomplete,
        after_refusal=after_refusal,
        after_update=after_update,
        damaged=damaged,
        afterwards=afterwards,
    )


def refused(sent: Sent, worker: RolloutWorker, number: int, damaged: int | None = None) -> str:
    """Why the engine did not take it."""
    try:
        sent.to(worker, number, damaged)
    except WeightsError as error:
        return str(error)
    return ""
