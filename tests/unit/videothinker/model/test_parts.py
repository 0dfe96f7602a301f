from dataclasses import replace

import numpy as np
import pytest
import torch

from videothinker.errors import WeightsError
from videothinker.model.parts import as_part, checksum, divided, tensors_in
from videothinker.types import StoredTensor, WeightsPart


@pytest.fixture
def tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "odd": torch.randn(3, generator=generator).bfloat16(),
        "matrix": torch.randn(70, 90, generator=generator),
        "transposed": torch.randn(5, 7, generator=generator).T,
        "number": torch.tensor(3.0),
        "nothing": torch.empty(0, 4),
    }


def test_what_was_stored_is_there_again(tensors: dict[str, torch.Tensor]) -> None:
    found = dict(tensors_in(as_part(1, tensors.items()), 1))
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor), name


def test_a_part_lies_where_the_tensors_do_unless_it_is_to_be_a_copy(
    tensors: dict[str, torch.Tensor],
) -> None:
    place = tensors["matrix"].data_ptr()
    lent = dict(tensors_in(as_part(1, tensors.items()), 1))
    own = dict(tensors_in(as_part(1, tensors.items(), copied=True), 1))
    assert lent["matrix"].data_ptr() == place
    assert own["matrix"].data_ptr() != place


def test_a_part_is_read_where_it_lies_even_if_nobody_may_write_to_it(
    tensors: dict[str, torch.Tensor], recwarn: pytest.WarningsRecorder
) -> None:
    part = as_part(1, tensors.items())
    for stored in part.tensors.values():
        stored.content.flags.writeable = False
    found = dict(tensors_in(part, 1))
    assert found["matrix"].data_ptr() == tensors["matrix"].data_ptr()
    assert not list(recwarn)


def test_parts_are_full_and_hold_everything_once_and_in_order() -> None:
    sizes = {"a": 12, "b": 16, "c": 36, "d": 4, "e": 4}
    assert divided(sizes, 20) == [["a", "b"], ["c"], ["d", "e"]]
    assert divided(sizes, 1000) == [["a", "b", "c", "d", "e"]]
    assert divided(sizes, 1) == [["a"], ["b"], ["c"], ["d"], ["e"]]


def stored(content: np.ndarray) -> StoredTensor:
    return as_part(1, [("weight", torch.from_numpy(content))]).tensors["weight"]


@pytest.mark.parametrize("where", [0, 9, 17_000, -1])
def test_any_flipped_bit_is_noticed(where: int) -> None:
    right = stored(np.random.default_rng(0).random(5000, np.float32))
    content = right.content.copy()
    content[where] ^= 4
    damaged = WeightsPart(version=1, tensors={"weight": replace(right, content=content)})
    with pytest.raises(WeightsError, match="the checksum of weight is not the published one"):
        dict(tensors_in(damaged, 1))


def test_pieces_that_changed_places_change_the_checksum() -> None:
    content = np.random.default_rng(0).integers(256, size=3 * 8192, dtype=np.uint8)
    swapped = content.copy()
    swapped[8192:16384], swapped[16384:24576] = content[16384:24576], content[8192:16384]
    assert checksum(swapped) != checksum(content)


def test_content_that_was_cut_off_has_another_checksum() -> None:
    content = np.zeros(4 * 8192, np.uint8)
    assert checksum(content) != checksum(content[:-8192])


def test_a_part_of_another_version_is_refused() -> None:
    with pytest.raises(WeightsError, match="a part is of version 3"):
        dict(tensors_in(as_part(3, []), 4))
