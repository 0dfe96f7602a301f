"""A run's settings: their types and defaults, reading them, and what they say of each other."""
