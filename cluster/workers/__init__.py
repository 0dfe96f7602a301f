"""How a worker is called, lost and replaced."""
