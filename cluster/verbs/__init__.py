"""What a command starts, besides a training."""
