"""Readers of six benchmarks' files."""
