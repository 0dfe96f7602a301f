"""What a family of models has of its own, and what several have in common.

docs/extending.md says how to write another, and what has to agree before it may be trained.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from videothinker.config.kl import AnchorView
from videothinker.config.learner import Part
from videothinker.errors import InputError
from videothinker.model.families.pixels import normalised
from videothinker.model.shape import ModelShape
from videothinker.types import Medium, Prompt, Shown
from videothinker.video.frames import Clip
from videothinker.video.poorer import NEUTRAL, hidden_places, luck, retimed, takes

if TYPE_CHECKING:  # a plan needs neither
    import torch
    from torch import Tensor

    from videothinker.model.attention import Sequences


@dataclass(frozen=True, kw_only=True, slots=True)
class Read:
    """A question's words and what it shows, as numbers."""

    token_ids: np.ndarray
    """[P] int64, with a token for each merged patch of what is shown."""
    pixel_values: np.ndarray
    """Of everything that is shown, one after the other: of Qwen's families [patches, numbers of
    one], of others perhaps whole frames (`Family.rows_of`). Bytes, or normalised float32."""
    grids: tuple[tuple[int, int, int], ...]
    """Of each: times, height and width, in patches."""


Features = dict[str, tuple["Tensor", list[int] | None] | list["Tensor"]]
"""Tensors by vLLM's names for them, and how many rows each picture or video has of it; None where
each has one, which is looked at before anything is on the device. Or a tensor for each."""


class PackedTokens(Protocol):
    """What a forward pass is given: groups one after the other (`policy.PackedRow`)."""

    token_ids: Tensor
    positions: Tensor
    """[3, 1, row]."""
    sequences: Sequences
    pixel_values: Tensor
    patches: dict[str, Any]
    """As `Family.patches` returned."""
    visual: Tensor
    """Where in the row the merged patches are."""


class Family(ABC):
    """One family, with the configuration of one of its models as transformers reads it."""

    title: ClassVar[str]
    model_type: ClassVar[str]
    """As config.json has it."""
    owner: ClassVar[str]
    """Who has the released models on the Hub."""
    released: ClassVar[Mapping[str, ModelShape]]
    """Models that can be planned for without being here, by the name of their folder."""

    def __init__(self, config: Any) -> None:
        self.config = config

    @staticmethod
    @abstractmethod
    def model_class() -> Any:
        """What transformers loads the model with."""

    @staticmethod
    @abstractmethod
    def processor_class() -> Any:
        """What transformers loads the files beside it with, that make numbers of words and
        pictures."""

    @staticmethod
    @abstractmethod
    def shape(document: Mapping[str, Any]) -> ModelShape:
        """From a config.json; KeyError, TypeError or ValueError where it is none of this family."""

    @staticmethod
    @abstractmethod
    def part_of(parameter: str) -> Part:
        """The part of the model that a parameter belongs to, by its Hugging Face name."""

    @staticmethod
    def released_name(parameter: str) -> str:
        """A parameter's name as released checkpoints, and so vLLM, know it, but for what vLLM
        renames itself."""
        return parameter

    @property
    @abstractmethod
    def forbidden(self) -> list[int]:
        """Tokens a policy must never emit: each stands for pixels that are not there."""

    @property
    @abstractmethod
    def marks(self) -> dict[Medium, int]:
        """The token that stands for a merged patch of each medium."""

    @property
    @abstractmethod
    def frames_together(self) -> int:
        """Frames of a video that one patch spans."""

    @abstractmethod
    def read(
        self, processor: Any, turns: str, clips: Sequence[tuple[Medium, Clip]], *, raw: bool
    ) -> Read:
        """By the model's own processor; clips have the size that the model sees already. Raw pixels
        are bytes, not normalised yet."""

    @abstractmethod
    def tokens_of(self, shown: Shown) -> int:
        """How many tokens stand for its merged patches."""

    @abstractmethod
    def places(self, shown: Shown) -> tuple[int, int, int]:
        """Times, height and width of what is merged of it."""

    @abstractmethod
    def covering(self, shown: Shown, hidden: np.ndarray) -> np.ndarray:
        """Some of its merged patches, of its `places`, as a mask that fits its pixel values."""

    @abstractmethod
    def positions(self, token_ids: np.ndarray, shown: Sequence[Shown]) -> np.ndarray:
        """[3, P] int64, as the sampler counts them."""

    @abstractmethod
    def span(self, shown: Shown, first: int, last: int) -> tuple[int, int]:
        """Where vLLM has something shown begin and end, by its first and last mark."""

    @abstractmethod
    def features(self, medium: Medium, parts: Sequence[tuple[Shown, np.ndarray]]) -> Features:
        """What vLLM is handed of everything that a prompt shows of one medium, with its pixels."""

    @abstractmethod
    def empty(self) -> tuple[np.ndarray, Shown]:
        """The smallest picture, of zeros."""

    @abstractmethod
    def rewrite(self, model: Any) -> None:
        """Let a model take `Sequences` in place of masks, one row [1, row, H] at a time."""

    @abstractmethod
    def patches(self, model: Any, shown: Sequence[Shown], device: torch.device) -> dict[str, Any]:
        """What a model's vision tower needs to know of what is shown, counted without the
        device."""

    @abstractmethod
    def states(self, model: Any, row: PackedTokens) -> Tensor:
        """Final hidden states [row, H]."""

    def pixels(
        self, prompts: Sequence[Prompt], device: torch.device | str
    ) -> tuple[Tensor, list[Shown]]:
        """Normalised, of everything that some prompts show, in their order; an empty picture where
        that is nothing: every rank goes through the whole model in every pass, or those that
        exchange gradients would wait for each other for ever."""
        import torch

        seen = [prompt for prompt in prompts if prompt.shown]
        if not seen:
            zeros, nothing = self.empty()
            return normalised(zeros, None, device), [nothing]
        parts = [normalised(one.pixel_values, one.colours, device) for one in seen]
        pixels = parts[0] if len(parts) == 1 else torch.cat(parts)  # which would be a copy
        return pixels, [one for prompt in seen for one in prompt.shown]

    def apart(self, prompt: Prompt) -> Iterator[tuple[Shown, np.ndarray, np.ndarray]]:
        """Each that a prompt shows, with its pixels, normalised, and where its tokens are."""
        marks, done = self.marked(prompt.token_ids, prompt.shown), 0
        pixels = normalised(prompt.pixel_values, prompt.colours).numpy()
        for one, places in zip(prompt.shown, marks, strict=True):
            rows = self.rows_of(one)
            yield one, pixels[done : done + rows], places
            done += rows

    def rows_of(self, shown: Shown) -> int:
        """Of its pixel values."""
        return shown.patches

    def seen_as(self, prompt: Prompt, view: AnchorView) -> Prompt:
        """A prompt of which less is seen: other pixels, normalised, all else as it is. The very
        same where the view takes nothing from what it shows; the same changes for the same
        question."""
        if not any(takes(view, one.grid[0]) for one in prompt.shown):
            return prompt
        random = luck(prompt.question.id)
        seen = [self._seen(one, pixels, view, random) for one, pixels, _ in self.apart(prompt)]
        return replace(prompt, pixel_values=np.concatenate(seen), colours=None)

    def _seen(
        self, shown: Shown, pixels: np.ndarray, view: AnchorView, random: np.random.Generator
    ) -> np.ndarray:
        times = shown.grid[0]
        if not takes(view, times):
            return pixels
        if view == "blind":
            return np.full_like(pixels, NEUTRAL)
        if view == "masked":
            hidden = hidden_places(self.places(shown), random)
            return np.where(self.covering(shown, hidden), np.float32(NEUTRAL), pixels)
        return retimed(pixels, times, view, random)

    def marked(self, token_ids: np.ndarray, shown: Sequence[Shown]) -> Iterator[np.ndarray]:
        """Of each that is shown, where its tokens are; InputError unless these are all of them."""
        found = np.flatnonzero(np.isin(token_ids, [*self.marks.values()]))
        counts = [self.tokens_of(one) for one in shown]
        if sum(counts) != len(found):
            raise InputError(
                f"{len(found)} tokens of the prompt stand for pictures or videos, and what it shows"
                f" has {sum(counts)}; take placeholders such as <|video_pad|> out of its words"
            )
        for one, count in zip(shown, counts, strict=True):
            places, found = found[:count], found[count:]
            if (token_ids[places] != self.marks[one.medium]).any():
                raise InputError(
                    "the prompt's pictures and videos are not in the order asked for: the model's"
                    " chat template has one of its own; name them in that, such as pictures first"
                )
            yield places


def counted(length: int, blocks: Sequence[tuple[int, np.ndarray]]) -> np.ndarray:
    """Positions [3, length] on three axes: words go up by one, a block [3, n] of a picture or of
    frames has its own from where it begins, and what follows goes on one past the largest."""
    parts, done, upcoming = [], 0, 0
    for start, block in blocks:
        words = np.arange(upcoming, upcoming + start - done)
        placed = block + upcoming + len(words)
        parts += [np.broadcast_to(words, (3, len(words))), placed]
        done, upcoming = start + block.shape[1], int(placed.max()) + 1
    rest = np.arange(upcoming, upcoming + length - done)
    parts.append(np.broadcast_to(rest, (3, len(rest))))
    positions: np.ndarray = np.concatenate(parts, axis=1).astype(np.int64)
    return positions


def laid_out(texts: Tensor, features: Tensor, row: PackedTokens) -> Tensor:
    """Embeddings of the row's words, with features where something is shown; those of an empty
    picture are nowhere."""
    return texts.index_copy(0, row.visual, features[: len(row.visual)])
