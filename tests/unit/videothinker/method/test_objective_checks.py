"""What the loss refuses."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from videothinker.method.objective import policy_loss

ONE = torch.ones(1, 1)


GIVEN: dict[str, Any] = {"anchor_logp": ONE, "direction": "repel"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"direction": "away"}, "direction = 'away': use one of repel, attract, discount, tie"),
        (
            {"estimator": "k4"},
            "estimator = 'k4': use one of k1, k2, k3, policy, exact",
        ),
        ({"aggregation": "group"}, "aggregation = 'group': use one of sequence, token, budget"),
        ({"clip_low": 1.1}, "clip_low = 1.1: use 0 or more, 1 at most"),
        ({"clip_high": -0.1}, "clip_high = -0.1: use 0 or more"),
        ({"coefficient": -0.01}, "coefficient = -0.01: use 0 or more"),
        ({"coefficient": math.nan}, "coefficient = nan: use 0 or more"),
        ({"bound": 0.0}, "bound = 0.0: use more than 0"),
        ({"sampler_logp": ONE, "importance_cap": 0.5}, "importance_cap = 0.5: use 1 or more"),
        ({"importance_cap": 2.0}, "importance_cap = 2.0: has no effect without sampler_logp"),
        ({"direction": "repel"}, "direction = 'repel' and anchor_logp do not go together"),
        ({"anchor_logp": ONE, "direction": "unlikely"}, "direction = 'unlikely' and anchor_logp"),
        (GIVEN | {"direction": "product"}, "direction = 'product' and product_logp do not go"),
        (GIVEN | {"product_logp": ONE}, "direction = 'repel' and product_logp do not go"),
        ({"anchor_logp": ONE}, "direction = 'none' and anchor_logp do not go together"),
        ({"divergence_mask": ONE}, "direction = 'none': divergence_mask would have no effect"),
        (GIVEN | {"divergence": ONE}, "divergence is given with .* estimator = 'k3'"),
        (GIVEN | {"estimator": "exact"}, "divergence is missing with .* estimator = 'exact'"),
        ({"divergence": ONE, "estimator": "exact"}, "divergence is given with direction = 'none'"),
        ({"mask": torch.ones(1, 2)}, r"mask \[1, 2\]: use \[1, 1\]"),
        ({"advantages": torch.ones(1, 1)}, r"advantages \[1, 1\]: use \[1\]"),
    ],
)
def test_what_means_nothing_or_changes_nothing_is_refused(
    options: dict[str, Any], message: str
) -> None:
    inputs: dict[str, Any] = {
        "logp": ONE,
        "old_logp": ONE,
        "anchor_logp": None,
        "advantages": torch.ones(1),
        "mask": ONE,
    }
    with pytest.raises(ValueError, match=message):
        policy_loss(**inputs | options)
