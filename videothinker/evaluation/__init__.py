"""Scoring answers: a benchmark's questions, its rules, intervals, comparisons."""
