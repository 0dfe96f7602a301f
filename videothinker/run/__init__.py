"""A run's directory: every file in it that the driver writes, and who may write."""
