"""Every record that crosses a process boundary.

NumPy only: Ray shares the arrays without copying, and the driver needs no torch. Shape suffixes:
P prompt tokens, T tokens of one completion, G completions of a group.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

FinishReason = Literal["stop", "length"]
SkipKind = Literal["video", "too_long", "processes_lost", "too_old", "no_replay", "reward"]
"""Why a question or a group was left out: what metrics count by."""
AnswerKind = Literal["choice", "multi", "number", "text", "yes_no", "span", "box", "list"]
"""How an answer is asked for and judged: `method/answers.py`."""
Wording = Literal["training", "evaluation", "direct"]
"""The words around a question: `method/prompts.py`."""
Medium = Literal["video", "picture"]
"""What may be shown beside words."""
SHOWN_AT_MOST = 16
"""Videos and pictures of one question, of each."""
Label = Literal["observational", "inferential"]
LABELS: tuple[Label, ...] = get_args(Label)
"""Of a question whose answer the video alone gives away, and of one that needs thought."""
INITIAL_VERSION = 0
"""Weights version of an engine that still holds the checkpoint it was started from."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """One question about a video, a picture, several of these or none, wherever it came from.

    Example: Question(id="video_00003/q1", video="videos/video_00003.mp4", text="What will happen
    without the red cube?", options=(("A", "The ..."), ("B", "The ...")), answer="A,B",
    category="inferential")
    """

    id: str
    video: str
    """Path of the video, or of a picture; relative paths are relative to the run's video folder.
    Empty for a question of words alone."""
    text: str
    options: tuple[tuple[str, str], ...]
    """(letter, text) in the order shown."""
    answer: str
    """Correct letters, ascending, comma separated: "C" or "A,C"; else what its kind says."""
    category: str = ""
    """What results are split by; for CLEVRER "observational" or "inferential"."""
    start: float | None = None
    end: float | None = None
    """The part of the video to watch, in seconds; None is its own start or end."""
    kind: AnswerKind = "multi"
    tolerance: float | None = None
    """How far a number may be from the answer."""
    also: tuple[str, ...] = ()
    """More videos and pictures, shown after the first."""
    weight: float | None = field(default=None, repr=False, compare=False)
    """How often it is drawn beside others, where a stage draws by this column of its file."""
    wording: Wording = field(default="training", repr=False)
    """How a run asks it, which no file of questions says; it is the same question either way, to
    `digest_of` too."""

    @property
    def shows(self) -> tuple[str, ...]:
        """Everything that is shown, in its order; nothing where the words are all."""
        return tuple(path for path in (self.video, *self.also) if path)


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Why there is no prompt for a question."""

    kind: SkipKind
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """One video or picture of a prompt."""

    medium: Medium
    grid: tuple[int, int, int]
    """Before merging: times, height, width, in patches."""
    seconds_per_grid: float
    """From one time to the next; 0 of a picture."""
    digest: str
    """Content address of what was decoded under this budget."""

    @property
    def patches(self) -> int:
        times, height, width = self.grid
        return times * height * width


@dataclass(frozen=True, kw_only=True, slots=True)
class Colours:
    """What a model's processor takes from every number of a channel, and then divides it by."""

    means: tuple[float, ...]
    spreads: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """A question ready for every model of the run: decoded, preprocessed and tokenised once."""

    question: Question
    token_ids: np.ndarray
    """[P] int32, placeholders already expanded to one token per merged patch. Their positions
    follow from them and from what is shown (`Family.positions`)."""
    next_position: int
    """Position, on all three axes, of a completion's first token."""
    pixel_values: np.ndarray
    """Of all that is shown: [patches, channels * temporal_patch * patch * patch], or as the model's
    family has it, channels after its rows. uint8, to be normalised where they are used
    (`model/families/pixels.py`); float32 where they are already."""
    shown: tuple[Shown, ...]
    colours: Colours | None = None
    """What its pixels are normalised by; None where they are."""

    @property
    def patches(self) -> int:
        return sum(one.patches for one in self.shown)

    @property
    def size(self) -> int:
        """Bytes of its arrays."""
        return self.token_ids.nbytes + self.pixel_values.nbytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Completion:
    """One sampled answer."""

    token_ids: np.ndarray
    """[T] int64, the end token included when the model ended it."""
    logprobs: np.ndarray
    """[T] float32, of the distribution that was sampled from."""
    weights_versions: np.ndarray
    """[T] int32: under which weights each token was sampled. They never fall: weights that arrive
    in the middle of a completion hold from its next token on."""
    text: str
    finish_reason: FinishReason
    answer_start: int | None = None
    """Index of the token at which the first <answer> tag begins; None where there is none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RolloutGroup:
    """One prompt's G completions."""

    question: Question
    completions: tuple[Completion, ...]
    weights_version: int
    """Of the oldest token that was sampled for this step."""
    worker: str
    seconds: float
    prompt_tokens: int
    patches: int
    """Of what the prompt shows, before merging; 0 of words alone."""
    replayed: int = 0
    """How many completions, the last ones, the stage's initial model gave before it began."""

    @property
    def own(self) -> tuple[Completion, ...]:
        """Those that were sampled for this step."""
        return self.completions[: len(self.completions) - self.replayed]

    @property
    def tokens(self) -> int:
        """Of its prompt, once, and of all its completions."""
        return self.prompt_tokens + sum(len(one.token_ids) for one in self.completions)


@dataclass(frozen=True, kw_only=True, slots=True)
class AnchorScores:
    """What the frozen anchor says of one group's completions."""

    logprobs: tuple[np.ndarray, ...]
    """G arrays of [T] float32."""
    hidden: tuple[np.ndarray, ...] | None = None
    """G arrays of [T, H] float32, which holds bfloat16 exactly: what the anchor's output head turns
    into its scores of every token; None unless these are needed."""
    initial_logprobs: tuple[np.ndarray, ...] | None = None
    """The same as `logprobs` of the stage's initial model; None unless they are compared."""
    saw_all: bool = True
    """Whether the anchor saw the whole prompt, also where `kl.anchor_view` is a poorer view."""
    seconds: float = 0.0
    """How long the scorer took; 0 where nobody looked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoredGroup:
    """A group with everything the update needs."""

    group: RolloutGroup
    rewards: dict[str, np.ndarray]
    """{reward name: [G] float32}; the reward trained on is their sum."""
    advantages: np.ndarray
    """[G] float32."""
    anchor_logprobs: tuple[np.ndarray, ...] | None
    """G arrays of [T] float32 under the frozen anchor; None without a KL term."""
    divergence_mask: tuple[np.ndarray, ...] | None = None
    """G arrays of [T] bool, the tokens that feel the divergence; None where all do."""
    anchor_hidden: tuple[np.ndarray, ...] | None = None
    """As in AnchorScores."""
    anchor_seconds: float = 0.0
    """Likewise."""
    anchor_saw_all: bool = True
    """Likewise."""
    debias: np.ndarray | None = None
    """[G] float32: what of the advantages is not from what was earned alone (method/debias.py);
    None where nothing else has a say."""
    left_out: bool = False
    """It teaches nothing, so another question was drawn for it, and it is not trained on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredTensor:
    """A tensor of the policy as bytes (model/parts.py)."""

    dtype: str
    """As torch names it."""
    shape: tuple[int, ...]
    content: np.ndarray
    """uint8."""
    checksum: str


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightsPart:
    """Some tensors of the policy at one version; each part goes through the object store once."""

    version: int
    tensors: dict[str, StoredTensor]
    """By their Hugging Face names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """How one transfer of weights goes from the learner's memory into an engine's
    (model/transfer.py).
    """

    path: Literal["ipc", "nccl"]
    host: str
    port: int
    """Of the learner's store."""
    number: int
    """Of the transfer; none has it twice."""
    link: int
    """Of these two processes: another process, another number."""
    receiver: str
    """The engine's name, which its replacement will have, too."""
    receivers: int
    """Ranks of the engine."""
    seconds: float
    """How long one end waits for a word of the other."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LearnerReport:
    """What one update did, already averaged over ranks."""

    step: int
    stats: dict[str, float]
    """loss, kl, entropy, clip_share, bound_share, grad_norm, learning_rate, logprob_gap_max, ..."""
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """What a process has of its device at one moment: of a GPU, or of its machine."""

    memory: int
    """Bytes it holds: on a GPU those that PyTorch has taken, else its resident memory."""
    peak: int
    """The most that was."""
    utilisation: float | None = None
    """Part of the time in which anybody computed on the card, 0 to 1; None where it is unknown."""
    card: str | None = None
    """The GPU's name."""
    cards: int = 1
    """So many such GPUs; the other figures are then those of one."""
    threads: int | None = None
    """Of its arithmetic on cores, as they were set; None where they were not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SignOfLife:
    """What a process answers every few seconds, on a thread that its work does not block."""

    doing: str
    usage: Usage
