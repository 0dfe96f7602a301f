"""What the paper prints: prompts, rewards, advantages, the loss, the divergence, the guard."""

from typing import TYPE_CHECKING, Any

from videothinker.method.rewards import REWARDS, format_reward, soft_accuracy

if TYPE_CHECKING:
    from videothinker.method.objective import group_advantages, policy_loss

__all__ = ["REWARDS", "format_reward", "group_advantages", "policy_loss", "soft_accuracy"]


def __getattr__(name: str) -> Any:
    """The loss comes with torch, which whoever only asks for a reward need not load."""
    if name not in ("group_advantages", "policy_loss"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from videothinker.method import objective

    return getattr(objective, name)
