"""Mini CLEVRER: a world, its files and tiny models that fit on a laptop."""

from pathlib import Path

SHIPPED_BASE = Path(__file__).parent / "shipped"
"""The warm-started base model that comes with the package."""
