"""The method: data, rewards, objective, model, evaluation. No Ray, vLLM or DeepSpeed here.

`train`, `evaluate`, `ask` and `prepare` are what the verbs of the same names do.
"""

from videothinker.cli.functions import ask, evaluate, prepare, train
from videothinker.packages import VERSION

__version__ = VERSION
__all__ = ["ask", "evaluate", "prepare", "train"]
