"""PromptLoader: decodes and preprocesses each video once, away from the engines."""

from __future__ import annotations

from pathlib import Path

from videothinker.config.settings import DataConfig, VideoConfig
from videothinker.errors import InputError
from videothinker.method.prompts import Turns
from videothinker.model.families.known import frames_for
from videothinker.model.processing import PromptBuilder
from videothinker.process.metrics import VIDEOS
from videothinker.process.pulse import Pulse
from videothinker.types import Failure, Prompt, Question
from videothinker.video.clips import ClipStore
from videothinker.video.views import View

OUTCOMES = ("decoded", "reused", "failed")


class PromptLoader(Pulse):
    """Question -> Prompt, or the reason it is left out."""

    role = "loader"

    def __init__(self, model: Path, data: DataConfig, video: VideoConfig, longest: int) -> None:
        budget = frames_for(model, video)
        self._clips = ClipStore(data.cache, data.cache_gb, budget, data.decode_seconds)
        self._builder = PromptBuilder(model, data.videos, self._clips)
        self._longest = longest
        for outcome in OUTCOMES:
            VIDEOS.labels(outcome)

    def counts(self) -> dict[str, int]:
        """How many videos were decoded, found in the cache, could not be read, or not be kept."""
        return self._clips.counts

    def prepare(
        self, question: Question, text: str | Turns, view: View = "video"
    ) -> tuple[tuple[Failure | None, dict[str, int], int], Prompt | None]:
        """Two results, so that the driver can fetch the small one and pass the large one on: the
        reason why there is no prompt, the counts so far and the prompt's bytes; and the prompt.
        """
        before = self.counts()
        with self.doing(f"preparing {question.id}"):
            prompt, failure = self._build(question, text, view)
        counts = self.counts()
        for outcome in OUTCOMES:
            VIDEOS.labels(outcome).inc(counts[outcome] - before[outcome])
        return (failure, counts, 0 if prompt is None else prompt.size), prompt

    def _build(
        self, question: Question, text: str | Turns, view: View
    ) -> tuple[Prompt | None, Failure | None]:
        try:
            prompt = self._builder.build(question, text, view)
        except InputError as error:
            return None, Failure(kind="video", reason=str(error))
        tokens = len(prompt.token_ids)
        if tokens > self._longest:
            reason = f"the prompt has {tokens} tokens, room is for {self._longest}"
            return None, Failure(kind="too_long", reason=reason)
        return prompt, None
