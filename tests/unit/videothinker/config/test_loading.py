from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file
from smallest_config import SMALLEST

from videothinker.cli import preflight
from videothinker.cli.preflight import check_paths
from videothinker.config.kl import KLConfig
from videothinker.config.loading import load_config, to_yaml
from videothinker.config.lora import LoraConfig
from videothinker.config.rewards import RewardConfig
from videothinker.config.settings import RunConfig
from videothinker.data.questions import write_questions
from videothinker.errors import ConfigError, InputError
from videothinker.types import Question

CONFIGS = Path(__file__).parents[4] / "configs"
SMALL_CARDS = ("cdpo_1x24gb", "cdpo_2x24gb")
SHIPPED = sorted({*CONFIGS.glob("*.yaml")} - {*CONFIGS.glob("study*.yaml")})  # those are no runs
CDPO = CONFIGS / "cdpo.yaml"
PAPER = CONFIGS / "paper.yaml"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SMALLEST)
    return path


def problems(path: Path, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    first, *rest = str(caught.value).splitlines()
    assert first == f"{path} cannot be run:"
    assert all(line.startswith("  - ") for line in rest)
    return [line.removeprefix("  - ") for line in rest]


def only_problem(path: Path, *overrides: str) -> str:
    (problem,) = problems(path, *overrides)
    return problem


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_configuration_loads(path: Path) -> None:
    assert load_config(path).name == path.stem


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_resolved_configuration_reads_back_equal(path: Path, tmp_path: Path) -> None:
    resolved = tmp_path / "config.yaml"
    config = load_config(path)
    resolved.write_text(to_yaml(config))
    assert load_config(resolved) == config


def test_the_promised_configurations_are_shipped() -> None:
    paper = {"bias", "cdpo", "cdpo_2xa6000", "grpo", "paper"}
    newer = {"cdpo_qwen3vl_2b", "cdpo_qwen3vl_4b", *SMALL_CARDS}
    assert {path.stem for path in SHIPPED} == paper | newer | {"quickstart", "scale_out"}


@pytest.mark.parametrize("name", SMALL_CARDS)
def test_small_cards_train_adapters_on_what_the_paper_trains_on(name: str) -> None:
    there, paper = (load_config(CONFIGS / f"{each}.yaml") for each in (name, "paper"))
    assert there.learner.lora == LoraConfig()
    assert (there.stages, there.video, there.sampling) == (
        paper.stages,
        paper.video,
        paper.sampling,
    )
    assert there.learner.learning_rate == pytest.approx(10 * paper.learner.learning_rate)


@pytest.mark.parametrize("name", ["bias", "cdpo", "grpo", "paper"])
def test_paper_configurations_have_the_papers_values(name: str) -> None:
    config = load_config(CONFIGS / f"{name}.yaml")
    assert config.model.path.name == "Qwen2.5-VL-3B-Instruct"
    assert (config.sampling.group_size, config.sampling.max_tokens) == (8, 768)
    assert (config.learner.learning_rate, config.learner.schedule) == (1e-6, "linear")
    assert (config.learner.max_grad_norm, config.learner.ranks) == (20.0, 2)
    assert (config.video.max_frames, config.video.max_pixels) == (16, 128 * 28 * 28)
    for stage in config.stages:
        assert (stage.steps, stage.prompts_per_step) == (500, 2)


def test_two_a6000_train_what_the_paper_does_on_another_layout() -> None:
    """All that differs is who sits where."""
    there, paper = (load_config(CONFIGS / f"{name}.yaml") for name in ("cdpo_2xa6000", "paper"))
    layout = {"ranks": there.learner.ranks, "zero_stage": there.learner.zero_stage}
    moved = {
        "name": there.name,
        "out": there.out,
        "learner": paper.learner.model_copy(update=layout),
        "rollout": paper.rollout.model_copy(update={"workers": there.rollout.workers}),
    }
    assert there == paper.model_copy(update=moved)


@pytest.mark.parametrize(
    "name",
    [
        *("cdpo", "cdpo_2xa6000", "cdpo_qwen3vl_2b", "cdpo_qwen3vl_4b", "paper", "scale_out"),
        *SMALL_CARDS,
    ],
)
def test_cdpo_repels_from_the_bias_model(name: str) -> None:
    kl = load_config(CONFIGS / f"{name}.yaml").stages[-1].kl
    assert (kl.direction, kl.coefficient, kl.estimator, kl.bound) == ("repel", 0.01, "k3", 11.0)


def test_a_float_without_a_point_is_a_number(small: Path) -> None:
    assert yaml.safe_load("1e-6") == "1e-6", "PyYAML reads YAML 1.1; the typed layer must convert"
    small.write_text(SMALLEST + "learner: {learning_rate: 1e-6}\n")
    assert load_config(small).learner.learning_rate == 1e-6
    assert load_config(small, ["learner.learning_rate=2e-6"]).learner.learning_rate == 2e-6


def test_overrides_replace_the_file(small: Path) -> None:
    config = load_config(small, ["seed=7", "stages.0.steps=3", "cluster.device=cpu"])
    assert (config.seed, config.stages[0].steps, config.cluster.device) == (7, 3, "cpu")


def test_an_override_may_replace_a_whole_section() -> None:
    config = load_config(CDPO, ["stages.0.kl={direction: none}"])
    assert config.stages[0].kl.direction == "none"


def test_the_last_override_wins(small: Path) -> None:
    assert load_config(small, ["seed=1", "seed=2"]).seed == 2


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("seed", "an override is written"),
        ("stages.1.steps=3", "stages has no '1'; it has 1, from 0 on"),
        ("stages.first.steps=3", "stages has no 'first'"),
        ("seed.x=3", "unknown key|single value"),
        ("name.x=3", "name is a single value"),
        ("seed=[", "not readable as YAML"),
    ],
)
def test_a_malformed_override_is_explained(small: Path, override: str, said: str) -> None:
    small.write_text(SMALLEST + "seed: 1\n")
    with pytest.raises(ConfigError, match=said):
        load_config(small, [override])


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("stages.0.kl.coeficient=1", "stages.0.kl.coeficient: unknown key. Did you mean 'coeff"),
        ("stages.0.kl.beta=1", "Did you mean 'coefficient'?"),
        ("learner.lora.r=8", "Did you mean 'rank'?"),
        ("learner.rank=8", "Did you mean 'ranks' or 'learner.lora.rank'?"),
        ("learning_rate=1", "Did you mean 'learner.learning_rate'?"),
        ("steps=1", "Did you mean 'stages.N.steps'?"),
        ("learner.zzz=1", "Known here: learning_rate, schedule"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest(override: str, said: str) -> None:
    assert said in only_problem(CDPO, override)


def test_all_settings_that_are_no_settings_come_at_once() -> None:
    found = problems(
        PAPER,
        "oops",
        "learner.repulsion=1",
        "stages.0.steps=many",
        "learner.ranks=3",
        "rewards=[format, fromat]",
    )
    text = "\n".join(found)
    assert len(found) == 4, text
    for said in (
        "'oops'",
        "learner.repulsion: unknown key",
        "stages.0.steps = 'many': input should be a valid integer",
        "rewards.1.name = 'fromat'",
    ):
        assert said in text


def test_all_contradictions_come_at_once_where_every_setting_is_one() -> None:
    found = problems(PAPER, "learner.ranks=3", "video.min_frames=99")
    assert len(found) == 3, found
    for said in (
        "stages.0.prompts_per_step = 2 cannot be shared evenly by learner.ranks = 3",
        "stages.1.prompts_per_step = 2 cannot be shared evenly",
        "video.min_frames = 99 is more than video.max_frames = 16",
    ):
        assert said in "\n".join(found)


def test_an_override_that_was_not_understood_hides_what_it_may_have_mended() -> None:
    assert "an override is written" in only_problem(PAPER, "learner.ranks=3", "learner.ranks:2")


@pytest.mark.parametrize("stages", ["[{name: a}]", "[{name: a, questions: q, steps: many}]"])
def test_a_list_of_which_an_entry_is_wrong_is_not_called_too_short(
    small: Path, stages: str
) -> None:
    assert "stages.0." in only_problem(small, f"stages={stages}")


def test_a_run_needs_a_stage(small: Path) -> None:
    assert "stages: tuple should have at least 1 item" in only_problem(small, "stages=[]")


def test_missing_required_keys_are_named_together(tmp_path: Path) -> None:
    path = tmp_path / "empty.yaml"
    path.write_text("learner: {ranks: 3}\nstages: [{name: a}, {name: a, questions: q}]\n")
    found = problems(path)
    assert len(found) == 5
    for key in ("name", "out", "model", "data", "stages.0.questions"):
        assert f"{key}: missing, and there is no default" in found


def test_two_stages_of_one_name_are_refused(small: Path) -> None:
    stages = "stages=[{name: a, questions: q}, {name: a, questions: q}]"
    assert "an earlier stage has this name" in only_problem(small, stages)


def test_a_coefficient_without_a_direction_is_refused(small: Path) -> None:
    said = only_problem(small, "stages.0.kl.coefficient=0.01")
    assert "stages.0.kl: with direction none, coefficient = 0.01 would have no effect" in said


def test_repulsion_from_bias_needs_an_earlier_bias_stage(small: Path) -> None:
    said = only_problem(small, "stages.0.kl={direction: repel}")
    assert "no earlier stage of this run is named bias" in said


def test_a_stage_after_itself_is_not_earlier(small: Path) -> None:
    overrides = ["stages.0.name=bias", "stages.0.kl={direction: attract, anchor: bias}"]
    assert "no earlier stage" in only_problem(small, *overrides)


def test_a_misspelt_anchor_is_refused_with_the_nearest() -> None:
    assert "Did you mean 'bias'?" in only_problem(PAPER, "stages.1.kl.anchor=bais")


def test_the_base_model_is_always_an_anchor(small: Path) -> None:
    kl = "stages.0.kl={direction: attract, anchor: base, coefficient: 0.04}"
    assert load_config(small, [kl]).stages[0].kl.anchor == "base"


def test_a_key_given_twice_is_refused(small: Path) -> None:
    small.write_text(SMALLEST + "seed: 1\nseed: 2\n")
    assert "seed is given twice" in only_problem(small)


@pytest.mark.parametrize("content", ["", "- a\n", "just words\n", "a: [\n", "\x00"])
def test_a_file_that_is_no_mapping_is_refused(small: Path, content: str) -> None:
    small.write_text(content)
    only_problem(small)


def test_an_absent_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file") as caught:
        load_config(tmp_path / "no.yaml")
    assert "\n" not in str(caught.value)


def test_missing_things_are_named_with_the_command_that_brings_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = "\n".join(check_paths(load_config(CDPO)))
    model = "models/Qwen2.5-VL-3B-Instruct"
    assert f"hf download Qwen/Qwen2.5-VL-3B-Instruct --local-dir {model}" in text
    assert "videothinker prepare clevrer --questions data/clevrer/train.json" in text
    assert "--out data/clevrer/validation" in text
    assert "videothinker train configs/bias.yaml" in text
    assert "data.videos: no folder data/clevrer/videos" in text


@pytest.fixture
def complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunConfig:
    """The paper's configuration where all that it names is there, with one question and video."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(preflight, "fault", lambda device: None)
    config = load_config(PAPER)
    config.data.videos.mkdir(parents=True)
    (config.data.videos / "v.mp4").touch()
    (config.model.path).mkdir(parents=True)
    (config.model.path / "config.json").write_text('{"model_type": "qwen2_5_vl"}')
    for name in ("processor_config.json", "tokenizer.json"):
        (config.model.path / name).write_text("{}")
    save_file({"tensor": np.zeros(1)}, config.model.path / "model.safetensors")
    question = Question(id="q", video="v.mp4", text="?", options=(("A", "a"),), answer="A")
    assert config.data.validation is not None
    for path in [config.data.validation, *(stage.questions for stage in config.stages)]:
        write_questions(path, [question])
    return config


def test_nothing_is_missing_where_everything_is_there(complete: RunConfig) -> None:
    assert check_paths(complete) == []


def test_an_anchor_that_is_the_policy_is_no_file_and_sees_less(complete: RunConfig) -> None:
    kl = KLConfig(direction="repel", anchor="policy", anchor_view="frame")
    last = complete.stages[1].model_copy(update={"kl": kl})
    framed = complete.model_copy(update={"stages": (complete.stages[0], last)})
    assert not [line for line in check_paths(framed) if "kl.anchor" in line]
    picture = Question(id="q", video="p.png", text="?", options=(("A", "a"),), answer="A")
    write_questions(last.questions, [picture])
    with pytest.raises(ConfigError, match=r"1\.kl\.anchor_view = 'frame': no question that"):
        check_paths(framed)


def test_a_folder_with_other_videos_is_named_with_the_first_that_lacks(complete: RunConfig) -> None:
    (complete.data.videos / "v.mp4").rename(complete.data.videos / "w.mp4")
    text = "\n".join(check_paths(complete))
    assert "data.videos: 1 of the 1 videos of data/clevrer/train/bias_without_clause" in text
    assert "the first is v.mp4" in text


def test_a_question_file_that_cannot_be_read_is_found_before_anything_starts(
    complete: RunConfig,
) -> None:
    complete.stages[0].questions.write_text("[]")
    with pytest.raises(ConfigError, match=r"bias_without_clause\.parquet: not a Parquet file"):
        check_paths(complete)


def test_rewards_that_read_letters_are_refused_for_other_answers(complete: RunConfig) -> None:
    number = Question(id="n", video="v.mp4", text="?", options=(), answer="3", kind="number")
    write_questions(complete.stages[0].questions, [number])
    with pytest.raises(ConfigError, match=r"soft_accuracy reads letters.*n \(number\).*accuracy"):
        check_paths(complete)
    paid = complete.model_copy(update={"rewards": (RewardConfig(name="accuracy"),)})
    assert "rewards" not in "\n".join(check_paths(paid))


def test_a_function_is_tried_before_anything_starts(complete: RunConfig, tmp_path: Path) -> None:
    file = tmp_path / "own.py"

    def said(text: str) -> str:
        file.write_text(text)
        own = complete.model_copy(update={"rewards": (RewardConfig(call=f"{file}:brief"),)})
        return "\n".join(check_paths(own))

    assert said("def brief(completion, question): return 1") == ""
    assert said("def brief(completion, question): return completion.split()[0] == '<think>It'") == (
        "rewards.0.call: tried on two completions: reward own.py:brief: IndexError: list index out"
        " of range (line 1)"
    )
    right = "assert question.id == 'q' and (not completion or '<answer>A</answer>' in completion)"
    assert said(f"def brief(completion, question):\n    {right}\n    return 0") == ""
    file.unlink()
    own = complete.model_copy(update={"rewards": (RewardConfig(call=f"{file}:brief"),)})
    assert check_paths(own) == ["rewards.0.call: no file own.py. Write it, or name another"]


def test_a_budget_is_called_by_its_name(small: Path) -> None:
    small.write_text(SMALLEST + "video: reference-training\n")
    assert load_config(small).video.max_pixels == 196 * 28 * 28
    assert "preset" not in to_yaml(load_config(small))


def test_an_unknown_budget_is_answered_with_the_known_ones(small: Path) -> None:
    with pytest.raises(ConfigError, match="video = 'papr': not a budget; known: paper-training"):
        load_config(small, ["video=papr"])


def test_an_earlier_stage_is_an_anchor_by_its_name() -> None:
    strong, away = "{name: strong, questions: q}", "{name: away, questions: q, kl: %s}"
    stages = f"stages=[{strong}, {away % '{direction: repel, anchor: %s}'}]"
    assert "Did you mean 'strong'?" in only_problem(CDPO, stages % "stronk")
    assert load_config(CDPO, [stages % "strong"]).stages[1].kl.anchor == "strong"


def test_no_stage_takes_the_bases_name(small: Path) -> None:
    assert "'base': that is the model" in only_problem(small, "stages.0.name=base")


def test_likeliest_answers_need_questions(small: Path) -> None:
    assert "no effect without data.validation" in only_problem(
        small, "data.validation_likeliest=true"
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("[wandb,wandb]", "report_to: the same tracker is named twice. Name each once"),
        ("[wandbb]", "report_to.0 = 'wandbb': input should be 'tensorboard', 'trackio', 'wandb'"),
    ],
)
def test_trackers_are_known_ones_and_each_named_once(small: Path, given: str, said: str) -> None:
    assert said in only_problem(small, f"report_to={given}")
