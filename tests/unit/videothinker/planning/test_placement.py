import pytest
from builders import shipped_config as config

from videothinker.config.checks.run import cross_checks
from videothinker.config.settings import RunConfig
from videothinker.errors import PlacementError
from videothinker.model.families.known import KNOWN
from videothinker.planning.layout import Machine, SeatedRole
from videothinker.planning.placement import changed, fitting, grow, plan, remedies

SHAPE = KNOWN["Qwen2.5-VL-3B-Instruct"]
LARGE = KNOWN["Qwen2.5-VL-7B-Instruct"]
TWO_A6000 = [Machine(gpus=2, gpu_gb=48, host_gb=128)]


def refused(config: RunConfig, machines: list[Machine]) -> str:
    with pytest.raises(PlacementError) as caught:
        plan(config, SHAPE, machines)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_papers_stages_fit_two_a6000_with_the_learner_apart() -> None:
    layout = plan(config(), SHAPE, TWO_A6000)
    assert layout.kind == "split"
    assert layout.places == {"learner": (0,), "rollout": (1,), "anchor": (1,)}


@pytest.mark.parametrize("name", ["bias", "cdpo", "grpo", "paper"])
def test_the_papers_configurations_fit_two_a6000_sharing_them(name: str) -> None:
    assert plan(config(name=name), SHAPE, TWO_A6000).kind == "colocated"


def test_the_scale_out_configuration_fits_two_machines_of_four() -> None:
    machines = [Machine(gpus=4, gpu_gb=48, host_gb=128)] * 2
    assert plan(config(name="scale_out"), SHAPE, machines).kind == "scale_out"


def test_one_gpu_is_shared_by_all_where_they_fit() -> None:
    assert plan(config(), SHAPE, [Machine(gpus=1, gpu_gb=48)]).kind == "colocated"
    assert "GPUs of at least 40 GB" in refused(config(), [Machine(gpus=1, gpu_gb=32)])


REFUSED = {
    "no offload": (["learner.offload=false"], [Machine(gpus=2, gpu_gb=48)]),
    "small GPUs": ([], [Machine(gpus=2, gpu_gb=16)]),
    "one small GPU": ([], [Machine(gpus=1, gpu_gb=24, host_gb=128)]),
    "small host": ([], [Machine(gpus=2, gpu_gb=48, host_gb=32)]),
    "everything small": ([], [Machine(gpus=1, gpu_gb=16, host_gb=16)]),
    "too many ranks": (["learner.ranks=2"], [Machine(gpus=1, gpu_gb=80)]),
    "no GPU": ([], [Machine()]),
    "small cache": (["rollout.cache_gb=0.1"], TWO_A6000),
    "large cache": (["rollout.cache_gb=60"], TWO_A6000),
    "many engines": (["rollout.workers=5"], TWO_A6000),
    "all activations": (["learner.gradient_checkpointing=false"], TWO_A6000),
    "ZeRO 0": (["learner={zero_stage: 0, offload: false}"], TWO_A6000),
}


@pytest.mark.parametrize(("overrides", "machines"), REFUSED.values(), ids=REFUSED)
def test_what_a_refusal_names_does_fit(overrides: list[str], machines: list[Machine]) -> None:
    asked = config(*overrides)
    said = refused(asked, machines)
    found = remedies(asked, SHAPE, machines)
    assert found
    for remedy in found:
        assert fitting(remedy.config, SHAPE, remedy.machines) is not None, remedy.text
        assert list(cross_checks(remedy.config)) == [], remedy.text
        assert remedy.text in said


def remedies_of(asked: RunConfig, *machines: Machine) -> list[str]:
    return [remedy.text for remedy in remedies(asked, SHAPE, machines)]


def test_settings_of_a_remedy_are_what_the_command_line_takes() -> None:
    offload, _ = remedies_of(config("learner.offload=false"), *TWO_A6000)
    assert offload == "learner.offload=true"
    assert plan(config("learner.offload=false", offload), SHAPE, TWO_A6000)
    plain = "learner={zero_stage: 0, offload: false}"
    both, _ = remedies_of(config(plain), *TWO_A6000)
    assert both == "learner.offload=true learner.zero_stage=2"
    assert plan(config(plain, *both.split()), SHAPE, TWO_A6000)


def test_the_smallest_change_of_a_kind_is_named() -> None:
    found = remedies_of(config("rollout.cache_gb=60"), *TWO_A6000)
    assert found == ["rollout.cache_gb=30.0", "GPUs of at least 80 GB"]


def test_a_gpu_more_or_larger_ones_are_both_named() -> None:
    found = remedies_of(config("learner.freeze=[vision]"), Machine(gpus=1, gpu_gb=32))
    assert found == ["1 more GPU", "GPUs of at least 40 GB"]


def test_ranks_without_a_gpu_are_given_one() -> None:
    found = remedies_of(config("learner.ranks=2"), Machine(gpus=1, gpu_gb=80))
    assert found == ["learner.ranks=1", "1 more GPU"]


def test_host_memory_is_named_alone_where_it_is_enough_and_beside_gpus_where_both_lack() -> None:
    assert remedies_of(config(), Machine(gpus=2, gpu_gb=48, host_gb=16)) == [
        "at least 108 GB of host memory"
    ]
    assert remedies_of(config(), Machine(gpus=1, gpu_gb=16, host_gb=16)) == [
        "2 more GPUs and at least 108 GB of host memory",
        "GPUs of at least 40 GB and at least 108 GB of host memory",
    ]


def test_one_gb_less_than_a_remedy_names_would_not_do() -> None:
    assert fitting(config(), SHAPE, [Machine(gpus=1, gpu_gb=40, host_gb=108)])
    assert not fitting(config(), SHAPE, [Machine(gpus=1, gpu_gb=39, host_gb=108)])
    assert not fitting(config(), SHAPE, [Machine(gpus=1, gpu_gb=40, host_gb=107)])


def test_a_refusal_says_what_is_too_large_by_how_much() -> None:
    said = refused(config("learner.offload=false"), TWO_A6000)
    assert "GPU 0 would hold 83.8 GB and has 45.6" in said
    assert "optimizer 45.1, arithmetic 30.0, weights 7.5" in said


def test_unequal_machines_are_each_named() -> None:
    said = refused(config(), [Machine(gpus=1, gpu_gb=16), Machine(gpus=2, gpu_gb=12)])
    assert "does not fit 1 GPU of 16 GB beside 2 GPUs of 12 GB" in said


def test_hopeless_cases_say_so() -> None:
    huge = config("rollout.cache_gb=8000", "learner.offload=false")
    assert "No single change" in refused(huge, [Machine(gpus=1, gpu_gb=1, host_gb=1)])


def test_more_memory_never_refuses_what_fitted() -> None:
    for overrides in ([], ["learner.offload=false"], ["rollout.workers=3"]):
        asked = config(*overrides)
        for gpus in (1, 2, 3):
            fitted = [
                fitting(asked, SHAPE, [Machine(gpus=gpus, gpu_gb=gb, host_gb=128)]) is not None
                for gb in range(8, 200, 4)
            ]
            assert fitted == sorted(fitted)
        on_host = [
            fitting(asked, SHAPE, [Machine(gpus=2, gpu_gb=141, host_gb=gb)]) is not None
            for gb in range(8, 200, 8)
        ]
        assert on_host == sorted(on_host)


def test_another_gpu_never_refuses_what_fitted() -> None:
    for gb in (24, 32, 40, 48):
        fitted = [
            fitting(config(), SHAPE, [Machine(gpus=gpus, gpu_gb=gb)]) is not None
            for gpus in range(9)
        ]
        assert fitted == sorted(fitted)


def test_a_larger_model_never_fits_where_a_smaller_does_not() -> None:
    for gb in range(8, 200, 8):
        machines = [Machine(gpus=2, gpu_gb=gb)]
        if fitting(config(), LARGE, machines):
            assert fitting(config(), SHAPE, machines)


def test_sampling_ahead_takes_the_overlapped_time() -> None:
    for ahead, total in ((0, "on_policy"), (1, "overlapped")):
        layout = plan(config(f"rollout.max_staleness={ahead}"), SHAPE, TWO_A6000)
        assert layout.step_seconds == getattr(layout.seconds, total)


def grown(machines: list[Machine], workers: int, *gone: int) -> dict[SeatedRole, tuple[int, ...]]:
    """Seats of so many workers where there was one, on the first two GPUs."""
    first = plan(config(), SHAPE, TWO_A6000)
    return grow(first, config(f"rollout.workers={workers}"), SHAPE, machines, gone).places


def test_whoever_has_a_seat_keeps_it_when_more_come() -> None:
    machines = [*TWO_A6000, Machine(gpus=2, gpu_gb=48, host_gb=128)]
    assert grown(machines, 3) == {"learner": (0,), "rollout": (1, 2, 3), "anchor": (1,)}


def test_of_two_idle_gpus_the_larger_is_taken() -> None:
    idle = [Machine(gpus=1, gpu_gb=gb, host_gb=128) for gb in (48, 80)]
    assert grown([*TWO_A6000, *idle], 2)["rollout"] == (1, 3)


def test_fewer_are_the_first_of_them() -> None:
    two = config("rollout.workers=2")
    layout = plan(two, SHAPE, TWO_A6000)
    fewer = grow(layout, config(), SHAPE, TWO_A6000)
    assert fewer.places["rollout"] == layout.places["rollout"][:1]
    assert fewer.places["anchor"] == layout.places["anchor"]


def test_nobody_new_goes_to_a_machine_that_is_gone() -> None:
    machines = [*TWO_A6000, *TWO_A6000]
    assert set(grown(machines, 2, 0)["rollout"]) == {1, 2}
    with pytest.raises(PlacementError, match="no room for 2 rollout workers"):
        grown(machines, 2, 0, 1)


def test_more_than_memory_holds_are_refused_saying_where() -> None:
    roomy = [Machine(gpus=2, gpu_gb=48)]
    assert len(grown(roomy, 3)["rollout"]) == 3
    with pytest.raises(PlacementError, match=r"no room for 9 .* GPU \d would hold"):
        grown(roomy, 9)


@pytest.mark.parametrize("workers", range(1, 9))
def test_whatever_grows_fits(workers: int) -> None:
    first = plan(config(), SHAPE, TWO_A6000)
    machines = [*TWO_A6000, Machine(gpus=4, gpu_gb=48, host_gb=128)]
    layout = grow(first, config(f"rollout.workers={workers}"), SHAPE, machines)
    assert layout.excess <= 0
    assert len(layout.places["rollout"]) == workers


def test_a_change_leaves_what_it_was_made_from_alone() -> None:
    asked = config()
    assert changed(asked, {"learner.ranks": 2}).learner.ranks == 2
    assert asked.learner.ranks == 1


def test_the_same_question_has_the_same_answer() -> None:
    assert plan(config(), SHAPE, TWO_A6000) == plan(config(), SHAPE, TWO_A6000)
