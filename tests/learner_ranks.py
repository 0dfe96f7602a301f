"""Learner ranks in processes of their own, called together, without Ray."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import safetensors.torch

from videothinker.model.parts import tensors_in
from videothinker.types import LearnerReport, Prompt, ScoredGroup


class Ranks:
    """Some ranks, connected; what one raises is raised here."""

    def __init__(self, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipes, self._processes = [], []
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs,), daemon=True)
            process.start()
            self._pipes.append(ours)
            self._processes.append(process)
        _, self.port = self.all("meeting_point")
        self.everywhere("connect", lambda rank: (rank, count, "127.0.0.1", self.port))

    def everywhere(self, method: str, arguments: Callable[[int], tuple[Any, ...]]) -> list[Any]:
        for rank, pipe in enumerate(self._pipes):
            pipe.send((method, arguments(rank)))
        answers = [pipe.recv() for pipe in self._pipes]
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

    def all(self, method: str, *arguments: Any) -> Any:
        """The same call everywhere; rank 0's answer."""
        return self.everywhere(method, lambda _: arguments)[0]

    def step(
        self,
        step: int,
        batch: list[tuple[ScoredGroup, Prompt]],
        coefficient: float = 0.0,
        updates: int = 1,
    ) -> LearnerReport:
        """Groups dealt in turn; the batch divides evenly."""
        count, size = len(self._pipes), len(batch) // updates
        parts = [batch[start : start + size] for start in range(0, len(batch), size)]

        def arguments(rank: int) -> tuple[Any, ...]:
            mine = [part[rank::count] for part in parts]
            shares = [[(scored, 1 / size) for scored, _ in part] for part in mine]
            prompts = [prompt for part in mine for _, prompt in part]
            return (step, coefficient, shares, *prompts)

        return self.everywhere("step", arguments)[0]

    def ahead(
        self,
        step: int,
        *rows: list[tuple[ScoredGroup, Prompt]],
        meanwhile: Callable[[], object] = bool,
    ) -> LearnerReport:
        """The same step, given row by row, of which the last comes with the update."""
        count, whole = len(self._pipes), sum(map(len, rows))
        report = None
        for place, row in enumerate(rows):

            def arguments(rank: int, row: Any = row) -> tuple[Any, ...]:
                mine = row[rank::count]
                share = [(scored, 1 / whole) for scored, _ in mine]
                return (step, 0.0, [share], *[prompt for _, prompt in mine])

            method = "gather" if place < len(rows) - 1 else "step"
            meanwhile()
            report = self.everywhere(method, arguments)[0]
        assert report is not None
        return report

    def save_state(self, folder: Path) -> None:
        """As cluster.workers.learner.Learner has it."""
        self.all("save_state", folder)

    def weights(self) -> bytes:
        """The policy as published."""
        _, part = self.all("publish", 1, 0)
        return safetensors.torch.save(dict(tensors_in(part, 1)))

    def close(self) -> None:
        for pipe in self._pipes:
            pipe.send(None)
        for process in self._processes:
            process.join(30)
            process.kill()


def _serve(pipe: Connection) -> None:
    from videothinker import cpu_torch

    cpu_torch.install()
    import torch

    from learner.rank import LearnerRank

    torch.set_num_threads(1)
    rank = LearnerRank("cpu")
    while (call := pipe.recv()) is not None:
        method, arguments = call
        try:
            pipe.send(getattr(rank, method)(*arguments))
        except Exception as error:  # it is raised again on the other side
            pipe.send(error)
            if type(error).__module__ != "videothinker.errors":
                raise
