"""CLEVRER's files -> questions marked observational or inferential."""

from videothinker.data.clevrer.prepare import bias_label

__all__ = ["bias_label"]
