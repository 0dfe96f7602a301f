"""The least that a run's configuration has to say."""

SMALLEST = """
name: small
out: runs/small
model: {path: m}
data: {videos: v}
stages:
  - {name: only, questions: q.parquet}
"""
