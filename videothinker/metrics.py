"""Every Prometheus metric, declared once; each process serves its own on its own port."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram, start_http_server

ROLLOUT_TOKENS = Counter("videothinker_rollout_tokens", "Completion tokens sampled")
ROLLOUT_GROUPS = Counter("videothinker_rollout_groups", "Groups sampled to the end")
LEARNER_STEPS = Counter("videothinker_learner_steps", "Updates applied to the policy")
SAMPLES_TRAINED = Counter("videothinker_samples_trained", "Completions that took part in an update")
VIDEOS = Counter("videothinker_videos", "Videos asked for: decoded, reused, failed", ["outcome"])
SAMPLES_SKIPPED = Counter("videothinker_samples_skipped", "Questions left out", ["stage"])
WEIGHT_VERSION = Gauge("videothinker_weight_version", "Version of the weights this process holds")
WEIGHT_SYNC_SECONDS = Histogram("videothinker_weight_sync_seconds", "From publishing to confirmed")
GROUP_STALENESS = Histogram(
    "videothinker_group_staleness", "Updates between sampling and training", buckets=(0, 1, 2, 4, 8)
)
ROLLOUT_WORKERS = Gauge("videothinker_rollout_workers", "Rollout workers that take prompts")
RESTARTS = Counter("videothinker_restarts", "Processes that were lost", ["role"])
REWARD = Gauge("videothinker_reward", "Mean total reward of the last step")
KL = Gauge("videothinker_kl", "Mean divergence from the anchor in the last step")
STEP_GAUGES = {
    "entropy": Gauge("videothinker_entropy", "Of the next token, nats; mean of the last step"),
    "completion_length": Gauge("videothinker_completion_length", "Mean tokens of a completion"),
    "truncated_share": Gauge("videothinker_truncated_share", "Completions cut off at max_tokens"),
    "duplicate_share": Gauge(
        "videothinker_duplicate_share", "Completions that repeat another of their group"
    ),
    "equal_reward_groups": Gauge(
        "videothinker_equal_reward_groups", "Share of groups without reward signal"
    ),
    "bound_share": Gauge("videothinker_bound_share", "Tokens whose log-ratio is at its bound"),
    "repulsion_ratio": Gauge(
        "videothinker_repulsion_ratio", "Gradient norm of the divergence over that of the reward"
    ),
    "coefficient": Gauge("videothinker_coefficient", "Of the divergence, in the last step"),
}
"""Key of metrics.jsonl -> the same figure of the last step; 0 where a stage has no such figure."""
GUARD_LOWERED = Counter("videothinker_guard_lowered", "Times the guard halved the coefficient")
PHASE_SECONDS = Histogram("videothinker_phase_seconds", "Time of one phase of a step", ["phase"])


def serve() -> int:
    """Serve this process's metrics on the loopback; returns the port the system chose."""
    server, _ = start_http_server(0, addr="127.0.0.1")
    return int(server.server_address[1])
