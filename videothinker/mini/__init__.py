"""Mini CLEVRER: a world, its files and a tiny Qwen2.5-VL that fit on a laptop."""

from pathlib import Path

SHIPPED_BASE = Path(__file__).parent / "shipped"
"""The warm-started base model that comes with the package."""
