"""PromptLoader: decodes and preprocesses each video once, away from the engines.

A video that crashes the decoder takes this process with it and nothing else.
"""

from __future__ import annotations

from pathlib import Path

from videothinker.config import VideoConfig
from videothinker.errors import InputError
from videothinker.metrics import serve
from videothinker.model.processing import PromptBuilder
from videothinker.types import Prompt, Question


class PromptLoader:
    """Question -> (None, Prompt), or (the reason it is left out, None)."""

    def __init__(self, model: Path, videos: Path, video: VideoConfig, longest: int) -> None:
        self._builder = PromptBuilder(model, videos, video)
        self._longest = longest

    def serve_metrics(self) -> int:
        """Start this process's Prometheus endpoint; returns its port."""
        return serve()

    def prepare(self, question: Question) -> tuple[str | None, Prompt | None]:
        """Two results, so that the driver can fetch the small one and pass the large one on."""
        try:
            prompt = self._builder.build(question)
        except InputError as error:
            return str(error), None
        tokens = len(prompt.token_ids)
        if tokens > self._longest:
            return f"the prompt has {tokens} tokens, room is for {self._longest}", None
        return None, prompt
