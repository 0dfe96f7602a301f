from pathlib import Path

import pytest
from builders import shipped_config as paper

from videothinker.cli.preflight import check_paths
from videothinker.model.families.known import shape_of
from videothinker.planning import disk


def need(*changes: str) -> dict[str, float]:
    config = paper(*changes)
    return disk.disk_need(config, shape_of(config.model.path))


def test_two_kept_states_and_the_one_being_written_are_counted_of_one_stage() -> None:
    # 3.755e9 parameters: 2 bytes of weights, 4 + 4 + 4 of the optimizer
    assert need()["states"] == pytest.approx(3 * 3.755 * 14, rel=0.01)
    assert need("learner.keep_states=1")["states"] == pytest.approx(2 * 3.755 * 14, rel=0.01)


def test_each_stage_leaves_its_model() -> None:
    assert need()["models"] == pytest.approx(2 * 3.755 * 2, rel=0.01)


def test_the_best_model_and_the_one_it_is_compared_with_take_room() -> None:
    usual = need()["models"]
    assert need("stages.1.keep_best=overall")["models"] == pytest.approx(2 * usual)
    both = ("stages.0.keep_best=overall", "stages.1.keep_best=overall")
    assert need(*both)["models"] == pytest.approx(2.5 * usual)


def test_an_anchor_that_is_the_policy_takes_two_models_and_one_for_each_state() -> None:
    moving = "stages.1.kl={direction: repel, anchor: policy, anchor_view: blind}"
    usual = need()["models"]
    assert need(moving)["models"] == pytest.approx(usual + (2 + 3) * 3.755 * 2, rel=0.01)
    short = need(moving, "stages.0.steps=50", "stages.1.steps=50")["models"]
    assert short == pytest.approx(usual + 2 * 3.755 * 2, rel=0.01)


def test_a_stage_too_short_to_save_has_no_states() -> None:
    short = need("stages.0.steps=50", "stages.1.steps=50")
    assert short["states"] == 0
    assert need("stages.0.steps=51", "stages.1.steps=50")["states"] > 0


def test_sharded_weights_are_in_the_optimizers_copy_alone() -> None:
    sharded = need("learner.zero_stage=3", "learner.ranks=2")
    assert sharded["states"] == pytest.approx(3 * 3.755 * 12, rel=0.01)


def test_a_full_disk_is_named_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "free_gb", lambda folder: 100.0)
    config = paper(f"out={tmp_path / 'run'}")
    [short] = [line for line in check_paths(config) if line.startswith("out: ")]
    assert "has room for 100 GB and the run writes up to 173" in short
    monkeypatch.setattr(disk, "free_gb", lambda folder: 200.0)
    assert not [line for line in check_paths(config) if line.startswith("out: ")]


def test_what_an_interrupted_run_wrote_counts_as_room(tmp_path: Path) -> None:
    state = tmp_path / "run" / "stages" / "bias" / "state"
    state.mkdir(parents=True)
    (state / "shard.pt").write_bytes(bytes(1_000_000))
    assert disk.written_gb(tmp_path / "run" / "stages") == pytest.approx(0.001)
    assert disk.written_gb(tmp_path / "absent") == 0
