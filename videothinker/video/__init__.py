"""A video's file -> frames: found, decoded once, resized, kept."""
