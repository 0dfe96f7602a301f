"""Models as summary.json lists them, for whoever tests what is made of it."""

from __future__ import annotations

from typing import Any

from videothinker.evaluation.intervals import wilson


def estimate(correct: int, n: int) -> dict[str, Any]:
    """A share of right answers with its interval."""
    low, high = wilson(correct, n)
    return {"mean": correct / n, "low": low, "high": high, "n": n}


def model(name: str, observational: int, inferential: int) -> dict[str, Any]:
    """A model that got so many of a hundred questions of each kind right."""
    return {
        "name": name,
        "path": f"/models/{name}",
        "digest": f"sha256:{name}",
        "evaluation": {
            "observational": estimate(observational, 100),
            "inferential": estimate(inferential, 100),
            "overall": estimate(observational + inferential, 200),
            "format": estimate(200, 200),
            "shortcut_gap": (observational - inferential) / 100,
        },
    }
