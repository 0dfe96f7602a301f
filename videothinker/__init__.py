"""The method: data, rewards, objective, model, evaluation. No Ray, vLLM or DeepSpeed here.

`train`, `evaluate`, `ask` and `prepare` are what the verbs of the same names do.
"""

from videothinker.cli.functions import ask, evaluate, prepare, train

__version__ = "0.1.0"
__all__ = ["ask", "evaluate", "prepare", "train"]
