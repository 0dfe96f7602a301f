"""Mini CLEVRER: a world, its files and a tiny Qwen2.5-VL that fit on a laptop."""
