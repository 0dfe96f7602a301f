"""What an exported model says of itself: lineage.json for programs, README.md for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import yaml

from videothinker.files import atomic_write, write_json
from videothinker.packages import VERSION

LINEAGE, CARD = "lineage.json", "README.md"
LICENSE_KEYS = ("license", "license_name", "license_link")


class Source(TypedDict):
    """A file or model folder, and the SHA-256 of its content."""

    path: str
    digest: str
    hub: NotRequired[str]
    """The name and commit of a model that came from the Hub."""


class ModelLineage(TypedDict):
    """Where a model comes from; plain values, so that it is its own JSON."""

    run: str
    stage: str
    steps: int
    seed: int
    base: Source
    data: list[Source]
    """Prepared questions the stage trained on."""
    kl: dict[str, Any]
    """The stage's divergence term: direction, coefficient, estimator, bound."""
    anchor: Source | None
    """None without a direction."""
    rewards: list[str]
    group_size: int
    prompts_per_step: int
    learning_rate: float
    temperature: float
    video: dict[str, Any]
    """The frame budget."""


def describe(model: Path, lineage: ModelLineage, license_of: Mapping[str, str]) -> None:
    """Write both files into a model's folder."""
    content = {**lineage, "videothinker": VERSION}
    write_json(model / LINEAGE, content)
    atomic_write(model / CARD, model_card(lineage, license_of))


def license_in(model: Path) -> dict[str, str]:
    """What a model's own card says of its license; nothing where it says nothing."""
    card = model / CARD
    parts = card.read_text().split("---\n", 2) if card.is_file() else []
    if len(parts) < 3 or parts[0].strip():
        return {}
    try:
        header = yaml.safe_load(parts[1])
    except yaml.YAMLError:
        return {}
    known = header if isinstance(header, dict) else {}
    return {key: str(known[key]) for key in LICENSE_KEYS if key in known}


def model_card(lineage: ModelLineage, license_of: Mapping[str, str]) -> str:
    """README.md in the form model hubs read; what is not known is left as a comment to fill in."""
    fields = "".join(f"{key}: {json.dumps(value)}\n" for key, value in license_of.items())
    video = lineage["video"]
    data = "\n".join(f"- `{file['path']}` (sha256 `{file['digest']}`)" for file in lineage["data"])
    return f"""---
library_name: transformers
pipeline_tag: video-text-to-text
tags: [videothinker, reinforcement-learning]
{_base_model(lineage["base"])}
{fields or "# license: that of the base model; fill in before sharing" + chr(10)}---

# {lineage["run"]}, stage {lineage["stage"]}

A model that answers questions about videos, thinking first: `<think>...</think>`, then
`<answer>...</answer>` with the letters of the correct options.

## Training

{_method(lineage)} {lineage["steps"]} steps of {lineage["prompts_per_step"]} questions, \
{lineage["group_size"]} completions each at temperature {lineage["temperature"]:g}; learning rate \
{lineage["learning_rate"]:g}; rewards {", ".join(lineage["rewards"])}; seed {lineage["seed"]}; \
VideoThinker {VERSION}.

Started from {_named(lineage["base"])}, trained on

{data}

The model saw at most {video["max_frames"]} frames of a video, {video["fps"]:g} a second, of at most
{video["max_pixels"]} pixels each. `{LINEAGE}` holds all of this for programs.

## Use

```
videothinker ask --model THIS_FOLDER --video FILE "question"
vllm serve THIS_FOLDER
```

```python
from transformers import AutoModelForImageTextToText, AutoProcessor

model = AutoModelForImageTextToText.from_pretrained("THIS_FOLDER", dtype="auto")
processor = AutoProcessor.from_pretrained("THIS_FOLDER")
```

`videothinker ask` and `evaluate` use the frame budget above, which is kept beside the weights;
elsewhere give it yourself: with another budget the model answers worse. `generation_config.json`
samples at the training's temperature, from the whole vocabulary and without a repetition penalty.

## Limitations

Rewarded for the final letters and the layout only: the thinking is not checked and may be wrong
where the answer is right. It has seen the questions above and nothing else since its base; nothing
is known of other kinds of video, other languages or open answers. It has the limits and biases of
its base.
"""


def _base_model(base: Source) -> str:
    if "hub" in base:
        return f"base_model: {base['hub'].partition('@')[0]}"
    return f"# base_model: the hub's name of what this was trained from ({base['path']})"


def _named(source: Source) -> str:
    return f"`{source.get('hub', source['path'])}` (sha256 `{source['digest']}`)"


def _method(lineage: ModelLineage) -> str:
    kl, anchor = lineage["kl"], lineage["anchor"]
    if anchor is None:
        return "GRPO (clip-higher) without a divergence term:"
    named = _named(anchor)
    if kl["direction"] == "discount":
        compared = ", compared with the base" if kl["likelihood"] == "relative" else ""
        return (
            f"GRPO (clip-higher); right answers earned less the likelier {named} found"
            f" them{compared}, by {kl['coefficient']:g} at a likelihood of 1:"
        )
    direction = {"repel": "repelled from", "attract": "attracted to"}[kl["direction"]]
    return (
        f"GRPO (clip-higher), {direction} {named} with "
        f"coefficient {kl['coefficient']:g}, estimator {kl['estimator']}, bound {kl['bound']:g}:"
    )
