from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from videothinker.weights_block import checksum, pack, tensors_in


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


def test_what_was_packed_is_there_again(tensors: dict[str, torch.Tensor]) -> None:
    found = tensors_in(pack(tensors.items()))
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor), name


def test_a_block_is_a_safetensors_file(tensors: dict[str, torch.Tensor], tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(pack(tensors.items()).tobytes())
    found = safetensors.torch.load_file(tmp_path / "file")
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


def test_a_block_is_read_where_it_lies_even_if_nobody_may_write_to_it(
    tensors: dict[str, torch.Tensor], recwarn: pytest.WarningsRecorder
) -> None:
    block = pack(tensors.items())
    block.flags.writeable = False
    place = block.ctypes.data
    assert place < tensors_in(block)["matrix"].data_ptr() < place + len(block)
    assert not list(recwarn)


@pytest.mark.parametrize("where", [0, 9, 20_000, -1])
def test_any_flipped_bit_changes_the_checksum(tensors: dict[str, torch.Tensor], where: int) -> None:
    block = pack(tensors.items())
    before = checksum(block)
    block[where] ^= 4
    assert checksum(block) != before


def test_parts_that_changed_places_change_the_checksum() -> None:
    block = pack([("weights", torch.randn(3 * 4096))])
    swapped = block.copy()
    swapped[8192:16384], swapped[16384:24576] = block[16384:24576], block[8192:16384]
    assert checksum(swapped) != checksum(block)


def test_a_block_that_was_cut_off_has_another_checksum() -> None:
    block = pack([("weights", torch.zeros(8192))])
    assert checksum(block) != checksum(np.delete(block, slice(-8192, None)))
