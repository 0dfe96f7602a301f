from dataclasses import replace
from pathlib import Path

import pytest
from builders import shipped_config as config

from videothinker.model.families.known import KNOWN
from videothinker.planning.speed import (
    CONSTANTS,
    CPU,
    Workforce,
    adam_seconds,
    chip_of,
    generate_seconds,
    learn_seconds,
    predict,
    prompt_flops,
    row_flops,
    sync_seconds,
    usual,
)

SHAPE = KNOWN["Qwen2.5-VL-3B-Instruct"]
TWO_A6000 = Workforce(
    ranks=1,
    engines=1,
    anchors=1,
    engines_per_device=1,
    apart=True,
    anchors_apart=False,
    machines_of_ranks=1,
    near=False,
    across=False,
    chip=chip_of(48),
)


def test_a_clevrer_prompts_vision_and_prefill_are_about_11_teraflop() -> None:
    """935 visual tokens and 115 of text: 4.9 of the tower, 5.9 of the language model."""
    load = replace(usual(config(), SHAPE), visual=935, patches=3740, prompt=1050)
    assert prompt_flops(SHAPE, load) / 1e12 == pytest.approx(10.8, rel=0.03)


def test_a_forward_pass_over_1600_completion_tokens_is_about_22_teraflop() -> None:
    """Prompt 11.8; completions 1,600 x 2 x (2.77 + 0.31) billion = 9.9; attention 0.6."""
    assert row_flops(config(), SHAPE) / 1e12 == pytest.approx(22.2, rel=0.01)


def test_decoding_reads_the_weights_once_for_each_position() -> None:
    """6.17 GB of weights and 0.67 of cache at 80% of 768 GB/s, 2 ms beside it: 12.4 ms; 350 of
    them, and two prompts of 11.8 TFLOP at half of 155 TFLOP/s."""
    seconds = generate_seconds(config(), SHAPE, TWO_A6000, prompts=2)
    assert seconds == pytest.approx(350 * 0.01238 + 2 * 0.1518, rel=0.02)


def test_a_cache_that_holds_half_the_sequences_doubles_the_positions() -> None:
    small = generate_seconds(config("rollout.cache_gb=0.18"), SHAPE, TWO_A6000, prompts=2)
    assert small > 1.8 * generate_seconds(config(), SHAPE, TWO_A6000, prompts=2)


def test_recomputation_costs_a_quarter_of_the_passes() -> None:
    kept = learn_seconds(config("learner.gradient_checkpointing=false"), SHAPE, TWO_A6000, 2)
    again = learn_seconds(config(), SHAPE, TWO_A6000, 2)
    adam = adam_seconds(config(), SHAPE, TWO_A6000, rows=2)
    assert (again - adam) / (kept - adam) == pytest.approx(4 / 3)


def test_later_updates_of_a_step_take_a_pass_more_over_their_part_and_an_optimizer_each() -> None:
    prompts = [f"stages.{number}.prompts_per_step=4" for number in range(2)]
    one, four = (
        learn_seconds(config(*prompts, f"learner.updates_per_step={count}"), SHAPE, TWO_A6000, 4)
        for count in (1, 4)
    )
    adam = adam_seconds(config(), SHAPE, TWO_A6000, rows=4)
    alone = adam_seconds(config(), SHAPE, TWO_A6000, rows=1)
    # without recomputation three passes, and three quarters of one; four with it
    assert (four - 4 * alone) / (one - adam) == pytest.approx(4.75 / 4)


def test_adam_on_the_host_is_slower_than_on_the_gpu() -> None:
    """3.75e9 at 1.5e9 a second and 15 GB a row over the bus; 28 bytes each at 614 GB/s."""
    on_host = adam_seconds(config(), SHAPE, TWO_A6000, rows=2)
    assert on_host == pytest.approx(2.503 + 2 * 0.601, rel=0.01)
    on_gpu = adam_seconds(config("learner.offload=false"), SHAPE, TWO_A6000, rows=2)
    assert on_gpu == pytest.approx(0.1711, rel=0.01)


def test_phases_add_up_when_nothing_overlaps() -> None:
    times = predict(config(), SHAPE, TWO_A6000)
    parts = times.generate + times.score + times.learn + times.sync
    assert times.on_policy == pytest.approx(parts)


def test_overlapped_the_slower_side_counts() -> None:
    times = predict(config(), SHAPE, TWO_A6000)
    assert times.overlapped == pytest.approx(times.learn + times.sync)
    together = predict(config(), SHAPE, replace(TWO_A6000, apart=False))
    assert together.overlapped == together.on_policy, "one device does one thing at a time"


def test_weights_take_the_way_that_there_is_from_learner_to_engine() -> None:
    """7.51 GB, at 25 GB/s between GPUs and 12.5 between machines; on one GPU read and written twice
    at 614 GB/s; through the host at 1.2 GB/s out of the GPU, and at 3.5 from there.
    """
    here, between, far = 4 * 7.509 / 614.4, 7.509 / 25, 7.509 / 12.5
    on_a_host = config("weights.path=host")
    seconds = [
        sync_seconds(given, SHAPE, replace(TWO_A6000, **changes))
        for given, changes in (
            (config(), {}),
            (config(), {"near": True}),
            (config(), {"engines": 4, "across": True}),
            (on_a_host, {}),
            (on_a_host, {"engines": 4}),
            (config("cluster.device=cpu"), {"chip": CPU}),
        )
    ]
    assert seconds == pytest.approx(
        [
            between + here,
            here,
            4 * (far + here),
            7.509 / 1.2 + 7.509 / 3.5,
            7.509 / 1.2 + 7.509 / 3.5,
            7.509 / 3.5,
        ],
        rel=1e-3,
    )


def test_engines_that_share_a_device_take_turns() -> None:
    alone = generate_seconds(config(), SHAPE, TWO_A6000, 2)
    crowded = replace(TWO_A6000, engines_per_device=2)
    assert generate_seconds(config(), SHAPE, crowded, 2) == pytest.approx(2 * alone)


def test_a_stage_without_a_divergence_scores_nothing() -> None:
    bias_only = config("stages.1.kl={direction: none}")
    assert predict(bias_only, SHAPE, TWO_A6000).score == 0


def test_a_quickstart_step_on_two_cores_takes_about_a_second(mini_base: Path) -> None:
    """Measured, medians of 24 steps of CDPO: 0.82 in all, score 0.14. Too much is expected:
    completions are shorter than half of `sampling.max_tokens`, which no plan can know."""
    from videothinker.model.families.known import shape_of

    quickstart = config(name="quickstart")
    times = predict(quickstart, shape_of(mini_base), replace(TWO_A6000, chip=CPU))
    assert times.on_policy == pytest.approx(0.82, rel=0.4)
    assert times.score == pytest.approx(0.14, rel=0.3)


def test_side_by_side_on_cores_each_is_slower_but_never_slower_than_in_turn(
    mini_base: Path,
) -> None:
    from videothinker.model.families.known import shape_of

    quickstart = config(name="quickstart")
    times = predict(quickstart, shape_of(mini_base), replace(TWO_A6000, chip=CPU))
    slower_side = max(times.generate + times.score, times.learn / 0.7 + times.sync)
    assert times.overlapped == pytest.approx(1.13 * slower_side, rel=0.01)
    assert times.overlapped < times.on_policy
    short = config("sampling.max_tokens=4", name="quickstart")
    crowd = replace(TWO_A6000, chip=CPU, engines=8, anchors=8)
    one_side = predict(short, shape_of(mini_base), crowd)
    assert one_side.overlapped == one_side.on_policy, "a learner, and hardly any sampling"


def test_more_frames_never_take_less_time() -> None:
    roomy = f"video.total_pixels={60 * 100352}"
    times = [
        predict(config(roomy, f"video.max_frames={frames}"), SHAPE, TWO_A6000).on_policy
        for frames in (4, 8, 16, 32, 60)
    ]
    assert times[0] < times[-1]
    assert times == sorted(times)


def test_a_gpus_speed_is_told_from_its_memory() -> None:
    names = [chip_of(size).name for size in (0.0, 24, 48, 80, 141)]
    assert names == ["a CPU core", "an A6000", "an A6000", "an A100", "an H200"]


def test_every_constant_says_where_it_comes_from() -> None:
    for name, constant in CONSTANTS.items():
        assert constant.source.startswith(("measured", "assumed", "estimated")), name
        assert constant.value > 0, name
