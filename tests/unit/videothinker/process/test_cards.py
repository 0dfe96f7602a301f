from videothinker.process.cards import BFLOAT16, peak_flops


def test_a_listed_card_has_the_rate_of_its_sheet_in_bfloat16_alone() -> None:
    assert peak_flops("NVIDIA RTX A6000", "bfloat16") == 154.8e12
    assert peak_flops("NVIDIA H200", "bfloat16") == 989.4e12
    assert peak_flops("NVIDIA H200", "float32") is None


def test_nothing_is_said_of_a_card_that_only_resembles_one() -> None:
    for name in ("NVIDIA GeForce RTX 3090 Ti", "NVIDIA H100 80GB HBM3 MIG 1g.10gb", "Tesla T4"):
        assert peak_flops(name, "bfloat16") is None
    assert peak_flops(None, "bfloat16") is None


def test_no_rate_is_one_with_sparsity() -> None:
    """That is twice as much, and what a sheet prints first: 4,500 of a B200, 1,979 of an H100."""
    assert max(BFLOAT16.values()) == 2250e12
    assert {rate for name, rate in BFLOAT16.items() if "H100" in name} == {
        989.4e12,
        835.5e12,
        756.5e12,
    }
