"""What is said in a video, from its .srt file."""

from pathlib import Path

import pytest

from videothinker.errors import InputError
from videothinker.evaluation.protocol import load_protocol
from videothinker.evaluation.subtitles import require_subtitles, said_in, spoken
from videothinker.method.prompts import Spoken
from videothinker.types import Question

WRITTEN = """\ufeff1\r
00:00:01,500 --> 00:00:03,000\r
<font color="white">Hello,</font>\r
there.\r
\r
2
00:01:00.000 --> 01:00:02,250 align:start
{\\an8}Still here
"""


def question(video: str) -> Question:
    return Question(id="q", video=video, text="?", options=(), answer="", category="short/x")


def test_lines_have_their_times_and_lose_their_markup(tmp_path: Path) -> None:
    (tmp_path / "clip.srt").write_bytes(WRITTEN.encode())
    assert spoken(tmp_path, question("some/where/clip.mp4")) == (
        Spoken(start=1.5, end=3.0, text="Hello, there."),
        Spoken(start=60.0, end=3602.25, text="Still here"),
    )
    assert spoken(tmp_path, question("other.mp4")) == ()


def test_other_words_are_another_address(tmp_path: Path) -> None:
    asked = [question("a.mp4"), question("b.mp4")]
    (tmp_path / "a.srt").write_text("00:00:01,000 --> 00:00:02,000\none\n")
    before = said_in(tmp_path, asked)
    (tmp_path / "b.srt").write_text("00:00:01,000 --> 00:00:02,000\ntwo\n")
    assert said_in(tmp_path, [question("c.mp4")]) != before


def test_a_folder_is_named_where_it_is_used_and_only_there(tmp_path: Path) -> None:
    without = load_protocol("official", "videomme")
    subtitled = load_protocol("official-subtitles", "videomme")
    require_subtitles(without, None)
    with pytest.raises(InputError, match=r"asks with subtitles. .* --subtitles DIR"):
        require_subtitles(subtitled, None)
    with pytest.raises(InputError, match="--subtitles: has no effect"):
        require_subtitles(without, tmp_path)
    with pytest.raises(InputError, match=r"no \.srt file in it"):
        require_subtitles(subtitled, tmp_path)
    (tmp_path / "a.srt").write_text("")
    require_subtitles(subtitled, tmp_path)
