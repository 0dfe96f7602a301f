"""Plain classes that become Ray actors: prompt loader, vLLM rollout worker, frozen scorer."""
