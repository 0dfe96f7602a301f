"""The configuration: every setting of a run, typed, with the paper's values as defaults."""

from __future__ import annotations

import os
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from videothinker.config.draw import DrawConfig
from videothinker.config.hub_names import model_place
from videothinker.config.kl import KLConfig
from videothinker.config.learner import AdvantageConfig, LearnerConfig
from videothinker.config.lora import BESIDE, LoraConfig
from videothinker.config.prompts import PromptsConfig
from videothinker.config.rewards import PAPERS_REWARDS, RewardConfig
from videothinker.config.section import Place, Positive, Section

ModelPlace = Annotated[Path, BeforeValidator(model_place)]
"""A folder as any other; what stays relative is a Hub's name (`config/hub_names.py`)."""
Device = Literal["cpu", "cuda"]
DType = Literal["float32", "bfloat16"]
WeightsPath = Literal["auto", "ipc", "nccl", "host"]
AdapterWay = Literal["auto", "request", "merged"]
Probe = Literal["blind", "frame", "shuffled", "clause"]
PROBES: tuple[Probe, ...] = get_args(Probe)
TrackerName = Literal["tensorboard", "trackio", "wandb", "mlflow", "swanlab"]
DEFAULT_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "videothinker" / "clips"


def _ipv4(host: str) -> str:
    try:
        return str(IPv4Address(host))
    except ValueError:
        raise PydanticCustomError(
            "address",
            "not an IPv4 address; 127.0.0.1 is for this machine, 0.0.0.0 for others as well",
        ) from None


class ModelConfig(Section):
    """The policy that training starts from."""

    path: ModelPlace
    dtype: DType = "bfloat16"


PRESETS: dict[str, dict[str, int]] = {
    "paper-training": {},
    "paper-evaluation": {
        "max_frames": 32,
        "max_pixels": 256 * 28 * 28,
        "total_pixels": 32 * 256 * 28 * 28,
    },
    "reference-training": {
        "min_pixels": 128 * 28 * 28,
        "max_pixels": 196 * 28 * 28,
        "total_pixels": 16 * 196 * 28 * 28,
    },
    "reference-evaluation": {
        "max_frames": 32,
        "min_pixels": 128 * 28 * 28,
        "max_pixels": 105_369,
        "total_pixels": 32 * 105_369,
    },
}
"""Budgets by name, as what they change of the defaults: what the paper states, and what its
published scripts really give.

The scripts leave the training cap at 196 tokens a frame; in evaluation one environment variable
sets both the budget of a frame and of the whole video, which leaves 1.05 times the least a frame
may have.
"""


class VideoConfig(Section):
    """What of a video or a picture the model sees. Pixels count per frame, except total_pixels,
    and those of pictures.

    The name of a budget may stand for all of its keys: `video: paper-training`.
    """

    fps: float = Field(default=2.0, gt=0)
    min_frames: Positive = 4
    max_frames: Positive = 16
    min_pixels: Positive = 16 * 28 * 28
    max_pixels: Positive = 128 * 28 * 28
    total_pixels: Positive = 16 * 128 * 28 * 28
    picture_min_pixels: Positive = 16 * 28 * 28
    picture_max_pixels: Positive = 512 * 28 * 28
    """Of a question's picture, which stands for itself and is no frame."""

    @model_validator(mode="before")
    @classmethod
    def _from_preset(cls, given: Any) -> Any:
        """A preset's name becomes its numbers, so that a resolved configuration holds no names."""
        if not isinstance(given, str):
            return given
        if given not in PRESETS:
            raise PydanticCustomError("preset", f"not a budget; known: {', '.join(PRESETS)}")
        return PRESETS[given]


class DataConfig(Section):
    """Prepared questions (`videothinker prepare`), their videos, and how these are read."""

    videos: Place
    validation: Place | None = None
    validation_questions: Positive = 200
    """How many validation questions are answered after each stage."""
    validation_likeliest: bool = False
    """Answer them a second time, each with its most likely completion."""
    category: Literal["given", "probe"] = "given"
    """given: a question's category is what its file says. probe: observational or inferential, as
    the initial model's answers to `probes` say, which are asked before the first stage."""
    probes: tuple[Probe, ...] = Field(default=PROBES, min_length=1)
    """A question that passes one of them is observational (docs/shortcuts.md)."""
    cache: Place = Field(default=DEFAULT_CACHE, validate_default=True)
    """Folder of decoded clips, by content; shared by every run of this machine."""
    cache_gb: float = Field(default=20.0, gt=0)
    """What the folder may hold; the longest unused clips go first."""
    loaders: Positive = 1
    """Processes that decode and preprocess."""
    decode_seconds: float = Field(default=60.0, gt=0)
    """A video that takes longer is left out."""
    max_skipped_share: float = Field(default=0.1, ge=0, le=1)
    """A run stops when more than this share of its questions had to be left out."""


class SamplingConfig(Section):
    """How a group is drawn."""

    group_size: Annotated[int, Field(ge=2)] = 8
    temperature: float = Field(default=1.0, gt=0)
    max_tokens: Positive = 768
    refill: int = Field(default=0, ge=0)
    """Questions that a step may draw beyond its prompts_per_step, for groups whose completions all
    earn the same and which are then left out; 0 trains on every group."""


class GuardConfig(Section):
    """What happens when a stage's metrics say that the policy collapses."""

    action: Annotated[
        Literal["stop", "lower", "off"],
        BeforeValidator(lambda given: "off" if given is False else given),  # so YAML reads off
    ] = "stop"
    """lower: halve the divergence's coefficient, and stop when that did not help."""
    lowerings: Positive = 3
    """How often the coefficient is halved before the run is stopped."""
    window: Annotated[int, Field(ge=2)] = 10
    """Steps that are judged together."""


class RolloutConfig(Section):
    """The rollout workers: one vLLM engine each."""

    workers: Positive = 1
    """When the run starts; `videothinker scale` changes it while it runs."""
    tensor_parallel: Positive = 1
    """GPUs of one engine, each with its share of the weights and of the cache: of one machine, and
    nobody else's. On a CPU so many processes."""
    max_model_len: Positive = 8192
    cache_gb: float = Field(default=4.0, gt=0)
    """Memory of one engine's key-value cache."""
    prompts_together: Positive | None = None
    """Groups that an engine samples side by side, as one unit of work. With a number what is
    sampled does not depend on `workers`, to the last bit; None shares a step out over them."""
    units_at_once: Positive = 1
    """Units that an engine works on at the same time. With more than one it is never half idle, and
    what shares a batch, so the last bits, depends on timing."""
    max_staleness: int = Field(default=0, ge=0)
    """Updates by which a group's weights may be older than the policy that is trained on it: 0 is
    exactly on-policy; with more, sampling goes on while the learner computes."""
    in_flight: bool = False
    """New weights replace the old in the middle of completions instead of between units."""
    adapters: AdapterWay = "auto"
    """With learner.lora. request: beside the engine's weights. merged: added to them, which takes
    longer with each update and nothing while sampling, and is the way of adapters in the vision
    tower. auto: merged on a CPU, where that is needed, and where engines sleep."""
    drafts: int = Field(default=0, ge=0, le=32)
    """Tokens of a completion that an engine guesses at most, from what it gave before, and then
    checks in one step: fewer steps for the same distribution, where answers are alike. What is
    sampled with a seed then depends on what an engine sampled before."""
    sleep: bool = False
    """Engines let go of their weights and their cache while the learner works, and have them again
    with the weights that it then publishes: a GPU which they share holds either."""


class WeightsConfig(Section):
    """New weights on their way from the learner to the engines."""

    path: WeightsPath = "auto"
    """host: through the object store. ipc: an engine maps the learner's memory, on the same GPU.
    nccl: between GPUs, also of several machines. auto: on a CPU host, else ipc on one GPU and nccl
    between two. On a CPU ipc is shared memory and nccl is gloo: the same steps, for tests."""


class TlsConfig(Section):
    """Three PEM files that are on every machine of the run."""

    certificate: Place
    """What a process shows to whoever asks."""
    key: Place
    clients: Place
    """Authorities: whoever has no certificate of theirs is refused."""


class ClusterConfig(Section):
    """Where Ray runs."""

    address: str | None = None
    """An existing cluster ("auto" or host:port); None is the cluster of the surrounding Ray job,
    and outside of one a private cluster on this machine."""
    device: Device = "cuda"
    scorers: int = Field(default=1, ge=0)
    """Processes that hold the anchor. 0, with learner.lora: the learner scores, since anchor and
    policy are adapters of the model that it has."""
    metrics_host: Annotated[str, AfterValidator(_ipv4)] = "127.0.0.1"
    """Address on which each process opens a port with its metrics; 0.0.0.0 where Prometheus, or a
    part of the run, is on another machine. Without `metrics_tls` nobody who can reach them is asked
    who he is."""
    metrics_tls: TlsConfig | None = None
    """Metrics over HTTPS, and only for those who show a certificate."""
    logprob_tolerance: float = Field(default=0.05, gt=0)
    """Mean gap between sampler and learner log-probs above which a step is warned of; above four
    times as much the run ends before the update."""


class FaultsConfig(Section):
    """When a process counts as lost, and what is done then. All times in seconds."""

    heartbeat_seconds: float = Field(default=5.0, gt=0)
    """Between two signs of life that each process is asked for."""
    silent_seconds: float = Field(default=60.0, gt=0)
    """A process that gives none for so long is killed and replaced."""
    start_seconds: float = Field(default=900.0, gt=0)
    prepare_seconds: float = Field(default=600.0, gt=0)
    generate_seconds: float = Field(default=1800.0, gt=0)
    """Until the next group."""
    score_seconds: float = Field(default=600.0, gt=0)
    """The anchor's, for one group and for the one before it: the next lies ready while one is
    scored."""
    learn_seconds: float = Field(default=1800.0, gt=0)
    sync_seconds: float = Field(default=300.0, gt=0)
    save_seconds: float = Field(default=1800.0, gt=0)
    """Saving or loading a state, loading or exporting a model."""
    restarts: int = Field(default=5, ge=0)
    """How often a process may be lost in a row, without having done any work, before the run
    stops."""
    attempts: Positive = 3
    """A question during which so many processes were lost is left out."""
    backoff_seconds: float = Field(default=1.0, ge=0)
    """Pause before a replacement; doubled with each loss in a row."""


class StageConfig(Section):
    """One stage of training: its questions, its length and its divergence term."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$")
    questions: Place
    limit: Positive | None = None
    """Train on this many of the questions only, drawn with the run's seed."""
    category: str | None = None
    """Train on the questions of this category only, of those that `limit` has left."""
    steps: Positive = 500
    prompts_per_step: Positive = 2
    draw: DrawConfig = DrawConfig()
    replay: int = Field(default=0, ge=0)
    """Completions of each group that are not the policy's but the stage's initial model's, sampled
    before the first step. What training has un-learned so stays within its reach."""
    validate_every: int = Field(default=50, ge=0)
    """Steps between two validations while the stage trains; 0: none before its end."""
    validate_questions: Positive = 64
    """How many of data.validation are answered then."""
    keep_best: Literal["overall", "inferential", "observational"] | None = None
    """The accuracy by which the best of the validated models is kept, in stages/NAME/best."""
    patience: Positive | None = None
    """The stage ends when so many validations in a row brought no new best; None: at its steps."""
    kl: KLConfig = KLConfig()
    guard: GuardConfig = GuardConfig()


class RunConfig(Section):
    """One run: one stage, or several that follow each other."""

    name: str
    out: Place
    seed: int = 42
    model: ModelConfig
    pinned: dict[str, Annotated[str, Field(pattern="^[0-9a-f]{40}$")]] = Field(default_factory=dict)
    """By a Hub's name, the commit that is used; filled in when a run begins."""
    data: DataConfig
    video: VideoConfig = VideoConfig()
    prompts: PromptsConfig = PromptsConfig()
    sampling: SamplingConfig = SamplingConfig()
    rewards: tuple[RewardConfig, ...] = PAPERS_REWARDS
    advantage: AdvantageConfig = AdvantageConfig()
    learner: LearnerConfig = LearnerConfig()
    rollout: RolloutConfig = RolloutConfig()
    weights: WeightsConfig = WeightsConfig()
    cluster: ClusterConfig = ClusterConfig()
    faults: FaultsConfig = FaultsConfig()
    stages: tuple[StageConfig, ...] = Field(min_length=1)
    report_to: tuple[TrackerName, ...] = ()
    """Trackers that are told of every step, each by a process of its own and over its own
    library."""
    copy_to: str | None = None
    """An address, such as s3://bucket/run, to which the run is copied with each state and each
    stage's model, and from which the same command goes on where there is no folder of the run."""

    @property
    def hub_names(self) -> list[str]:
        """The models that are named as the Hub names them, the policy's first."""
        anchors = [stage.kl.anchor for stage in self.stages if stage.kl.asks]
        places = dict.fromkeys([str(self.model.path), *anchors])
        return [place for place in places if os.sep in place and not os.path.isabs(place)]


def adapter_way(rollout: RolloutConfig, lora: LoraConfig, device: Device) -> AdapterWay:
    """What `auto` means: vLLM has room for adapters in the language model alone, none where the
    weights beside them come back with each update, and on a CPU takes three times as long with one.
    """
    if rollout.adapters != "auto":
        return rollout.adapters
    added = device == "cpu" or lora.vision or rollout.sleep or lora.rank > BESIDE[-1]
    return "merged" if added else "request"


def weights_path(config: RunConfig) -> WeightsPath:
    """What `auto` means before anybody knows who sits on which GPU."""
    path = config.weights.path
    return "host" if path == "auto" and config.cluster.device == "cpu" else path
