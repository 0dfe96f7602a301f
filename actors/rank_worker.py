"""Runs inside each process of an engine over several devices: what the engine asks of a rank."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.vllm_worker import Shapes, WeightUpdate
from videothinker.errors import WeightsError

if TYPE_CHECKING:
    from videothinker.config.settings import Device
    from videothinker.types import Route, Usage, WeightsPart


class Rank(WeightUpdate):
    """Weights come whole, and vLLM's own loaders keep this rank's share of each tensor."""

    def end_with_engine(self) -> None:
        """vLLM's ranks listen for the end of their engine between two steps; one that computes with
        another rank that is gone never comes to that.
        """
        from videothinker.process.orphan import end_with_parent

        end_with_parent()

    def card_here(self, device: Device) -> str:
        from videothinker.process.device import card

        return card(device)

    def usage_here(self, device: Device) -> Usage:
        from videothinker.process.device import usage

        return usage(device)

    def refuses(self, shapes: Shapes) -> str | None:
        """Why weights of these shapes are not those of its model."""
        return self._coverage_fault(shapes)

    def begin_weights(self) -> None:
        """From here on it is of no use until all parts have come."""
        self._begin_replacing()

    def take_part(self, version: int, part: WeightsPart) -> str | None:
        """Load one part; returns what is wrong with it."""
        from videothinker.model.parts import tensors_in

        try:
            self._replace_some(list(tensors_in(part, version)))
        except WeightsError as error:
            return str(error)
        return None

    def finish_weights(self) -> None:
        self._finish_replacing()

    def receive_weights(self, version: int, route: Route) -> str | None:
        try:
            return super().receive_weights(version, route)
        except WeightsError as error:  # vLLM passes on words alone
            raise WeightsError(f"rank {self.rank}: {error}") from error
