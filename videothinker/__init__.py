"""The method: data, rewards, objective, model, evaluation. No Ray, vLLM or DeepSpeed here."""

__version__ = "0.1.0"
