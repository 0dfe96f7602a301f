"""How large a model is, from its config.json alone: every parameter counted by formula, of which a
family has its own (`families`). Planning a run needs no weights.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from videothinker.config.learner import LearnerConfig
from videothinker.config.lora import LoraConfig
from videothinker.config.settings import DType, VideoConfig

LOGITS_AT_ONCE = {"cpu": 2**24, "cuda": 2**26}
"""Scores over the vocabulary that exist at one time: 64 MiB of float32, and 256."""
TOKENS_AT_ONCE = 2048
"""Of a row that holds several groups. Small groups share a row because each pass costs time of its
own; one of the paper's is longer than this, and has one to itself."""
PREFILL_AT_ONCE = {"cpu": 4096, "cuda": 8192}
DECODED_AT_ONCE = 256
"""Tokens of prompts, and completions, that an engine takes into one step at most."""
BYTES = {"float32": 4, "bfloat16": 2}
CHANNELS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelShape(ABC):
    """The sizes that memory and time follow from."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    tied: bool
    """Whether the output head is the embeddings."""
    vision_hidden: int
    vision_layers: int
    vision_intermediate: int
    vision_heads: int
    patch: int
    temporal_patch: int
    merge: int
    """Patches merged into one token along each side."""

    @property
    @abstractmethod
    def layer(self) -> int:
        """Parameters of one layer of the language model."""

    @property
    @abstractmethod
    def vision(self) -> int:
        """Parameters of the vision tower without its merger."""

    @property
    @abstractmethod
    def merger(self) -> int:
        """Parameters of what turns patches into tokens of the language model."""

    @property
    def side(self) -> int:
        """Pixels along each side of what becomes one token."""
        return self.patch * self.merge

    @property
    def embeddings(self) -> int:
        """Parameters of embeddings and output head, which may be the same."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    @property
    def parameters(self) -> int:
        return self.language + self.embeddings + self.vision + self.merger

    @property
    def language(self) -> int:
        """Parameters of the language model between embeddings and head."""
        return self.layers * self.layer + self.hidden

    @property
    def pixels_per_patch(self) -> int:
        """Numbers that stand for one patch in a Prompt."""
        return CHANNELS * self.temporal_patch * self.patch**2

    @property
    def projected(self) -> int:
        """Patches that go through the merger together."""
        return self.merge**2

    def tokens(self, video: VideoConfig) -> int:
        """The most that a video has under a budget: of frames as many as there may be, each as
        large as their number leaves it (`video/frames.py: frame_size`)."""
        share = 2 * video.total_pixels // video.max_frames
        frame = min(video.max_pixels, max(share, int(video.min_pixels * 1.05)))
        return (
            video.max_frames * max(frame, video.min_pixels) // (self.side**2 * self.temporal_patch)
        )

    def patches(self, tokens: int) -> int:
        """That so many tokens of videos stand for."""
        return tokens * self.merge**2

    @property
    def linears(self) -> dict[str, tuple[int, int]]:
        """Inputs and outputs of each matrix of a layer of the language model."""
        asking, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        return {
            "q_proj": (self.hidden, asking),
            "k_proj": (self.hidden, keys),
            "v_proj": (self.hidden, keys),
            "o_proj": (asking, self.hidden),
            "gate_proj": (self.hidden, self.intermediate),
            "up_proj": (self.hidden, self.intermediate),
            "down_proj": (self.intermediate, self.hidden),
        }

    @property
    @abstractmethod
    def seeing(self) -> list[tuple[int, int]]:
        """Inputs and outputs of every matrix of the vision tower and its merger."""

    def adapted(self, lora: LoraConfig) -> list[tuple[int, int]]:
        """Inputs and outputs of every matrix that an adapter is beside."""
        layer = [size for name, size in self.linears.items() if name in lora.targets]
        return layer * self.layers + (self.seeing if lora.vision else [])

    def trained(self, learner: LearnerConfig) -> int:
        """Parameters with a gradient: of an adapter, or by what `learner.freeze` leaves."""
        if learner.lora is not None:
            return learner.lora.rank * sum(map(sum, self.adapted(learner.lora)))
        parts = {
            "vision": self.vision,
            "merger": self.merger,
            "embeddings": self.embeddings,
            "layers": self.language,
        }
        return sum(size for part, size in parts.items() if part not in learner.freeze)

    def cache_bytes(self, dtype: DType) -> int:
        """What one token takes in a sampler's key-value cache."""
        return 2 * self.layers * self.kv_heads * self.head_dim * BYTES[dtype]
