"""Every Prometheus metric, declared once with the roles that export it (docs/metrics.md).

A process serves those of its own role, and its memory and processor time, on a port of its own.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal, TypeVar, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)

from videothinker.config.settings import Device, TlsConfig
from videothinker.errors import InputError
from videothinker.process.address import LOOPBACK
from videothinker.process.certificates import unusable
from videothinker.process.device import free_memory, usage
from videothinker.types import Usage

Role = Literal["driver", "loader", "rollout", "anchor", "learner"]
EVERYWHERE = "0.0.0.0"
DOCUMENTATION_ADDRESS = ("192.0.2.1", 9)
"""Nobody's; asking for the way there sends nothing and tells by which address others see us."""
SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 3600)
"""Buckets from a tiny model's step to an hour."""

Metric = TypeVar("Metric", Counter, Gauge, Histogram)
EXPORTED: dict[Role, list[Any]] = {role: [] for role in get_args(Role)}
"""What each role serves."""


def declare(
    kind: type[Metric],
    name: str,
    text: str,
    *roles: Role,
    labels: tuple[str, ...] = (),
    **more: Any,
) -> Metric:
    """A metric that these roles export; the driver, where none is named."""
    metric = kind(f"videothinker_{name}", text, labels, registry=None, **more)
    for role in roles or ("driver",):
        EXPORTED[role].append(metric)
    return metric


# what is sampled, scored and trained
VIDEOS = declare(Counter, "videos", "Videos asked for, by outcome", "loader", labels=("outcome",))
ROLLOUT_TOKENS = declare(Counter, "rollout_tokens", "Completion tokens sampled", "rollout")
DRAFTED_TOKENS = declare(
    Counter, "drafted_tokens", "Tokens that were guessed (rollout.drafts)", "rollout"
)
ACCEPTED_TOKENS = declare(Counter, "accepted_tokens", "Of these, what was then sampled", "rollout")
ROLLOUT_GROUPS = declare(Counter, "rollout_groups", "Groups sampled to the end", "rollout")
ANCHOR_GROUPS = declare(Counter, "anchor_groups", "Groups scored", "anchor")
ANCHOR_TOKENS = declare(Counter, "anchor_tokens", "Completion tokens of these", "anchor")
GROUPS_LEFT_OUT = declare(
    Counter, "groups_left_out", "Groups of equal rewards that were left out (sampling.refill)"
)
LEARNER_STEPS = declare(Counter, "learner_steps", "Updates applied to the policy", "learner")
SAMPLES_TRAINED = declare(
    Counter, "samples_trained", "Completions of this rank that took part in an update", "learner"
)
TOKENS_TRAINED = declare(Counter, "tokens_trained", "Tokens of these completions", "learner")
FLOPS = declare(
    Counter, "flops", "Operations of scoring or training groups, by formula", "anchor", "learner"
)
PEAK_FLOPS = declare(
    Gauge,
    "peak_flops",
    "What a role's cards can do in a second, by their data sheets; NaN where that is unknown",
    labels=("role",),
)

# the engine of a rollout worker
ENGINE_REQUESTS = declare(
    Gauge, "engine_requests", "Completions in the engine", "rollout", labels=("state",)
)
ENGINE_CACHE = declare(
    Gauge, "engine_cache_share", "Part of the key-value cache that is in use", "rollout"
)

# weights
WEIGHT_VERSION = declare(
    Gauge, "weight_version", "Version of the weights this process holds", "rollout", "learner"
)
WEIGHT_SYNC_SECONDS = declare(
    Histogram,
    "weight_sync_seconds",
    "One engine's update, from the order to its confirmation",
    buckets=SECONDS,
)
WEIGHTS_BYTES = declare(Gauge, "weights_bytes", "What an engine takes in an update")
GROUP_STALENESS = declare(
    Histogram, "group_staleness", "Updates between sampling and training", buckets=(0, 1, 2, 4, 8)
)
MAX_STALENESS = declare(Gauge, "max_staleness", "rollout.max_staleness")

# where the time goes
PHASE_SECONDS = declare(
    Histogram, "phase_seconds", "Time of one phase of a step", labels=("phase",), buckets=SECONDS
)
ROLE_SECONDS = declare(
    Counter,
    "role_seconds",
    "How the workers of a role, on average, spent the time",
    labels=("role", "state"),
)
LAST_STEP = declare(
    Gauge, "last_step_timestamp_seconds", "When a step was recorded last, Unix time"
)
USUAL_STEP = declare(
    Gauge,
    "usual_step_seconds",
    "Median of the last steps; 0 while none are made: loading, evaluating, exporting",
)

# faults
ROLLOUT_WORKERS = declare(Gauge, "rollout_workers", "Rollout workers that take prompts")
RESTARTS = declare(Counter, "restarts", "Processes that were lost", labels=("role",))
QUESTIONS = declare(Counter, "questions", "Questions that were to be asked")
SAMPLES_SKIPPED = declare(
    Counter, "samples_skipped", "Lines of skipped.jsonl, by kind", labels=("reason",)
)
MAX_SKIPPED_SHARE = declare(Gauge, "max_skipped_share", "data.max_skipped_share")
DISK_FREE = declare(Gauge, "disk_free_bytes", "Free on the disk that holds the run")
SPILLED = declare(
    Gauge,
    "spilled_bytes",
    "What Ray's object store wrote to disk for want of room, since it was started",
)
STATE_BYTES = declare(
    Gauge, "state_bytes", "What the next state takes of it, as planned; 0 if unknown"
)

# learning, each of the last step
REWARD = declare(Gauge, "reward", "Mean total reward of the last step")
ACCURACY = declare(
    Gauge, "accuracy", "Mean accuracy in the last step that had such questions", labels=("slice",)
)
VALIDATION = declare(
    Gauge,
    "validation_accuracy",
    "Of the last validation while a stage trains",
    labels=("slice",),
)
REWARD_PART = declare(
    Gauge, "reward_part", "Mean of a reward of the user's in the last step", labels=("reward",)
)
REWARD_LOST = declare(Gauge, "reward_lost", "1 while the guard sees reward well below its best")
GUARD_LOWERED = declare(Counter, "guard_lowered", "Times the guard halved the coefficient")
STEP_GAUGES = {
    key: declare(Gauge, key, text)
    for key, text in {
        "kl": "Mean divergence from the anchor, nats a token",
        "entropy": "Of the next token, nats",
        "grad_norm": "Norm of the gradient, before it is clipped",
        "logprob_gap": "How far sampler and learner disagree, nats a token",
        "completion_length": "Mean tokens of a completion",
        "truncated_share": "Completions cut off at max_tokens",
        "truncated_tokens": "Of all tokens, those of completions that were cut off",
        "duplicate_share": "Completions that repeat another of their group",
        "equal_reward_groups": "Share of groups without reward signal",
        "debias_share": "Of the advantages, what the direction makes beside the rewards",
        "bound_share": "Tokens whose log-ratio is at its bound",
        "repulsion_ratio": "Gradient norm of the divergence over that of the reward",
        "coefficient": "Of the divergence, or of what changes the advantages",
        "whole_views": "Groups of which the anchor saw all, though kl.anchor_view is less",
    }.items()
}
"""Key of metrics.jsonl -> the same figure of the last step; 0 where a stage has no such figure."""

# the device: a GPU, or the machine
ON_DEVICE: tuple[Role, ...] = ("rollout", "anchor", "learner")
DEVICE_MEMORY = declare(
    Gauge,
    "device_memory_bytes",
    "What this process holds: of its GPU through PyTorch, else resident memory",
    *ON_DEVICE,
)
DEVICE_MEMORY_PEAK = declare(
    Gauge, "device_memory_peak_bytes", "The most that was, so far", *ON_DEVICE
)
DEVICE_FREE = declare(
    Gauge, "device_free_bytes", "Free memory of the GPU, or of the machine", *ON_DEVICE
)
DEVICE_UTILISATION = declare(
    Gauge,
    "device_utilisation",
    "Part of the time in which anybody computed on the GPU; NaN where that is unknown",
    *ON_DEVICE,
)


def serve(
    role: Role,
    host: str = LOOPBACK,
    device: Device = "cpu",
    held: Callable[[], Usage] | None = None,
    tls: TlsConfig | None = None,
) -> tuple[str, int]:
    """Serve a role's metrics; returns the address and the port at which others find them. `held`:
    what it has of its device, where that is not this process's.
    """
    # a second series for every counter, which nobody asks for
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    for metric in EXPORTED[role]:
        registry.register(metric)
    _watch(device, held or partial(usage, device))
    if tls is not None and (wrong := unusable(tls)) is not None:
        raise InputError(f"cluster.metrics_tls: {wrong}")
    try:
        server, _ = start_http_server(
            0,
            addr=host,
            registry=registry,
            certfile=None if tls is None else str(tls.certificate),
            keyfile=None if tls is None else str(tls.key),
            client_cafile=None if tls is None else str(tls.clients),
            client_auth_required=tls is not None,
        )
    except OSError as error:
        raise InputError(
            f"cluster.metrics_host {host}: no port of it can be opened here ({error.strerror})."
            f" {LOOPBACK} keeps metrics on this machine, {EVERYWHERE} shows them to others"
        ) from error
    return (public_address() if host == EVERYWHERE else host), int(server.server_address[1])


def show_step(line: Mapping[str, Any]) -> None:
    """The figures of a line of metrics.jsonl."""
    REWARD.set(line["reward"])
    for key, gauge in STEP_GAUGES.items():
        gauge.set(line.get(key) or 0.0)
    for key in (key for key in line if key.startswith("reward_")):
        REWARD_PART.labels(key.removeprefix("reward_")).set(line[key])
    accuracies = {
        "all": line.get("accuracy", line.get("strict_accuracy")),
        "observational": line.get("observational_accuracy"),
        "inferential": line.get("inferential_accuracy"),
    }
    for name, value in accuracies.items():
        if value is not None:
            ACCURACY.labels(name).set(value)


def show_validation(line: Mapping[str, Any]) -> None:
    """The figures of a line of validation.jsonl."""
    for name in ("overall", "observational", "inferential"):
        if (mean := line[name]["mean"]) is not None:
            VALIDATION.labels(name).set(mean)


def public_address() -> str:
    """By which this machine is known to others; the loopback where it has no network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(DOCUMENTATION_ADDRESS)
        except OSError:
            return LOOPBACK
        return str(probe.getsockname()[0])


def _watch(device: Device, held: Callable[[], Usage]) -> None:
    """Ask the device at each scrape."""

    def utilisation() -> float:
        share = held().utilisation
        return math.nan if share is None else share

    DEVICE_MEMORY.set_function(lambda: held().memory)
    DEVICE_MEMORY_PEAK.set_function(lambda: held().peak)
    DEVICE_FREE.set_function(lambda: free_memory(device))
    DEVICE_UTILISATION.set_function(utilisation)
