"""PromptLoader: decodes and preprocesses each video once, away from the engines."""

from __future__ import annotations

from pathlib import Path

from videothinker.config import DataConfig, VideoConfig
from videothinker.data.clips import ClipStore
from videothinker.data.views import View
from videothinker.errors import InputError
from videothinker.metrics import VIDEOS, serve
from videothinker.model.processing import PromptBuilder
from videothinker.types import Prompt, Question


class PromptLoader:
    """Question -> (None, Prompt), or (the reason it is left out, None)."""

    def __init__(self, model: Path, data: DataConfig, video: VideoConfig, longest: int) -> None:
        self._clips = ClipStore(data.cache, data.cache_gb, video, data.decode_seconds)
        self._builder = PromptBuilder(model, data.videos, self._clips)
        self._longest = longest

    def serve_metrics(self) -> int:
        """Start this process's Prometheus endpoint; returns its port."""
        return serve()

    def counts(self) -> dict[str, int]:
        """How many videos were decoded, found in the cache, or could not be read."""
        return self._clips.counts.as_dict()

    def prepare(
        self, question: Question, text: str, view: View = "video"
    ) -> tuple[str | None, Prompt | None]:
        """Two results, so that the driver can fetch the small one and pass the large one on."""
        before = self.counts()
        try:
            prompt = self._builder.build(question, text, view)
        except InputError as error:
            return str(error), None
        finally:
            for outcome, count in self.counts().items():
                VIDEOS.labels(outcome).inc(count - before[outcome])
        tokens = len(prompt.token_ids)
        if tokens > self._longest:
            return f"the prompt has {tokens} tokens, room is for {self._longest}", None
        return None, prompt
