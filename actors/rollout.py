"""RolloutWorker: one vLLM engine that samples whole groups and knows which weights it holds."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from actors.vllm_engine import VllmEngine
from videothinker.config.lora import LoraConfig
from videothinker.config.settings import Device, RolloutConfig
from videothinker.errors import Lost, WeightsError
from videothinker.process import metrics
from videothinker.process.pulse import Pulse
from videothinker.types import (
    Completion,
    Prompt,
    RolloutGroup,
    Route,
    SignOfLife,
    Usage,
    WeightsPart,
)


class RolloutWorker(Pulse):
    """Generates only with weights that are not older than the caller asks for."""

    role = "rollout"

    def __init__(
        self,
        name: str,
        model: Path,
        dtype: str,
        rollout: RolloutConfig,
        max_tokens: int,
        device: Device,
        engine_share: float = 0.0,
        lora: LoraConfig | None = None,
    ) -> None:
        self._name = name
        self._max_tokens = max_tokens
        self._device = device
        self._engine = VllmEngine(model, dtype, rollout, device, engine_share, lora)
        metrics.ENGINE_REQUESTS.labels("running").set_function(lambda: self._engine.work().running)
        metrics.ENGINE_REQUESTS.labels("waiting").set_function(lambda: self._engine.work().waiting)
        metrics.ENGINE_CACHE.set_function(lambda: self._engine.work().cache_share)

    def load(self, version: int, *parts: WeightsPart) -> int:
        """Replace the weights; returns the version now held."""
        with self.doing(f"loading weights version {version}"):
            self._engine.load(version, parts)
        metrics.WEIGHT_VERSION.set(version)
        return version

    def sleep(self) -> None:
        """Let go of weights and cache until others come."""
        with self.doing("falling asleep"):
            self._engine.sleep()

    def card(self) -> str:
        """Where its engine's weights lie."""
        return self._engine.ranks.card()

    def usage(self) -> Usage:
        return self._engine.ranks.usage()

    def pulse(self) -> SignOfLife:
        """Lost where its process lives and its model does not: it can do nothing more."""
        if reason := self._engine.lost():
            raise Lost(reason)
        return super().pulse()

    def receive(self, version: int, route: Route) -> int:
        """Replace the weights by what the learner sends; returns the version now held."""
        with self.doing(f"receiving weights version {version}"):
            self._engine.receive(version, route)
        metrics.WEIGHT_VERSION.set(version)
        return version

    def generate(
        self, version: int, samples: int, temperature: float, seeds: Sequence[int], *prompts: Prompt
    ) -> Iterator[tuple[int, RolloutGroup]]:
        """A group per prompt, with the prompt's number, each as soon as it is complete.

        Refuses, and never waits, where newer weights are asked for than it holds: the driver asks
        for what this worker has confirmed.
        """
        held = self._engine.version
        if held < version:
            raise WeightsError(
                f"{self._name} holds weights version {held}, asked for {version} or later; "
                "publish again before generating"
            )
        with self.doing(f"sampling {len(prompts)} prompts with weights version {held}"):
            started = time.monotonic()
            finished = self._engine.sample(
                prompts,
                samples=samples,
                temperature=temperature,
                max_tokens=self._max_tokens,
                seeds=seeds,
            )
            for index, completions in finished:
                metrics.ROLLOUT_GROUPS.inc()
                metrics.ROLLOUT_TOKENS.inc(sum(len(one.token_ids) for one in completions))
                group = RolloutGroup(
                    question=prompts[index].question,
                    completions=completions,
                    weights_version=oldest(completions),
                    worker=self._name,
                    seconds=time.monotonic() - started,
                    prompt_tokens=len(prompts[index].token_ids),
                    patches=prompts[index].patches,
                )
                yield index, group


def oldest(completions: Sequence[Completion]) -> int:
    """The oldest weights version that sampled any of their tokens."""
    return min(int(completion.weights_versions.min()) for completion in completions)
