"""The method: data, rewards, objective, model and evaluation. Never imports Ray, vLLM or DeepSpeed."""

__version__ = "0.1.0"
