import pytest
from transformers import AutoTokenizer

from videothinker.method.prompts import messages, training_text
from videothinker.mini.base.tokenizer import SPECIAL, make_tokenizer
from videothinker.mini.texts import STYLES, TAGS, answer_text, style_of
from videothinker.mini.world import COLOURS, SHAPES, make_scene

SCENES = [make_scene(3, index) for index in range(40)]


@pytest.fixture(scope="module")
def tokenizer():  # type: ignore[no-untyped-def]  # noqa: ANN201  transformers is untyped
    return make_tokenizer()


def test_every_text_of_the_mini_world_survives_the_round_trip(tokenizer) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    texts = [training_text(scene.question()) for scene in SCENES]
    texts += [answer_text(s, style, i) for s in SCENES for style in STYLES for i in range(3)]
    for text in [*texts, "Ünknown wörds, 中文 and\n\n  spaces 42"]:
        assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_tags_and_words_are_one_token_each(tokenizer) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    words = [" " + word for word in (*COLOURS, *SHAPES, "collides", "without", "removed", "video")]
    for text in (*TAGS, *SPECIAL, *words):
        assert len(tokenizer(text).input_ids) == 1
    assert len(tokenizer) < 500


def test_tags_stay_in_decoded_text_and_special_tokens_do_not(tokenizer) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    answer = answer_text(SCENES[0], "reasoning", 1)
    ids = tokenizer(answer + "<|im_end|>").input_ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == answer


def test_the_chat_template_writes_what_qwens_writes(tokenizer) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    question = SCENES[0].question()
    text = tokenizer.apply_chat_template(
        messages(training_text(question)), tokenize=False, add_generation_prompt=True
    )
    assert text == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
        f"<|vision_start|><|video_pad|><|vision_end|>{training_text(question)}<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_a_system_turn_of_ones_own_replaces_the_default(tokenizer) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    text = tokenizer.apply_chat_template(turns, tokenize=False)
    assert text == "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"


def test_saved_and_loaded_it_gives_the_same_tokens(tokenizer, tmp_path) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    tokenizer.save_pretrained(tmp_path)
    text = training_text(SCENES[1].question())
    assert AutoTokenizer.from_pretrained(tmp_path)(text).input_ids == tokenizer(text).input_ids


def test_a_completions_style_is_read_from_its_opening() -> None:
    for style in STYLES:
        assert style_of(answer_text(SCENES[0], style, 0)) == style
    assert style_of("<answer>A</answer>") is None
