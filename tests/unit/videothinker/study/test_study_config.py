"""What a study is asked to do is checked before anything is started."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_study import SETTINGS, small_study

from videothinker.cli.main import main
from videothinker.config.kl import KLConfig
from videothinker.config.loading import load_config, to_yaml
from videothinker.config.lora import LoraConfig
from videothinker.errors import ConfigError, InputError
from videothinker.report.charts import colour
from videothinker.study.cells import cells, runs_of
from videothinker.study.checks import load_study
from videothinker.study.config import MOST_CURVES, StudyConfig, require_same_study
from videothinker.study.figures import DRAWN

SHIPPED = Path(__file__).parents[4] / "configs" / "study.yaml"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    places = {"out": str(tmp_path / "out"), "results": str(tmp_path / "results")}
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(SETTINGS | places))
    return path


OTHER = "learner: {learning_rate: 1e-3, lora: {rank: 8, alpha: 16}}"
BESIDE = yaml.safe_load(f"""
- {{name: low_bias, questions: bias, {OTHER}}}
- {{name: low_cdpo, kl: {{direction: repel, anchor: low_bias}}, {OTHER}}}
""")


@pytest.fixture
def file_of_two(file: Path) -> Path:
    """Three arms with the study's learner, between them two with another."""
    document = yaml.safe_load(file.read_text())
    first, *others = SETTINGS["arms"]
    document |= {"arms": [first, *BESIDE, *others], "learner": {"schedule": "constant"}}
    file.write_text(yaml.safe_dump(document))
    return file


def only_problem(file: Path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_study(file, overrides)
    _, problem = str(caught.value).splitlines()
    return problem.removeprefix("  - ")


def test_a_cell_is_a_run_of_all_arms_from_one_base_with_one_seed(file: Path) -> None:
    study = load_study(file)
    assert [cell.name for cell in cells(study)] == [
        *("base1-seed11", "base2-seed11", "base1-seed12", "base2-seed12"),
    ]
    run = runs_of(study, cells(study)[1])[0]
    assert (run.seed, run.model.path) == (11, study.out / "inputs" / "base2")
    assert [stage.name for stage in run.stages] == ["bias", "grpo", "cdpo"]
    assert [stage.questions.name for stage in run.stages] == [
        *("bias.parquet", "questions.parquet", "questions.parquet")
    ]
    assert run.stages[2].kl == KLConfig(direction="repel", anchor="bias")
    assert (run.data.validation_questions, run.data.validation_likeliest) == (40, True)


def test_a_cell_of_like_arms_is_one_run_in_the_cells_own_folder(file: Path) -> None:
    study = load_study(file)
    for cell in cells(study):
        assert [run.out for run in runs_of(study, cell)] == [
            study.out / "cells" / cell.name / "run"
        ]
        assert [run.name for run in runs_of(study, cell)] == [f"small-{cell.name}"]


def test_arms_with_another_learner_are_a_run_beside_it(file_of_two: Path) -> None:
    study = load_study(file_of_two)
    cell = cells(study)[1]
    shared, other = runs_of(study, cell)
    assert [stage.name for stage in shared.stages] == ["bias", "grpo", "cdpo"]
    assert [stage.name for stage in other.stages] == ["low_bias", "low_cdpo"]
    assert shared.out == study.out / "cells" / "base2-seed11" / "run"
    assert other.out == study.out / "cells" / "base2-seed11-low_bias" / "run"
    assert other.name == "small-base2-seed11-low_bias"
    assert (shared.seed, shared.model) == (other.seed, other.model)


def test_what_an_arms_learner_does_not_say_is_the_studys(file_of_two: Path) -> None:
    study = load_study(file_of_two)
    _, other = runs_of(study, cells(study)[0])
    assert (other.learner.schedule, other.learner.learning_rate) == ("constant", 1e-3)
    assert other.learner.lora == LoraConfig(rank=8, alpha=16)
    assert StudyConfig.model_validate_json(study.model_dump_json()) == study


def test_arms_that_are_added_with_another_learner_leave_the_run_that_is_there(
    file: Path, tmp_path: Path
) -> None:
    study = load_study(file)
    require_same_study(study)
    document = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump(document | {"arms": [*SETTINGS["arms"], *BESIDE]}))
    longer = load_study(file)
    require_same_study(longer)
    cell = cells(study)[0]
    assert runs_of(longer, cell)[0] == runs_of(study, cell)[0]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "arms.2.kl.anchor=bias",
            "arms.2.kl.anchor = 'bias': that arm has another learner, so another run trains it."
            " Name an arm before low_cdpo that has the same learner",
        ),
        (
            "arms.4.kl.anchor=low_bias",
            "arms.4.kl.anchor = 'low_bias': that arm has another learner, so another run trains it."
            " Name an arm before cdpo that has the same learner",
        ),
        (
            "arms.4.kl={} arms.3.name=low_cdpo reference=bias",
            "arms.3.name = 'low_cdpo': an earlier arm has this name, and results are kept by name."
            " Give each arm its own",
        ),
        (
            "arms.3.learner.schedule=constant",
            "arms.3.learner has no effect: the study's has the same settings. Leave it out",
        ),
        (
            "arms.2.kl.anchor=lo_bias",
            "arms.2.kl.anchor = 'lo_bias': not an earlier stage, base, policy or",
        ),
        (
            "arms.2.guard.action='off' arms.2.guard.window=9",
            "arms.2.guard.window = 9 has no effect with action",
        ),
        (
            "cluster.scorers=0",
            "cluster.scorers = 0: the learner scores where anchor and policy are",
        ),
        ("learner.zero_stage=0 learner.offload=true", "learner.offload = True: with learner.zero"),
        (
            "arms.1.learner.lora.targets=[qproj] arms.2.learner.lora.targets=[qproj]",
            "arms.1.learner.lora.targets: 'qproj' is no matrix of the language model. Did you mean",
        ),
        ("arms.1.learner.lorra={}", "arms.1.learner.lorra: unknown key. Did you mean 'lora'?"),
    ],
)
def test_a_mistake_of_one_of_two_learners_is_told_once_with_its_arm(
    file_of_two: Path, override: str, said: str
) -> None:
    assert only_problem(file_of_two, *override.split(" ")).startswith(said)


def test_a_dry_run_tells_an_arms_own_learner(
    file_of_two: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["study", str(file_of_two), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "small: 4 cells of 5 arms in 2 runs, validation questions" in said
    assert said.count("learner.learning_rate = 0.001, learner.lora.rank = 8, ") == 2


def test_an_arm_that_collapses_is_measured_unless_it_asks_for_a_guard(
    file: Path,
) -> None:
    study = load_study(file, ["arms.2.guard.action=lower"])
    stages = runs_of(study, cells(study)[0])[0].stages
    assert [stage.guard.action for stage in stages] == ["off", "off", "lower"]


def test_a_cells_run_reads_back_equal_from_its_file(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    run = runs_of(study, cells(study)[0])[0]
    (tmp_path / "run.yaml").write_text(to_yaml(run))
    assert load_config(tmp_path / "run.yaml") == run


def test_a_base_that_exists_is_named_by_its_folder(file: Path, tmp_path: Path) -> None:
    study = load_study(file, [f"warm_starts=[7, {tmp_path / 'mine'}]"])
    assert [cell.base for cell in cells(study)[:2]] == [
        *(study.out / "inputs" / "base7", tmp_path / "mine"),
    ]
    assert cells(study)[1].name == "mine-seed11"


def test_every_arm_is_compared_with_the_reference_and_nothing_twice(file: Path) -> None:
    study = load_study(file, ["compare=[[cdpo, bias], [cdpo, grpo]]"])
    assert study.pairs == (
        *(("base", "grpo"), ("bias", "grpo"), ("cdpo", "grpo"), ("cdpo", "bias")),
    )


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("reference=gprpo", "reference = 'gprpo': no arm has this name. Did you mean 'grpo'?"),
        ("compare=[[cdpo, nobody]]", "compare.0 = 'nobody': no arm has this name. There are: base"),
        ("compare=[[cdpo, cdpo]]", "compare.0: cdpo is compared with itself"),
        ("seeds=[1,2,1]", "seeds: 1 is named twice"),
        ("warm_starts=[3,3]", "warm_starts: base3 is named twice"),
        ("seeds=[]", "seeds: tuple should have at least 1 item"),
        ("compare=[] arms.2.name=bias", "arms.2.name = 'bias': an earlier stage has this name"),
        (
            "compare=[] arms.2.name=base",
            "arms.2.name = 'base': that is the model every stage starts from",
        ),
        ("arms.2.kl.anchor=cpdo", "arms.2.kl.anchor = 'cpdo': not an earlier stage"),
        ("arms.2.kl.anchor=me/bias", "arms.2.kl.anchor = 'me/bias': a study takes folders"),
        ("arms.1.kl={direction: repel, anchor: cdpo}", "That stage comes later: put it before"),
        ("arms.1.kl={coefficient: 0.1}", "arms.1.kl: with direction none, coefficient = 0.1"),
        ("arms.0.questions=some", "arms.0.questions = 'some': input should be 'all', 'bias' or"),
        ("armz=[]", "armz: unknown key. Did you mean 'arms'?"),
        ("learner.learningrate=1", "unknown key. Did you mean 'learning_rate'?"),
        ("world.tests=3", "world.tests: unknown key. Did you mean 'test'?"),
        ("jobs=0", "jobs = 0: input should be greater than 0"),
    ],
)
def test_a_mistake_is_named_with_its_key_and_a_remedy(file: Path, override: str, said: str) -> None:
    overrides = re.split(r" (?=arms)", override)
    assert said in only_problem(file, *overrides)


def test_the_reference_and_as_many_others_as_there_are_colours_are_drawn() -> None:
    study = load_study(SHIPPED)
    others = [name for name in study.arm_names[1:] if name != study.reference]
    assert study.model_copy(update={"curves": ()}).drawn == (study.reference, *others[:5])
    assert study.model_copy(update={"curves": ("bias",)}).drawn == ("bias",)
    assert len({colour(number) for number in range(50)}) == len(DRAWN) == MOST_CURVES


def test_a_base_that_is_not_there_is_refused(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["study", str(file), "warm_starts=[1,/nowhere/base]"]) == 2
    assert "warm_starts.1: no model in /nowhere/base. Name the" in capsys.readouterr().err


def test_a_wrong_study_ends_with_2_and_a_dry_run_writes_nothing(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["study", str(file), "reference=x"]) == 2
    assert main(["study", str(file), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "small: 4 cells of 3 arms" in said
    assert "repel bias, k3 at 0.01" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.yaml"]


def test_the_shipped_study_has_the_papers_arms_and_their_controls() -> None:
    study = load_study(SHIPPED)
    repelled = {
        arm.kl.coefficient
        for arm in study.arms
        if (arm.kl.direction, arm.kl.anchor, arm.kl.estimator) == ("repel", "bias", "k3")
        and arm.kl.target is None
    }
    assert repelled == {0.01, 0.03, 0.1, 0.3}
    towards = {arm.kl.anchor for arm in study.arms if arm.kl.direction == "attract"}
    assert towards == {"base", "bias"}
    assert {arm.questions for arm in study.arms} == {"all", "bias", "balanced"}
    assert len(study.warm_starts) >= 3
    assert len(study.seeds) >= 3


@pytest.mark.parametrize(
    "change", [{"seeds": (11, 12, 13)}, {"jobs": 5}, {"reference": "bias"}, {"warm_starts": (9,)}]
)
def test_a_study_goes_on_with_what_no_finished_model_depends_on(
    change: dict[str, Any], tmp_path: Path
) -> None:
    study = small_study(tmp_path)
    require_same_study(study)
    require_same_study(study.model_copy(update=change))


def test_arms_may_be_added_after_the_others(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    require_same_study(study)
    longer = study.model_copy(update={"arms": (*study.arms, study.arms[-1])})
    require_same_study(longer)
    with pytest.raises(InputError, match=r"arms.3.name is 'cdpo' there and 'absent' here"):
        require_same_study(study)


def test_a_folder_never_holds_two_studies(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    require_same_study(study)
    other = study.model_copy(update={"split": "test"})
    with pytest.raises(InputError, match=r"other settings: split is 'validation' there and 'test'"):
        require_same_study(other)


def test_the_second_study_has_the_firsts_settings_and_nothing_that_was_tried_in_it() -> None:
    first, second = load_study(SHIPPED), load_study(SHIPPED.with_name("study-discount.yaml"))
    for name in ("dtype", "video", "sampling", "rewards", "learner", "rollout", "split"):
        assert getattr(first, name) == getattr(second, name)
    assert first.world.seed != second.world.seed
    assert not {*first.warm_starts} & {*second.warm_starts}
    assert not {*first.seeds} & {*second.seeds}
    named = {arm.name: arm for arm in first.arms}
    shared = [arm for arm in second.arms if arm.name in ("bias", "grpo", "cdpo_30")]
    assert shared == [named[arm.name] for arm in shared]


def test_the_study_of_adapters_trains_the_same_arms_at_each_rank() -> None:
    study = load_study(SHIPPED.with_name("study-lora.yaml"))
    second = load_study(SHIPPED.with_name("study-discount.yaml"))
    for name in ("dtype", "video", "sampling", "rewards", "learner", "rollout", "cluster", "split"):
        assert getattr(second, name) == getattr(study, name)
    full, *adapters = runs_of(study, cells(study)[0])
    named = {arm.name: arm for arm in second.arms}
    assert [arm for arm in study.arms if arm.learner is None] == [
        named[stage.name] for stage in full.stages
    ]
    loras = [run.learner.lora for run in adapters]
    assert [lora.rank for lora in loras if lora] == [2, 8, 32]
    assert len({run.learner.learning_rate for run in adapters}) == 1
    for run, lora in zip(adapters, loras, strict=True):
        assert lora == LoraConfig(rank=lora.rank, alpha=2 * lora.rank) if lora else False
        names = [f"lora{lora.rank}_{stage.name}" for stage in full.stages] if lora else []
        assert [stage.name for stage in run.stages] == names
        for ours, theirs in zip(run.stages, full.stages, strict=True):
            kl = theirs.kl.model_copy(update={"anchor": ours.kl.anchor})
            assert ours == theirs.model_copy(update={"name": ours.name, "kl": kl})
            assert (ours.name, theirs.name) in study.pairs
