"""`import videothinker` and its four functions: what the verbs of the same names do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from smallest_config import SMALLEST

import videothinker
from videothinker.cli import functions
from videothinker.cli.main import main
from videothinker.config.settings import RunConfig
from videothinker.errors import ConfigError, InputError


def brief(completion: str, question: object) -> float:
    """A reward of a module."""
    return float(len(completion) < 9)


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[RunConfig]:
    """What would be trained, in a folder with a configuration `small.yaml`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(SMALLEST + "rewards: [format]\n")
    seen: list[RunConfig] = []

    def begin(config: RunConfig, source: Path, resume: Path | None = None) -> Any:
        assert source == Path("small.yaml")
        seen.append(config)
        return {"models": []}, config.out

    monkeypatch.setattr(functions, "begin", begin)
    return seen


def test_importing_is_quick_and_brings_nothing_large() -> None:
    code = "import sys, videothinker; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {"torch", "ray", "vllm", "pydantic", "numpy", "yaml"}
    assert callable(videothinker.train)


def test_the_verb_and_the_function_train_the_same(begun: list[RunConfig]) -> None:
    assert videothinker.train("small.yaml", "stages.0.steps=7") == {"models": []}
    assert main(["train", "small.yaml", "stages.0.steps=7"]) == 0
    assert begun[0] == begun[1]
    assert begun[0].stages[0].steps == 7


def test_rewards_that_are_given_pay_instead_of_the_configuration_s(begun: list[RunConfig]) -> None:
    videothinker.train("small.yaml", rewards=["accuracy", brief, ("format", 0.5)])
    [config] = begun
    assert [(one.title, one.weight) for one in config.rewards] == [
        ("accuracy", 1),
        ("brief", 1),
        ("format", 0.5),
    ]
    assert config.rewards[1].place == (Path(__file__), "brief")


def test_a_function_of_the_script_itself_goes_by_its_source(
    begun: list[RunConfig], tmp_path: Path
) -> None:
    here = Path(__file__)
    script = here.read_text()  # as its lines stand in this file, of a module called __main__
    space: dict[str, Any] = {"__name__": "__main__", "__file__": str(here)}
    exec(compile(script.partition("@pytest.fixture")[0], str(here), "exec"), space)
    videothinker.train("small.yaml", rewards=[space["brief"]])
    file, name = begun[0].rewards[0].place
    assert (file, name) == (tmp_path / "runs" / "small-rewards" / "brief.py", "brief")
    text = file.read_text()
    assert text.startswith("def brief(")
    assert "import" not in text


def _nested() -> Callable[..., float]:
    def inner(completion: str, question: object) -> float:
        return 1.0

    return inner


@pytest.mark.parametrize("reward", [lambda completion, question: 1, _nested(), len, print])
def test_a_function_without_a_source_of_its_own_is_refused(
    begun: list[RunConfig], reward: Callable[..., Any]
) -> None:
    with pytest.raises(InputError, match="write it as `def` in a cell or at the top of a file"):
        videothinker.train("small.yaml", rewards=[reward])
    assert begun == []


def test_what_is_wrong_is_raised_as_the_verb_says_it(begun: list[RunConfig]) -> None:
    with pytest.raises(ConfigError, match=r"rewards.0.name = 'fromat'"):
        videothinker.train("small.yaml", rewards=["fromat"])
    with pytest.raises(InputError, match="there is no field colour; known: id, question"):
        videothinker.prepare("mine.jsonl", "clips", "out", colour="red")
    with pytest.raises(InputError, match="no model there"):
        videothinker.ask("nowhere", "clip.mp4", "?")


def test_the_other_verbs_call_their_functions(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    called: list[tuple[Any, ...]] = []

    def told(name: str, result: dict[str, Any]) -> Callable[..., dict[str, Any]]:
        def function(*arguments: Any, **settings: Any) -> dict[str, Any]:
            called.append((name, *arguments, *settings.items()))
            return result

        return function

    monkeypatch.setattr(functions, "ask", told("ask", {"thinking": "", "answer": "A"}))
    monkeypatch.setattr(functions, "prepare", told("prepare", {"questions": 3}))
    assert main(["ask", "--model", "m", "--video", "v.mp4", "What?", "--option", "this"]) == 0
    words = ["prepare", "jsonl", "f.jsonl", "--videos", "v", "--out", "o", "--question", "problem"]
    assert main(words) == 0
    ask, prepare = called
    assert ask[:5] == ("ask", "m", Path("v.mp4"), "What?", ["this"])
    assert prepare[:4] == ("prepare", "f.jsonl", Path("v"), Path("o"))
    assert ("question", "problem") in prepare
