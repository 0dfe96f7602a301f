"""CLEVRER's files -> questions marked observational or inferential."""
