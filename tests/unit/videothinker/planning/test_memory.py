"""Constants computed by hand from the 3B model's 3,754,622,976 parameters and its config.json."""

import pytest
from builders import shipped_config as config

from videothinker.config.settings import RunConfig
from videothinker.model.families.known import KNOWN
from videothinker.model.shape import TOKENS_AT_ONCE, ModelShape
from videothinker.planning.memory import (
    anchor_parts,
    answered_together,
    engine_parts,
    host_parts,
    largest,
    learner_parts,
    learner_phases,
    prompts_gb,
    sampled_together,
    store_gb,
    total,
)
from videothinker.planning.passes import row_phases

SHAPE: ModelShape = KNOWN["Qwen2.5-VL-3B-Instruct"]


PROMPT_GB = 4096 * 1176 / 1e9
ANSWERED = 2 * 12
"""Prompts of an evaluation that fit into half a GB, for one engine and as many again."""


def test_the_largest_prompt_is_the_whole_video_budget_and_a_question() -> None:
    load = largest(config(), SHAPE)
    assert (load.visual, load.patches, load.prompt) == (16 * 128 // 2, 4 * 1024, 1024 + 256)
    assert load.longest.tokens == 1280 + 8 * 768
    assert load.rows == [load.longest]


def test_no_prompt_is_longer_than_the_loader_lets_through() -> None:
    load = largest(config("video.max_frames=62", f"video.total_pixels={62 * 100352}"), SHAPE)
    assert (load.visual, load.prompt) == (62 * 64, 4864 - 768)


def test_a_row_has_no_more_groups_than_a_rank_has_of_a_step() -> None:
    short = ("sampling.max_tokens=8", "video.total_pixels=100352", "video.min_frames=2")
    wide, narrow = (
        largest(config(*short, f"stages.0.prompts_per_step={prompts}"), SHAPE)
        for prompts in (64, 2)
    )
    assert wide.longest.scored > narrow.longest.scored == 2 * 8 * 8
    fullest = [max(row.patches for row in load.rows) for load in (wide, narrow)]
    assert fullest[0] > fullest[1] == 2 * narrow.patches


def test_a_frozen_head_has_no_gradient() -> None:
    row = largest(config(), SHAPE).longest
    frozen = config("learner.freeze=[embeddings]")
    assert [phase["head"] for phase in row_phases(frozen, SHAPE, row, exact=False)] == [0, 0, 0]
    assert all(phase["head"] > 0 for phase in row_phases(config(), SHAPE, row, exact=False))


def test_a_cpus_forward_pass_in_16_bits_has_a_head_of_32_beside_its_scores() -> None:
    half, full = (
        config(f"model.dtype={dtype}", "learner.freeze=[embeddings]", name="quickstart")
        for dtype in ("bfloat16", "float32")
    )
    widened = 151_936 * 2048 * 4 / 1e9
    row = largest(half, SHAPE).longest
    at_head = [row_phases(each, SHAPE, row, exact=False)[0]["logits"] for each in (half, full)]
    assert at_head[0] - at_head[1] == pytest.approx(widened)
    scoring = [anchor_parts(each, SHAPE)["activations"] for each in (half, full)]
    assert scoring[0] > widened > scoring[1]  # where something else is the most


def test_a_cpus_engine_has_a_head_of_its_own_layout_and_one_of_32_bits() -> None:
    """While weights come it has the embeddings' too, and then room for all sequences' scores."""
    head, scores = 151_936 * 2048 / 1e9, 3 * 151_936 * 4 / 1e9
    few = ("sampling.group_size=8", "rollout.prompts_together=4")  # 64 in an evaluation
    held = {"float32": 2 * 4 * head + 256 * scores, "bfloat16": (2 + 4) * head + 64 * scores}
    for dtype, gb in held.items():
        asked = config(f"model.dtype={dtype}", *few, name="quickstart")
        assert engine_parts(asked, SHAPE)["head"] == pytest.approx(gb)
    assert "head" not in engine_parts(config(), SHAPE)


def test_more_completions_at_a_time_need_room_for_more_scores() -> None:
    half = ("model.dtype=bfloat16", "sampling.group_size=8", "rollout.prompts_together=4")
    one, four = (
        config(*half, f"rollout.units_at_once={units}", "stages.0.prompts_per_step=16",
               name="quickstart") for units in (1, 4)
    )  # fmt: skip
    assert [sampled_together(each) for each in (one, four)] == [32, 128]
    more = engine_parts(four, SHAPE)["head"] - engine_parts(one, SHAPE)["head"]
    assert more == pytest.approx((128 - 64) * 3 * 151_936 * 4 / 1e9)  # 64 in an evaluation


def test_what_checks_drafts_has_the_scores_of_a_full_step_twice() -> None:
    half = ("model.dtype=bfloat16", "sampling.group_size=8")
    none, some = (config(*half, f"rollout.drafts={n}", name="quickstart") for n in (0, 4))
    full = (2 + 4) * 151_936 * 2048 / 1e9 + 2 * 256 * 3 * 151_936 * 4 / 1e9
    assert engine_parts(some, SHAPE)["head"] == pytest.approx(full)
    assert engine_parts(none, SHAPE)["head"] < full
    on_card = [engine_parts(config(f"rollout.drafts={n}"), SHAPE)["workspace"] for n in (0, 4)]
    assert on_card[1] - on_card[0] == pytest.approx(256 * 3 * 151_936 * 4 / 1e9)


@pytest.mark.parametrize(
    ("override", "optimizer"),
    [
        ("learner.offload=true", 0.0),
        ("learner.offload=false", 3.754622976 * 12),
        ("learner={zero_stage: 2, ranks: 2}", 3.754622976 * 6),
        ("learner={zero_stage: 0, ranks: 2}", 3.754622976 * 12),
        ("learner={freeze: [vision, merger, embeddings]}", 2.77477376 * 12),
    ],
)
def test_a_rank_holds_its_part_of_the_optimizer(override: str, optimizer: float) -> None:
    assert learner_parts(config(override), SHAPE)["optimizer"] == pytest.approx(optimizer)


def test_an_offloaded_rank_holds_weights_and_lets_gradients_go_as_they_come() -> None:
    parts = learner_parts(config(), SHAPE)
    assert parts["weights"] == pytest.approx(7.509245952)
    assert parts["optimizer"] == 0
    assert "gradients" not in parts


def test_without_offload_the_optimizers_arithmetic_is_the_peak() -> None:
    parts = learner_parts(config("learner.offload=false"), SHAPE)
    assert parts["arithmetic"] == pytest.approx(3.754622976 * 8)
    assert "gradients" not in parts


def test_zero_3_shares_the_weights_and_gathers_some() -> None:
    sharded = config("learner={zero_stage: 3, ranks: 2, offload: true}")
    assert learner_parts(sharded, SHAPE)["weights"] == pytest.approx(7.509245952 / 2)
    gathered = [phase.get("gathered", 0.0) for phase in learner_phases(sharded, SHAPE)]
    assert gathered == pytest.approx([2.0, 2.0, 2.0, 7.509246])


def row_parts(*overrides: str, exact: bool = False) -> list[dict[str, float]]:
    """At the output head, in a layer, at the embeddings; in the longest row."""
    settings = config(*overrides)
    return row_phases(settings, SHAPE, largest(settings, SHAPE).longest, exact=exact)


def test_checkpointed_a_layer_keeps_its_input_and_one_is_computed_again() -> None:
    at_head, in_layer, _ = row_parts()
    row, repeated = 7424, 8 * 1280
    assert at_head["activations"] == pytest.approx(row * 38 * 2048 * 2 / 1e9)
    again = row * (6.4 * 2048 + 4 * 11008) + repeated * 2 * 256
    passing = row * (2 * 2048 + 11008) + 2048 * 11008
    assert in_layer["layer"] == pytest.approx(2 * (again + passing) / 1e9)


def test_the_head_has_its_gradient_three_times_and_the_embeddings_wait_for_it() -> None:
    head = 151_936 * 2048 * 2 / 1e9
    at_head, in_layer, embeddings = row_parts()
    assert at_head["head"] + at_head["logits"] == pytest.approx(2 * head + 3 * 256 * 2**20 / 1e9)
    assert in_layer["head"] == pytest.approx(head)
    assert embeddings == pytest.approx({"head": 3 * head})


def test_without_checkpointing_every_layer_is_kept() -> None:
    layer = 7424 * (6.4 * 2048 + 4 * 11008) + 8 * 1280 * 2 * 256
    plain = row_parts("learner.gradient_checkpointing=false")[0]["activations"]
    assert plain == pytest.approx((2 * 7424 * 2048 + 36 * layer) * 2 / 1e9)


def test_a_frozen_vision_tower_keeps_no_layer_of_its_own() -> None:
    frozen = row_parts("learner.freeze=[vision]")[0]["vision"]
    assert frozen == pytest.approx(5 * 4096 * 1280 * 2 / 1e9)
    assert row_parts()[0]["vision"] == pytest.approx(37 * 4096 * 1280 * 2 / 1e9)


def test_an_exact_divergence_needs_the_anchors_head_and_its_scores() -> None:
    exact = RunConfig.model_validate(
        config().model_dump() | {"stages": [stage_with_kl({"estimator": "exact"})]}
    )
    more = total(learner_parts(exact, SHAPE)) - total(learner_parts(config(), SHAPE))
    assert more == pytest.approx((151_936 * 2048 * 2 + 3 * 256 * 2**20) / 1e9)


def stage_with_kl(kl: dict[str, str]) -> dict[str, object]:
    return {"name": "only", "questions": "q", "kl": {"direction": "repel", "anchor": "base"} | kl}


def test_the_cache_counts_in_powers_of_two() -> None:
    assert engine_parts(config(), SHAPE)["cache"] == pytest.approx(4 * 1.073741824)


def test_an_anchor_holds_no_gradient_and_no_optimizer() -> None:
    assert set(anchor_parts(config(), SHAPE)) == {
        "weights",
        "activations",
        "context",
    }


def test_an_anchor_that_is_compared_with_the_initial_model_holds_both() -> None:
    alone = anchor_parts(config(), SHAPE)["weights"]
    kl = "stages.1.kl={direction: tie_break, anchor: bias, coefficient: 0.5, likelihood: %s}"
    absolute = anchor_parts(config(kl % "absolute"), SHAPE)["weights"]
    relative = anchor_parts(config(kl % "relative"), SHAPE)["weights"]
    assert (absolute, relative) == (alone, 2 * alone)


def test_the_host_holds_what_is_offloaded_and_two_copies_of_what_is_published() -> None:
    stored = config("weights.path=host")
    parts = host_parts(stored, SHAPE, ranks=1, engines=1, anchors=1, first=True, publishes=True)
    assert parts["optimizer"] == pytest.approx(3.754622976 * (20 + 2))
    assert parts["published"] == pytest.approx(2 * 7.509245952)
    assert parts["prompts"] == pytest.approx(ANSWERED * PROMPT_GB)


def test_a_store_has_twice_the_room_of_two_versions_and_the_prompts() -> None:
    prompts = ANSWERED * PROMPT_GB
    stored = config("weights.path=host")
    assert store_gb(stored, SHAPE) == pytest.approx(2 * (2 * 7.509245952 + prompts))


def test_weights_that_go_straight_are_stored_once_and_have_room_for_a_part_at_either_end() -> None:
    prompts = ANSWERED * PROMPT_GB
    assert store_gb(config(), SHAPE) == pytest.approx(2 * (7.509245952 + prompts))
    for parts in (learner_parts, engine_parts):
        assert parts(config(), SHAPE)["transfer"] == pytest.approx(151_936 * 2048 * 2 / 1e9)
        assert parts(config("weights.path=host"), SHAPE)["transfer"] == 0


def test_many_prompts_a_step_take_more_room_than_an_evaluation() -> None:
    many = config("stages.0.prompts_per_step=64", "stages.1.prompts_per_step=64")
    assert prompts_gb(many, SHAPE, largest(many, SHAPE)) == pytest.approx(128 * PROMPT_GB)


def test_an_evaluation_asks_fewer_questions_at_a_time_where_prompts_are_large() -> None:
    assert answered_together(config(), SHAPE) == ANSWERED // 2
    assert answered_together(config(name="quickstart"), SHAPE) == 64


def test_a_machine_without_ranks_holds_the_object_stores_copy_only() -> None:
    parts = host_parts(config(), SHAPE, ranks=0, engines=1, anchors=0, first=False, publishes=False)
    assert parts.get("optimizer", 0) == 0
    assert parts["published"] == pytest.approx(7.509245952)
    assert "clips" not in parts


def test_a_cpu_has_no_context_and_no_graphs() -> None:
    on_cpu = engine_parts(config(name="quickstart"), SHAPE)
    assert on_cpu["context"] == 0


def test_small_groups_fill_a_row_with_their_videos_and_the_papers_has_one_to_itself() -> None:
    small = largest(config(name="quickstart"), SHAPE)
    *_, full = small.rows
    assert full.patches == TOKENS_AT_ONCE // small.prompt * small.patches > small.patches
    assert TOKENS_AT_ONCE - 8 * full.patches < full.tokens <= TOKENS_AT_ONCE
    paper = largest(config(name="paper"), SHAPE)
    assert [row.patches for row in paper.rows] == [paper.patches]


@pytest.mark.parametrize("stage", [0, 2, 3])
def test_more_frames_never_take_less(stage: int) -> None:
    zero = f"learner={{zero_stage: {stage}, ranks: 2, offload: false}}"
    roomy = f"video.total_pixels={60 * 100352}"
    totals = [
        sum(learner_phases(config(zero, roomy, f"video.max_frames={n}"), SHAPE)[0].values())
        for n in (4, 8, 16, 32, 60)
    ]
    assert totals[0] < totals[-1]
    assert totals == sorted(totals)


def test_a_cpus_processes_are_each_as_large_as_their_role_s() -> None:
    asked = config(name="quickstart")
    held = [
        host_parts(asked, SHAPE, first=False, publishes=False, **counts)["processes"]
        for counts in (
            {"ranks": 1, "engines": 0, "anchors": 0},
            {"ranks": 0, "engines": 1, "anchors": 0},
            {"ranks": 0, "engines": 0, "anchors": 1},
        )
    ]
    assert held == pytest.approx([0.8, 1.2, 0.5])
