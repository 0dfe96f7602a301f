"""A run as its files tell it, on a terminal."""
