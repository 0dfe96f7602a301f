"""Speculative sampling without a second model: tokens that are guessed, and checked by vLLM."""
