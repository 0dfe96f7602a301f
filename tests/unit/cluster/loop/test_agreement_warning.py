"""What the driver says of a step whose sampler and learner disagreed."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from builders import shipped_config

from cluster.loop.session import Session
from videothinker.types import LearnerReport


@pytest.mark.parametrize(("gap", "warns"), [(0.04, False), (0.06, True)])
def test_a_gap_above_the_tolerance_is_warned_of(
    gap: float, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    config = shipped_config("cluster.logprob_tolerance=0.05")
    session: Any = SimpleNamespace(config=config)
    report = LearnerReport(step=3, stats={"logprob_gap": gap}, seconds=1.0)
    with caplog.at_level(logging.WARNING):
        Session._heed_gap(session, config.stages[0], report)
    assert ("step 3: sampler and learner disagree by 0.06 a token" in caplog.text) == warns
