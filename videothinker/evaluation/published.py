"""The paper's own table: figures to read measured ones beside, never to compute with.

They come without intervals, seeds or numbers of questions, and the CLEVRER and TempCompass files
behind them were not released.
"""

TITLES = {
    "clevrer": "CLEVRER",
    "mmvu": "MMVU",
    "video-holmes": "V-Holmes",
    "mvbench": "MVBench",
    "tempcompass": "TempCompass",
    "videomme": "VideoMME",
}
"""The columns, in the paper's order: counterfactual questions of CLEVRER, multiple-choice questions
of MMVU, Video-MME without subtitles."""

PUBLISHED = {
    "Qwen2.5-VL-3B CoT": (44.7, 52.8, 32.5, 49.6, 30.0, 52.0),
    "VideoRFT-3B": (59.3, 55.1, 33.0, 59.5, 61.0, 45.4),
    "GRPO 1K": (64.9, 52.0, 32.3, 54.9, 41.4, 50.3),
    "VideoThinker-R1": (79.1, 56.8, 34.3, 60.9, 63.5, 52.4),
}
"""Percent, in the order of TITLES."""
