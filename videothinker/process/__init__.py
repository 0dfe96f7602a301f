"""What every process of a run has: an address, metrics, a sign of life, a parent."""
