"""What a run's settings say of each other."""
