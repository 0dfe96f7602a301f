"""Benchmarks: their files as questions, what an answer is worth, and what guessing would give."""
