"""Plain classes that each become one Ray actor: prompt loader, vLLM rollout worker, frozen scorer."""
