"""Scoring answers: a benchmark's questions, its rules, intervals, comparisons.

Example: `score("mmvu", load("mmvu", "eval_mmvu.json"), completions)["accuracy"]`
"""

from videothinker.evaluation.benchmarks.loading import load, read
from videothinker.evaluation.scores import diagnose, score

__all__ = ["diagnose", "load", "read", "score"]
