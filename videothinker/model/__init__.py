"""The policy: Qwen2.5-VL loaded from disk, its positions, and one forward pass per group."""
