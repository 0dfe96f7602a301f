"""Labels a set of questions by what a model answers without seeing, or reading, all of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cluster.loop.probing import label
from cluster.verbs.evaluate import Evaluation
from videothinker.config.settings import PROBES, Probe


def run(this: Evaluation, probes: Sequence[Probe] = PROBES) -> dict[str, Any]:
    """The labels, in files under `out`; safe to interrupt and repeat."""
    questions = this.loaded().questions
    identity = this.identity(questions)
    return label(this.out, questions, identity, lambda passes: this.answer("probe", passes), probes)
