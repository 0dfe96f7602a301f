"""CLEVRER's reasons for each label, beside the questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa

from videothinker.data.clevrer.rules import RULES, Evidence
from videothinker.data.questions import SCHEMA_VERSION, VERSION_KEY, refuse_duplicates
from videothinker.files import write_table

OPTION = pa.struct(
    [
        ("letter", pa.string()),
        ("text", pa.string()),
        ("objects", pa.list_(pa.int64())),
        ("frame", pa.int64()),
        ("happened", pa.bool_()),
        ("correct", pa.bool_()),
    ]
)
EVIDENCE_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("removed", pa.int64()),
        ("removed_frame", pa.int64()),
        ("shown_frames", pa.int64()),
        ("negated", pa.bool_()),
        *((rule, pa.string()) for rule in RULES),
        ("options", pa.list_(OPTION)),
    ],
    metadata={VERSION_KEY: SCHEMA_VERSION.encode()},
)


def write_evidence(path: Path, entries: Sequence[tuple[str, Mapping[str, str], Evidence]]) -> None:
    """Writes what the labels rest on: (question's id, its label under every rule, evidence)."""
    refuse_duplicates(path, (identity for identity, _, _ in entries))
    rows = [
        {
            "id": identity,
            **labels,
            **asdict(evidence),
            "options": [asdict(one) | {"happened": one.happened} for one in evidence.options],
        }
        for identity, labels, evidence in entries
    ]
    write_table(path, pa.Table.from_pylist(rows, schema=EVIDENCE_SCHEMA))
