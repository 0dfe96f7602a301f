"""Questions and videos: CLEVRER, its miniature, frames, and the order they are read in."""
