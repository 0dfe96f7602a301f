"""What a plan says of adapters; figures by hand from the 3B's matrices at rank 16."""

import json
from dataclasses import replace

import pytest
from builders import CONFIGS
from builders import shipped_config as config

from videothinker.cli.main import main
from videothinker.config.checks.run import cross_checks
from videothinker.config.lora import LoraConfig
from videothinker.config.settings import RunConfig
from videothinker.errors import PlacementError
from videothinker.model.families.known import KNOWN
from videothinker.model.parts import PART_BYTES
from videothinker.planning import adapters
from videothinker.planning.adapters import told
from videothinker.planning.disk import disk_need
from videothinker.planning.layout import Machine, layouts, workforce
from videothinker.planning.memory import (
    anchor_parts,
    engine_parts,
    host_parts,
    largest,
    learner_parts,
    learner_phases,
    store_gb,
    total,
    transfer_gb,
)
from videothinker.planning.passes import row_phases, scoring_gb
from videothinker.planning.placement import fitting, plan, remedies
from videothinker.planning.speed import (
    CPU,
    Workforce,
    learn_seconds,
    predict,
    row_parts,
    sync_seconds,
)
from videothinker.planning.turns import resting_learner

SHAPE = KNOWN["Qwen2.5-VL-3B-Instruct"]
LARGE = KNOWN["Qwen2.5-VL-7B-Instruct"]
SIDES = 2 * (2048 + 2048) + 2 * (2048 + 256) + 3 * (2048 + 11_008)
"""Inputs and outputs of a layer's seven matrices."""
TRAINED = 16 * 36 * SIDES
BASE_GB = 3_754_622_976 * 2 / 1e9
ADAPTER_GB = TRAINED * 2 / 1e9
ONE_CARD = [Machine(gpus=1, gpu_gb=24, host_gb=64)]
SCORER = "cluster.scorers=1"


def one_card(*settings: str) -> RunConfig:
    return config(*settings, name="cdpo_1x24gb")


def two_cards(*settings: str) -> RunConfig:
    return config(*settings, name="cdpo_2x24gb")


def test_a_learner_holds_its_base_two_adapters_and_the_optimizer_of_one() -> None:
    parts = learner_parts(two_cards(), SHAPE)
    assert parts["weights"] == pytest.approx(BASE_GB)
    assert parts["adapters"] == pytest.approx(2 * ADAPTER_GB)  # its own, and the bias model's
    assert parts["optimizer"] == pytest.approx(TRAINED * 12 / 1e9)
    assert learner_parts(two_cards(SCORER), SHAPE)["adapters"] == pytest.approx(ADAPTER_GB)
    base = two_cards("stages.1.kl.anchor=base")
    assert learner_parts(base, SHAPE)["adapters"] == pytest.approx(ADAPTER_GB)


def test_gradients_are_an_adapters_and_the_bucket_is_whole_while_they_come() -> None:
    phase = learner_phases(two_cards(), SHAPE)[0]
    assert phase["gradients"] == pytest.approx(ADAPTER_GB)
    assert phase["buckets"] == pytest.approx(1.0)
    assert phase["head"] == 0.0


def test_a_learner_that_scores_has_a_pass_for_it_at_rest_too() -> None:
    asked = one_card()
    scoring = {"scoring": scoring_gb(asked, SHAPE, largest(asked, SHAPE).longest)}
    assert scoring in learner_phases(asked, SHAPE)
    assert resting_learner(asked, SHAPE)["scoring"] == scoring["scoring"]
    assert scoring not in learner_phases(one_card(SCORER), SHAPE)
    assert "scoring" not in resting_learner(one_card(SCORER), SHAPE)


def kept(targets: str) -> float:
    """By all layers of what seven matrices keep, in numbers of each token and layer."""
    lora = f"learner.lora={{rank: 16, targets: {targets}}}"
    asked = one_card("learner.gradient_checkpointing=false", lora)
    row = largest(asked, SHAPE).longest
    at_head, *_ = row_phases(asked, SHAPE, row, exact=False)
    return at_head["activations"] * 1e9 / 2 / 36 / row.tokens


def test_an_adapter_keeps_its_narrow_states_and_the_input_of_its_matrix() -> None:
    everything = kept("[q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj]")
    attention, one = kept("[q_proj, v_proj]"), kept("[q_proj]")
    assert attention - one == pytest.approx(16)
    assert everything - attention == pytest.approx(5 * 16 + 2048 + 11_008)


def test_no_gradient_of_a_matrix_waits_in_a_layer() -> None:
    row = largest(config(), SHAPE).longest
    full, small = (
        row_phases(each, SHAPE, row, exact=False)[1]["layer"] for each in (config(), two_cards())
    )
    narrow = row.tokens * 7 * 16
    more = row.tokens * 2048 + narrow - 2048 * 11_008
    assert small - full == pytest.approx(more * 2 / 1e9)


def test_an_engine_has_room_beside_every_matrix_whatever_is_adapted() -> None:
    """And beside embeddings and head, which some families have."""
    numbers = 36 * SIDES + 2 * (151_936 + 2048)
    for rank, room in ((1, 8), (16, 16), (17, 32), (257, 320)):
        asked = two_cards(f"learner.lora={{rank: {rank}, targets: [q_proj]}}")
        held = engine_parts(asked, SHAPE)["adapters"]
        assert held == pytest.approx(room * numbers * 2 / 1e9)


def test_an_engine_that_adds_them_has_one_sum_at_a_time() -> None:
    parts = engine_parts(two_cards("rollout.adapters=merged"), SHAPE)
    assert "adapters" not in parts
    assert parts["merging"] == pytest.approx(2048 * 11_008 * (4 + 2 + 2) / 1e9 + ADAPTER_GB)
    assert "merging" in engine_parts(one_card(), SHAPE)  # since it sleeps


def test_a_scorer_of_its_own_has_one_base_for_what_is_compared() -> None:
    discount = "stages.1.kl={direction: tie_break, anchor: %s, coefficient: 0.5}"
    held = {
        anchor: anchor_parts(two_cards(SCORER, discount % anchor), SHAPE)["weights"]
        for anchor in ("bias", "runs/other/model")
    }
    assert held["bias"] == pytest.approx(BASE_GB + ADAPTER_GB)
    assert held["runs/other/model"] == pytest.approx(2 * BASE_GB)


def test_what_travels_and_is_stored_are_adapters() -> None:
    stored = two_cards("weights.path=host")
    counts = {"ranks": 1, "engines": 1, "anchors": 0}
    host = host_parts(stored, SHAPE, first=True, publishes=True, **counts)
    assert host["published"] == pytest.approx(BASE_GB)  # of the checkpoint, as it starts
    later = host_parts(stored, SHAPE, first=True, publishes=True, ranks=0, engines=1, anchors=0)
    assert later["published"] == pytest.approx(2 * ADAPTER_GB)
    many = two_cards("weights.path=host", "learner.lora={rank: 256}")
    assert store_gb(many, SHAPE) - store_gb(stored, SHAPE) == pytest.approx(4 * 15 * ADAPTER_GB)


def test_a_part_on_its_way_is_no_more_than_an_adapter() -> None:
    assert adapters.PART_BYTES == PART_BYTES
    small, large = two_cards("learner.lora={rank: 4}"), two_cards("learner.lora={rank: 64}")
    assert transfer_gb(small, SHAPE) == pytest.approx(ADAPTER_GB / 4)
    assert transfer_gb(large, SHAPE) == pytest.approx(2**26 / 1e9)


def test_merged_the_checkpoint_stays_in_the_hosts_memory() -> None:
    counts = {"ranks": 1, "engines": 1, "anchors": 0, "first": True, "publishes": True}
    assert host_parts(one_card(), SHAPE, **counts)["read again"] == pytest.approx(BASE_GB)
    assert "read again" not in host_parts(two_cards(), SHAPE, **counts)


def test_states_and_models_hold_no_base() -> None:
    need = disk_need(two_cards(), SHAPE)
    assert need["states"] == pytest.approx(3 * TRAINED * (2 + 12) / 1e9)
    assert need["models"] == pytest.approx(2 * ADAPTER_GB)


def work(asked: RunConfig) -> Workforce:
    """Of the layout that is taken on two cards."""
    machines = [Machine(gpus=2, gpu_gb=24)]
    return workforce(machines, (0, 0), plan(asked, SHAPE, machines).places)


def test_gradients_pass_through_what_keeps_its_numbers() -> None:
    """A forward pass, that of checkpointing and one back; the tower is only seen."""
    asked = two_cards()
    parts, one = row_parts(asked, SHAPE), work(asked)
    operations = parts["vision"] + parts["merger"] + 3 * (parts["layers"] + parts["embeddings"])
    learning = learn_seconds(asked, SHAPE, one, prompts=2)
    assert learning == pytest.approx(2 * operations / one.chip.flops, rel=0.01)


def test_an_updates_way_is_a_fiftieth_and_merging_reads_the_base_again() -> None:
    whole, beside = config(), two_cards()
    one = work(beside)
    assert sync_seconds(beside, SHAPE, one) < sync_seconds(whole, SHAPE, one) / 50
    merged = two_cards("rollout.adapters=merged")
    more = sync_seconds(merged, SHAPE, one) - sync_seconds(beside, SHAPE, one)
    assert more == pytest.approx(BASE_GB / 5)
    on_cpu = replace(one, chip=CPU)
    more = sync_seconds(merged, SHAPE, on_cpu) - sync_seconds(beside, SHAPE, on_cpu)
    assert more == pytest.approx(BASE_GB / 0.24)


def test_a_learner_that_scores_does_one_thing_at_a_time() -> None:
    asked = two_cards("rollout.max_staleness=1", "sampling.max_tokens=128")
    times = predict(asked, SHAPE, work(asked))
    learning = times.score + times.learn + times.sync
    assert times.overlapped == pytest.approx(max(times.generate, learning), rel=1e-2)
    assert work(two_cards("learner.ranks=1")).anchors == 1


def test_the_plan_says_in_a_sentence_where_the_anchor_sits() -> None:
    assert told(config(), SHAPE) == ""
    assert told(one_card(), SHAPE) == (
        "the learner scores: anchor and initial model are adapters of the base that it has,"
        " 0.06 GB in place of 7.5"
    )
    assert told(one_card(SCORER), SHAPE) == (
        "the anchor has a process and a base of its own, 7.5 GB: cluster.scorers=0 would have the"
        " learner score, with 0.06"
    )
    sharded = one_card(SCORER, "learner.zero_stage=3")
    assert told(sharded, SHAPE) == "the anchor has a process and a base of its own, 7.5 GB"
    assert "by path may be a whole model: 7.5 GB" in told(
        one_card(SCORER, "stages.1.kl.anchor=runs/other/model"), SHAPE
    )
    moving = "stages.1.kl={direction: repel, anchor: policy, anchor_view: blind}"
    assert told(one_card(SCORER, moving), SHAPE) == told(one_card(SCORER), SHAPE)
    alone = one_card("stages.1.kl={direction: none}")
    assert told(alone, SHAPE) == "an adapter of 0.06 GB is trained and sent in place of 7.5"


@pytest.mark.parametrize("name", ["Qwen2.5-VL-3B-Instruct", "Qwen3-VL-2B-Instruct"])
def test_one_card_of_24_gb_does_with_a_tenth_to_spare(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["plan", f"{CONFIGS}/cdpo_1x24gb.yaml", f"model.path=models/{name}", "--json"]
    assert main([*words, "--gpus", "1", "--gpu-memory", "24", "--host-memory", "64"]) == 0
    result = json.loads(capsys.readouterr().out)
    for load in (*result["devices"], *result["hosts"]):
        assert load["total_gb"] <= 0.9 * load["limit_gb"]


def test_the_guide_shows_what_the_plan_says(capsys: pytest.CaptureFixture[str]) -> None:
    page = (CONFIGS.parent / "docs" / "one-card.md").read_text()
    command = "plan configs/cdpo_1x24gb.yaml --gpus 1 --gpu-memory 24 --host-memory 64"
    assert f"videothinker {command}\n" in page
    assert main(command.replace("configs", str(CONFIGS)).split()) == 0
    assert capsys.readouterr().out in page


def test_a_4b_does_on_one_card_that_really_has_25_7_gb() -> None:
    shape = KNOWN["Qwen3-VL-4B-Instruct"]
    assert fitting(one_card(), shape, ONE_CARD) is None
    assert fitting(one_card(), shape, [Machine(gpus=1, gpu_gb=25.7, host_gb=64)])


def test_a_7b_is_refused_on_one_card_naming_two() -> None:
    with pytest.raises(PlacementError) as refused:
        plan(one_card(), LARGE, ONE_CARD)
    assert str(refused.value).endswith(
        "What would fit: 1 more GPU and rollout.sleep=false; GPUs of at least 43 GB"
    )
    for remedy in remedies(one_card(), LARGE, ONE_CARD):
        assert fitting(remedy.config, LARGE, remedy.machines), remedy.text
        assert list(cross_checks(remedy.config)) == [], remedy.text


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("Qwen2.5-VL-3B-Instruct", []),
        ("Qwen3-VL-4B-Instruct", []),
        ("Qwen2.5-VL-7B-Instruct", ["rollout.cache_gb=1"]),
    ],
)
def test_two_cards_of_24_gb_share_no_work(name: str, settings: list[str]) -> None:
    layout = plan(two_cards(*settings), KNOWN[name], [Machine(gpus=2, gpu_gb=24, host_gb=64)])
    assert layout.kind == "split"
    assert layout.places == {"learner": (0,), "rollout": (1,), "anchor": ()}


def test_an_adapter_is_proposed_where_the_whole_model_does_not_fit() -> None:
    first, *_ = remedies(config(), SHAPE, ONE_CARD)
    assert first.text == (
        "learner.lora={} cluster.scorers=0 rollout.sleep=true rollout.cache_gb=1.0"
    )
    assert first.config.learner.lora == LoraConfig()
    assert list(cross_checks(first.config)) == []
    assert fitting(config(*first.text.split()), SHAPE, ONE_CARD)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ([], "learner.lora={} cluster.scorers=0"),
        (["learner.zero_stage=3", "stages.1.kl.estimator=k1"], "learner.lora={}"),
        (["stages.1.kl.anchor=runs/other/model"], "learner.lora={}"),
        (["stages.1.kl={direction: none}"], "learner.lora={}"),
    ],
)
def test_the_learner_is_proposed_as_scorer_where_it_can_be(
    settings: list[str], expected: str
) -> None:
    asked = config(*settings)
    small_host = [Machine(gpus=1, gpu_gb=48, host_gb=40)]
    first, *_ = remedies(asked, SHAPE, small_host)
    assert first.text == expected
    assert list(cross_checks(first.config)) == []


def test_every_layout_of_a_learner_that_scores_has_no_scorer() -> None:
    for layout in layouts(one_card(), SHAPE, ONE_CARD):
        assert layout.places["anchor"] == ()
        assert total(layout.devices[0].parts["learner 0"]) < 14
