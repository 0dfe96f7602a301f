"""docs/hub.md, typed: a model fetched, trained, pushed, and fetched again by whoever asks it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from documented import ROOT, Documented, Place, commands
from hub_server import WRITER, Hub, Repository, serving
from torch.utils.cpp_extension import get_default_build_root

from videothinker.data.questions import read_questions
from videothinker.mini import SHIPPED_BASE

PAGE = ROOT / "docs" / "hub.md"
BASE = "Qwen/Qwen2.5-VL-3B-Instruct"
MODEL = Path("runs/bias/stages/bias/model")


@pytest.fixture
def there(tmp_path: Path, mini_base: Path, mini_world: Path) -> Iterator[tuple[Place, Hub]]:
    """A machine without the base, and a Hub that has it."""
    place = Place(tmp_path / "place", mini_base, mini_world)
    settings = {"TORCH_EXTENSIONS_DIR": get_default_build_root()}  # or it compiles for minutes
    with serving() as hub, pytest.MonkeyPatch.context() as patch:
        hub.add(BASE, place.folder / "base")
        place.add_own("own-data.md")
        own = (place.folder / "mine.jsonl").read_bytes()
        hub.models["datasets/me/questions"] = Repository()
        hub.models["datasets/me/questions"].commit({"train.jsonl": own})
        for name, value in (settings | hub.environment(tmp_path / "home", WRITER)).items():
            patch.setenv(name, value)
        yield place, hub


def type_out(place: Place, *typed: Documented) -> None:
    for command in typed:
        done = place.run(command, limit=900)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        assert "Fetching" not in done.stdout, "progress is for stderr"


def test_what_needs_no_engine_works_as_it_stands(there: tuple[Place, Hub]) -> None:
    place, hub = there
    shutil.copytree(SHIPPED_BASE, place.folder / MODEL)
    (place.folder / MODEL / "README.md").write_text("---\nlicense: mit\n---\n")
    type_out(place, *(one for one in commands(PAGE) if "--dry-run" in one.words))
    assert hub.files_sent() == set()
    type_out(place, *(one for one in commands(PAGE) if one.verb in ("push", "prepare")))
    assert arrived(place, hub)
    assert len(read_questions(place.folder / "data/hub/questions.parquet")) == 5


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_page_works_as_it_stands(there: tuple[Place, Hub]) -> None:
    place, hub = there
    prepared = [one for one in commands(ROOT / "README.md") if one.verb == "prepare"]
    type_out(place, *prepared, *commands(PAGE))
    assert arrived(place, hub)
    commit = hub.models[BASE].branches["main"]
    config = yaml.safe_load((place.folder / "runs/bias/config.yaml").read_text())
    assert (config["model"]["path"], config["pinned"]) == (BASE, {BASE: commit})
    summary = json.loads((place.folder / "runs/bias/summary.json").read_text())
    assert summary["models"][0]["hub"] == f"{BASE}@{commit}"
    lineage = json.loads((place.folder / MODEL / "lineage.json").read_text())
    assert lineage["base"]["hub"] == f"{BASE}@{commit}"
    assert f"\nbase_model: {BASE}\n" in (place.folder / MODEL / "README.md").read_text()


def arrived(place: Place, hub: Hub) -> bool:
    """Whether what was pushed is the exported model, and private."""
    files = {file.name: file.read_bytes() for file in (place.folder / MODEL).iterdir()}
    pushed = hub.models["me/bias"]
    return pushed.private and pushed.tip() == files | {".gitattributes": b""}
