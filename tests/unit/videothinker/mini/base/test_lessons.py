import pytest

from videothinker.mini.base import lessons
from videothinker.mini.base.build import make_config, make_processor
from videothinker.mini.base.tokenizer import make_tokenizer
from videothinker.mini.settings import SPLITS
from videothinker.mini.world import Kind, Scene, make_scene
from videothinker.model.families.known import family_in


def test_lessons_are_drawn_from_the_warm_starts_own_scenes(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers: list[int] = []

    def noted(seed: int, index: int, kind: Kind) -> Scene:
        numbers.append(index)
        return make_scene(seed, index, kind)

    monkeypatch.setattr(lessons, "make_scene", noted)
    tokenizer = make_tokenizer()
    family = family_in(make_config(tokenizer))
    lessons.LessonMaker(family, make_processor(tokenizer), seed=0).batch(3)
    assert len(set(numbers)) == 3
    assert all(number in SPLITS["warm_start"] for number in numbers)
