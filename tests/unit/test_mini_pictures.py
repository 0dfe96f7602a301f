from pathlib import Path

import av
import numpy as np
import pytest
from mini_pictures import examples, strip, without, write_pictures

DOCS = Path(__file__).parents[2] / "docs" / "pictures"


def pixels(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


@pytest.mark.skipif(not DOCS.is_dir(), reason="no documentation beside an installed package")
def test_the_documentations_pictures_are_what_the_command_writes(tmp_path: Path) -> None:
    write_pictures(tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted(path.name for path in DOCS.glob("mini-*.png"))
    for name in names:
        one, other = (pixels(folder / name).astype(int) for folder in (tmp_path, DOCS))
        assert np.abs(one - other).max() <= 2, name  # rounding differs between machines
        assert (DOCS / name).stat().st_size < 50_000


def test_a_strip_shows_every_frame_of_every_clip() -> None:
    clips = examples()["mini-inferential"]
    height, width, _ = strip(clips).shape
    assert (height, width) == (2 * (2 * 84 + 3), 2 * (6 * 140 + 5 * 3))


def test_the_run_without_the_removed_thing_shows_what_the_question_supposes() -> None:
    seen, supposed = examples()["mini-inferential"]
    assert seen.question() == supposed.question()
    assert not supposed.course.visible[:, seen.removed].any()
    assert frozenset(seen.options[seen.answer]) in supposed.course.pairs()
    assert without(seen).course.events == supposed.course.events
