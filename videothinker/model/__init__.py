"""The policy: a model loaded from disk, its positions, and one forward pass per group."""
