"""The prompts, held against the reference's strings."""

from videothinker.prompts import evaluation_text, messages, training_text
from videothinker.types import Question

QUESTION = Question(
    id="video_00000/q0",
    video="video_00000.mp4",
    text="What will happen without the red cube?",
    options=(("A", "The cube and the sphere collide"), ("B", "The sphere collides with the cube")),
    answer="A",
)


def test_training_text_is_problem_options_and_suffix_after_two_spaces() -> None:
    assert training_text(QUESTION) == (
        "What will happen without the red cube?\n"
        "A. The cube and the sphere collide\n"
        "B. The sphere collides with the cube"
        "  Output the thinking process in <think> </think> and final answer (letters separated "
        "by , if multiple) in <answer> </answer> tags."
    )


def test_evaluation_text_asks_for_a_single_letter_after_the_long_instruction() -> None:
    text = evaluation_text(QUESTION)
    assert text.startswith(
        "What will happen without the red cube?\nA. The cube and the sphere collide\n"
        "B. The sphere collides with the cube\nPlease think about this question as if"
    )
    assert "natural language thought expressions It's encouraged" in text
    assert text.endswith(
        "between the <answer> and </answer> tags. Please provide only the single option letter "
        "(e.g., A, B, C, D, etc.) within the <answer> </answer> tags."
    )


def test_messages_are_one_user_turn_with_the_video_before_the_text() -> None:
    (turn,) = messages(QUESTION)
    assert turn["role"] == "user"
    assert [item["type"] for item in turn["content"]] == ["video", "text"]
    assert turn["content"][1]["text"] == training_text(QUESTION)
