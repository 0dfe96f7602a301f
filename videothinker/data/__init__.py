"""Questions and videos: CLEVRER, its miniature, benchmarks, frames and the order they are read in."""
