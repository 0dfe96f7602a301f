"""Values that Python's json accepts and no file of ours may hold."""

import json

import pytest

from videothinker.data.json_values import whole_characters
from videothinker.errors import InputError


@pytest.mark.parametrize("text", ['["\\ud83d\\ude00"]', '["\\\\ud83d"]', '["d83d"]'])
def test_whole_characters_pass(text: str) -> None:
    assert whole_characters(json.loads(text), text, "here") == json.loads(text)


@pytest.mark.parametrize("text", ['["\\ud83d"]', '{"a\\uDE00": 1}'])
def test_half_a_character_is_named(text: str) -> None:
    with pytest.raises(InputError, match=r"here: half a character \(\\ud[8e]"):
        whole_characters(json.loads(text), text, "here")
