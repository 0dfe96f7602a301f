"""Models of the Hub, from one that listens on this machine."""

from __future__ import annotations

import errno
import json
import shutil
from collections import namedtuple
from pathlib import Path

import huggingface_hub
import pytest
from hub_server import READER, WRITER, Hub, Repository
from huggingface_hub import constants

from videothinker.errors import InputError, VideoThinkerError
from videothinker.hub.models import fetch, find, model_folder, push, unlicensed
from videothinker.mini import SHIPPED_BASE
from videothinker.model.checkpoint import base_of

CARD = "---\nlicense: apache-2.0\n---\n\n# A model\n"


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """What a run leaves of a stage, as far as the Hub cares."""
    model = tmp_path / "runs" / "mine" / "stages" / "cdpo" / "model"
    shutil.copytree(SHIPPED_BASE, model)
    (model / "README.md").write_text(CARD)
    return model


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def refusal(name: str) -> str:
    """What is said of a model that cannot be had: one line."""
    with pytest.raises(InputError) as refused:
        fetch(name)
    text = str(refused.value)
    assert len(text.splitlines()) == 1
    assert text.startswith(f"{name}: ")
    return text


def test_a_model_arrives_as_it_lies_there_in_a_folder_called_by_its_commit(hub: Hub) -> None:
    commit = hub.add("me/tiny", SHIPPED_BASE)
    folder = fetch("me/tiny")
    assert folder.name == commit
    assert contents(folder) == contents(SHIPPED_BASE)


def test_a_branch_or_a_commit_may_be_named(hub: Hub) -> None:
    first = hub.add("me/tiny", SHIPPED_BASE)
    files = contents(SHIPPED_BASE) | {"videothinker.json": b"{}"}
    second = hub.models["me/tiny"].commit(files, "dev/next")
    assert fetch(f"me/tiny@{first}").name == first
    assert fetch("me/tiny@dev/next").name == second
    assert (fetch("me/tiny@dev/next") / "videothinker.json").read_bytes() == b"{}"


def test_code_pickles_and_other_folders_are_never_asked_for(hub: Hub) -> None:
    files = contents(SHIPPED_BASE) | {"README.md": CARD.encode(), "LICENSE": b"free"}
    unwanted = {
        "modeling_own.py": b"raise SystemExit",
        "pytorch_model.bin": b"pickle",
        "optimizer.pt": b"pickle",
        "model.gguf": b"numbers",
        "checkpoint-7/model.safetensors": b"an older one",
    }
    hub.models["me/tiny"] = Repository()
    hub.models["me/tiny"].commit(files | unwanted)
    assert contents(fetch("me/tiny")) == files
    assert hub.files_sent() == set(files)


def test_a_model_of_pickles_alone_is_refused_and_nothing_is_fetched(hub: Hub) -> None:
    hub.models["me/old"] = Repository()
    hub.models["me/old"].commit({"config.json": b"{}", "pytorch_model.bin": b"pickle"})
    assert "no *.safetensors in it (only pytorch_model.bin" in refusal("me/old")
    assert hub.files_sent() == set()


def test_a_model_that_asks_for_code_of_its_own_is_refused(hub: Hub) -> None:
    files = contents(SHIPPED_BASE)
    config = json.loads(files["config.json"]) | {"auto_map": {"AutoModel": "own.Own"}}
    hub.models["me/own"] = Repository()
    hub.models["me/own"].commit(files | {"config.json": json.dumps(config).encode()})
    with pytest.raises(InputError, match="auto_map"):
        fetch("me/own")


@pytest.mark.parametrize(
    ("config", "said"),
    [(b'{"hidden_size": 8}', "model_type is None"), (None, "no config.json")],
)
def test_another_kind_of_model_is_refused_before_its_weights_are_fetched(
    hub: Hub, config: bytes | None, said: str
) -> None:
    files = contents(SHIPPED_BASE) | {"config.json": config or b""}
    hub.models["me/words"] = Repository()
    hub.models["me/words"].commit({name: data for name, data in files.items() if data})
    assert said in refusal("me/words")
    assert hub.files_sent() <= {"config.json"}


def test_a_file_of_it_that_others_fetched_is_no_model(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("me/tiny", SHIPPED_BASE)
    huggingface_hub.hf_hub_download("me/tiny", "config.json")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "not, or not wholly, in" in refusal("me/tiny")


def test_an_unknown_model_and_a_private_one_are_refused_alike_with_both_remedies(hub: Hub) -> None:
    hub.add("me/secret", SHIPPED_BASE, private=True)
    for name in ("me/nothing", "me/secret"):
        said = refusal(name)
        assert "no such folder, and no such model on the Hub; or it is private" in said
        assert "no token was given: `hf auth login`, or HF_TOKEN" in said


def test_a_private_model_is_fetched_with_a_token(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = hub.add("me/secret", SHIPPED_BASE, private=True)
    monkeypatch.setenv("HF_TOKEN", READER)
    assert fetch("me/secret").name == commit
    assert "the token given is not enough" in refusal("me/nothing")


def test_what_else_can_be_wrong_with_a_name_is_told_apart(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("me/tiny", SHIPPED_BASE)
    hub.add("me/terms", SHIPPED_BASE, gated=True)
    assert "me/tiny has no such revision" in refusal("me/tiny@gone")
    assert "no name for a model" in refusal("me/a--b")
    assert "agree to their terms first" in refusal("me/terms")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert "the Hub refuses it (401); the token is wrong" in refusal("me/tiny")
    assert "hf_wrong" not in refusal("me/tiny")


def test_without_a_connection_the_cache_is_all_there_is(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = hub.add("me/tiny", SHIPPED_BASE)
    fetch("me/tiny")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert fetch("me/tiny").name == commit
    said = refusal("me/other")
    assert "no connection to the Hub (ConnectError)" in said
    assert str(constants.HF_HUB_CACHE) in said


def test_a_hub_that_is_down_is_no_connection(hub: Hub) -> None:
    commit = hub.add("me/tiny", SHIPPED_BASE)
    fetch("me/tiny")
    hub.down = True
    assert fetch("me/tiny").name == commit
    assert "the Hub answers 503 (Service Unavailable). Try again later" in refusal("me/other")


def test_what_answers_in_a_hubs_place_is_told_from_one(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", f"{hub.address}/portal")
    assert "no answer of a Hub's (Expecting value" in refusal("me/tiny")
    monkeypatch.setattr(constants, "ENDPOINT", f"{hub.address}/nothing")
    assert "the Hub answers 404" in refusal("me/tiny")


def test_offline_the_cache_answers_and_nobody_is_asked(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = hub.add("me/tiny", SHIPPED_BASE)
    fetch("me/tiny")
    hub.asked.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert fetch("me/tiny").name == commit
    assert "HF_HUB_OFFLINE is set" in refusal("me/other")
    assert hub.asked == []


@pytest.mark.parametrize("lost", ["model.safetensors", "tokenizer.json", "config.json"])
def test_half_a_model_in_the_cache_is_none_when_offline(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    hub.add("me/tiny", SHIPPED_BASE)
    (fetch("me/tiny") / lost).unlink()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "not, or not wholly, in" in refusal("me/tiny")


def test_a_pinned_commit_in_the_cache_is_used_without_asking(hub: Hub) -> None:
    commit = hub.add("me/tiny", SHIPPED_BASE)
    fetch("me/tiny")
    hub.models["me/tiny"].commit(contents(SHIPPED_BASE) | {"videothinker.json": b"{}"})
    hub.asked.clear()
    assert fetch("me/tiny", commit).name == commit
    assert hub.asked == []
    assert fetch("me/tiny").name != commit, "the branch has moved"


def test_a_model_is_found_by_commit_and_size_and_nothing_of_it_is_fetched(hub: Hub) -> None:
    commit = hub.add("me/tiny", SHIPPED_BASE)
    size = sum(len(data) for data in contents(SHIPPED_BASE).values())
    found = find("me/tiny")
    assert (found.commit, found.lacking) == (commit, size)
    assert hub.files_sent() == set()
    fetch("me/tiny")
    assert find("me/tiny").lacking == 0


def test_a_model_for_which_there_is_no_room_is_not_begun(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("me/tiny", SHIPPED_BASE)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(10, 9, 1))
    with pytest.raises(VideoThinkerError, match=r"has room for 0\.0\. Free some, or .* HF_HOME"):
        fetch("me/tiny")
    assert hub.files_sent() == set()


def test_a_disk_that_fills_on_the_way_is_one_line(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **options: object) -> str:
        if options.get("local_files_only"):
            raise huggingface_hub.errors.LocalEntryNotFoundError("not here")
        raise OSError(errno.ENOSPC, "No space left on device")

    hub.add("me/tiny", SHIPPED_BASE)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", full)
    with pytest.raises(VideoThinkerError, match=r"me/tiny: no space left in .*HF_HOME"):
        fetch("me/tiny")


def test_a_folder_of_the_same_name_comes_first(hub: Hub, tmp_path: Path) -> None:
    hub.add("me/tiny", SHIPPED_BASE)
    assert model_folder("me/tiny") != Path("me/tiny")
    hub.asked.clear()
    (tmp_path / "me" / "tiny").mkdir(parents=True)
    assert model_folder("me/tiny") == Path("me/tiny")
    assert hub.asked == []


def test_of_an_adapter_the_base_is_fetched_and_then_found(hub: Hub, tmp_path: Path) -> None:
    commit = hub.add("them/base", SHIPPED_BASE)
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    named = {"base_model_name_or_path": "them/base", "revision": commit}
    (adapter / "adapter_config.json").write_text(json.dumps(named))
    with pytest.raises(InputError, match="an adapter of them/base, which is not here"):
        base_of(adapter)
    assert model_folder(str(adapter)) == adapter
    assert base_of(adapter).name == commit
    hub.asked.clear()
    assert model_folder(str(adapter)) == adapter
    assert hub.asked == []


def test_an_adapter_of_the_hub_comes_with_its_base(hub: Hub, tmp_path: Path) -> None:
    base = hub.add("them/base", SHIPPED_BASE)
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    named = {"base_model_name_or_path": "them/base", "revision": base}
    (adapter / "adapter_config.json").write_text(json.dumps(named))
    shutil.copy(SHIPPED_BASE / "model.safetensors", adapter / "adapter_model.safetensors")
    commit = hub.add("me/adapter", adapter)
    assert find("me/adapter").adapter
    folder = model_folder("me/adapter")
    assert folder.name == commit
    assert base_of(folder).name == base
    assert find(f"me/adapter@{commit}").adapter


@pytest.fixture
def writer(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A Hub that knows who we are."""
    monkeypatch.setenv("HF_TOKEN", WRITER)
    return hub


def test_what_is_pushed_is_what_others_fetch(writer: Hub, exported: Path) -> None:
    done = push(exported, "me/mine")
    assert contents(fetch("me/mine")) == contents(exported)
    assert fetch("me/mine").name == done.commit
    assert done.url.endswith("/me/mine")
    assert not writer.models["me/mine"].private


def test_a_branch_is_made_and_main_left_alone(writer: Hub, exported: Path) -> None:
    push(exported, "me/mine", private=True)
    before = writer.models["me/mine"].branches["main"]
    (exported / "README.md").write_text(CARD + "more\n")
    done = push(exported, "me/mine", branch="more")
    assert writer.models["me/mine"].private
    assert writer.models["me/mine"].branches == {"main": before, "more": done.commit}
    assert done.url.endswith("/me/mine/tree/more")


def test_what_may_run_stays_here_and_is_named(writer: Hub, exported: Path) -> None:
    for name in ("own.py", "optimizer.pt"):
        (exported / name).write_text("x")
    assert push(exported, "me/mine").left_out == ["optimizer.pt", "own.py"]
    assert not {"own.py", "optimizer.pt"} & {*writer.models["me/mine"].tip()}


def test_weights_of_before_are_replaced_and_other_files_kept(writer: Hub, exported: Path) -> None:
    old = {"model-00001-of-00001.safetensors": b"old", "model.safetensors.index.json": b"{}"}
    writer.models["me/mine"] = Repository()
    writer.models["me/mine"].commit(old | {"notes.md": b"ours"})
    push(exported, "me/mine")
    assert set(writer.models["me/mine"].tip()) == {*contents(exported), "notes.md"}


def test_private_is_not_promised_of_a_public_repository(writer: Hub, exported: Path) -> None:
    writer.add("me/mine", SHIPPED_BASE)
    before = writer.models["me/mine"].tip()
    with pytest.raises(InputError, match="me/mine: is there and is public"):
        push(exported, "me/mine", private=True)
    assert writer.models["me/mine"].tip() == before


def test_who_may_not_write_is_told(
    hub: Hub, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="`hf auth login`, or HF_TOKEN"):
        push(exported, "me/mine")
    assert hub.asked == []
    monkeypatch.setenv("HF_TOKEN", READER)
    with pytest.raises(InputError, match=r"me/mine: the Hub refuses it \(403\)"):
        push(exported, "me/mine")


@pytest.mark.parametrize(
    ("spoil", "name", "said"),
    [
        (None, "mine", "give OWNER/NAME"),
        (None, "me/mine@main", "--revision BRANCH"),
        ("README.md", "me/mine", "no model card"),
        ("model.safetensors", "me/mine", r"no \*\.safetensors"),
        ("config.json", "me/mine", "no model there"),
    ],
)
def test_what_is_no_exported_model_is_not_pushed(
    writer: Hub, exported: Path, spoil: str | None, name: str, said: str
) -> None:
    if spoil:
        (exported / spoil).unlink()
    with pytest.raises(InputError, match=said):
        push(exported, name)
    assert writer.asked == []


def test_a_card_without_a_license_is_noticed(exported: Path) -> None:
    assert not unlicensed(exported)
    (exported / "README.md").write_text("---\n# license: to fill in\ntags: [a]\n---\n")
    assert unlicensed(exported)
