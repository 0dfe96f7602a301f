"""The constants of memory.py that DeepSpeed decides, measured on the tiny model."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from videothinker.config.learner import LearnerConfig
from videothinker.config.lora import LoraConfig
from videothinker.model.families.known import shape_of
from videothinker.planning.memory import (
    BUCKET_NUMBERS,
    HOST_OPTIMIZER_BYTES,
    OPTIMIZER_BYTES,
    UNCOPIED_OPTIMIZER_BYTES,
)

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.integration


def measured(
    model: Path, zero_stage: int, dtype: str, offload: bool = False, rank: int = 0
) -> tuple[int, dict]:
    """The number of parameters, and bytes held by time and type; with how many are trained."""
    program = str(ROOT / "tests" / "learner_memory.py")
    finished = subprocess.run(
        [sys.executable, program, str(model), str(zero_stage), dtype, str(offload), str(rank)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-2000:]
    result = json.loads(finished.stdout.splitlines()[-1])
    return result.pop("parameters"), result


def test_zero_2_holds_weights_gradients_and_12_bytes_of_optimizer(mini_base: Path) -> None:
    parameters, found = measured(mini_base, 2, "bfloat16")
    assert found["backward"]["bfloat16"] / parameters == pytest.approx(2 + 2, rel=0.01)
    assert found["step"]["bfloat16"] / parameters == pytest.approx(2, rel=0.01)
    assert found["step"]["float32"] / parameters == pytest.approx(OPTIMIZER_BYTES, rel=0.01)


def test_zero_3_holds_a_whole_bucket_however_small_the_model(mini_base: Path) -> None:
    parameters, found = measured(mini_base, 3, "bfloat16")
    assert 2 * BUCKET_NUMBERS < found["step"]["bfloat16"] < 2 * BUCKET_NUMBERS + 6 * parameters
    assert found["step"]["float32"] / parameters == pytest.approx(OPTIMIZER_BYTES, rel=0.01)


def test_float32_without_zero_needs_no_copy_of_the_weights(mini_base: Path) -> None:
    parameters, found = measured(mini_base, 0, "float32")
    expected = 4 + UNCOPIED_OPTIMIZER_BYTES
    assert found["step"]["float32"] / parameters == pytest.approx(expected, rel=0.01)


def test_beside_a_base_gradients_and_optimizer_are_an_adapters(mini_base: Path) -> None:
    """With 64 rows these are most of what is held."""
    parameters, found = measured(mini_base, 2, "bfloat16", rank=64)
    trained = found["trained"]
    assert trained == shape_of(mini_base).trained(LearnerConfig(lora=LoraConfig(rank=64)))
    assert trained > parameters / 4
    assert found["backward"]["bfloat16"] == pytest.approx(2 * parameters + 2 * trained, rel=0.02)
    assert found["step"]["bfloat16"] == pytest.approx(2 * parameters, rel=0.02)
    assert found["step"]["float32"] == pytest.approx(OPTIMIZER_BYTES * trained, rel=0.02)


@pytest.mark.slow
def test_offloaded_states_take_20_bytes_beside_weights_the_gradients_among_them(
    mini_base: Path,
) -> None:
    """Up to the largest tensor's size, for which DeepSpeed keeps a buffer."""
    parameters, found = measured(mini_base, 2, "bfloat16", offload=True)
    everything = sum(found["step"].values()) / parameters
    assert 2 + HOST_OPTIMIZER_BYTES <= everything + 0.01 < 2 + HOST_OPTIMIZER_BYTES + 1
