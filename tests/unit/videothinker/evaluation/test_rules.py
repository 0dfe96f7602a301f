"""Which completions count as right: the published rule, and each benchmark's own."""

import pytest

from videothinker.evaluation.benchmarks import BY_NAME
from videothinker.evaluation.benchmarks.clevrer import named_set
from videothinker.evaluation.rules import equals_solution, settled
from videothinker.types import Question

TEXTS = ("red ball", "blue box", "green cone", "grey cube", "pink ring", "tall tower")


def question(answer: str = "B", *texts: str, category: str = "") -> Question:
    options = tuple(zip("ABCDEF", texts or TEXTS[:4], strict=False))
    return Question(id="q", video="v", text="?", options=options, answer=answer, category=category)


def says(answer: str) -> str:
    return f"<think>first A, then maybe C: hmm</think> <answer>{answer}</answer>"


@pytest.mark.parametrize(
    ("completion", "right"),
    [
        (says("B"), True),
        (says(" B\n"), True),
        ("B", True),
        ("<answer>B</answer> <answer>C</answer>", True),
        ("<answer></answer>B", False),
        (says("(B)"), False),
        (says("B."), False),
        (says("b"), False),
        ("It is B", False),
        ("", False),
    ],
)
def test_the_published_rule_is_equality_with_the_first_answer(completion: str, right: bool) -> None:
    assert equals_solution(completion, question("B")) is right


@pytest.mark.parametrize("benchmark", BY_NAME)
def test_the_plain_letter_is_right_and_another_one_or_nothing_is_wrong(benchmark: str) -> None:
    category = "multi-choice/action" if benchmark == "tempcompass" else ""
    one = question("B", category=category)
    rule = BY_NAME[benchmark].rule
    assert rule(says("B"), one)
    assert rule("B", one)
    for wrong in (says("A"), says("C"), says(""), "", "  "):
        assert not rule(wrong, one), wrong


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        ("A,C", "AC"),
        ("C, A", "AC"),
        ("A and C", "AC"),
        ("(A), (C)", "AC"),
        ("A. C.", "AC"),
        ("A\nC", "AC"),
        ("A. red ball\nC. green cone", "AC"),
        ("A; C", "AC"),
        ("", ""),
        ("None", ""),
        ("none of the above.", ""),
        ("A red ball", None),
        ("the ball and the cone", None),
        ("a,c", None),
        ("AC", None),
    ],
)
def test_letters_of_several_options_are_read_however_they_are_joined(
    answer: str, named: str | None
) -> None:
    expected = None if named is None else frozenset(named)
    assert named_set(says(answer)) == expected


def test_clevrer_wants_every_option_judged_right() -> None:
    rule = BY_NAME["clevrer"].rule
    assert rule(says("C,A"), question("A,C"))
    assert not rule(says("A"), question("A,C"))
    assert not rule(says("A,B,C"), question("A,C"))
    assert not rule(says("A,C,E"), question("A,C"))


def test_only_an_answer_that_says_so_finds_no_option_correct() -> None:
    rule = BY_NAME["clevrer"].rule
    assert rule(says(""), question(""))
    assert rule("none", question(""))
    assert not rule("", question(""))
    assert not rule("I cannot tell", question(""))
    assert not rule(says("A"), question(""))


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        ("(B)", "B"),
        ("**B**", "B"),
        ("B. blue box", "B"),
        ("[B] because it is blue", "B"),
        ("B, not the red ball", "B"),
        ("Therefore, the final answer is: B", "B"),
        ("Therefore, the final answer is: $B.", "B"),
        ("Option A is tempting. The answer is (B).", "B"),
        ("The answer is A. No: the answer is B.", "B"),
        ("It shows the blue box.", "B"),
        ("A blue box", "B"),
        ("A's shadow hides a blue box", "B"),
        ("The blue box moves, the red ball does not.", "B"),
        ("the blueboxes, and the red balls", None),
        ("something else", None),
        ("E", None),
        ("", None),
    ],
)
def test_a_text_settles_on_one_option_or_on_none(text: str, letter: str | None) -> None:
    assert settled(text, question().options) == letter


def test_of_two_options_in_one_place_the_longer_one_was_meant() -> None:
    options = (("A", "moving"), ("B", "moving away"), ("C", ""))
    assert settled("It is moving away.", options) == "B"
    assert settled("It is moving.", options) == "A"
    assert settled("It is not.", options) is None


def test_a_letter_in_the_thinking_is_not_the_answer() -> None:
    rule = BY_NAME["mmvu"].rule
    assert not rule("<think>the answer is A</think> So nothing is.", question("A"))
    assert rule("<think>the answer is A</think> The answer is B.", question("B"))


def test_the_last_of_several_answers_is_the_final_one() -> None:
    completion = "<answer>A</answer> wait <answer>B</answer>"
    for benchmark in ("mmvu", "mvbench", "videomme"):
        assert BY_NAME[benchmark].rule(completion, question("B"))


@pytest.mark.parametrize(
    ("completion", "letter"),
    [
        (says("B"), "B"),
        (says("B: blue box"), "B"),
        ("<answer>A</answer> no, <answer>C</answer>", "C"),
        (says("[D]"), "D"),
        (says("the answer is F"), "F"),
        (says("F: A tall tower"), "A"),
        (says("B or A"), "B"),
        (says("BA"), "A"),
        ("<think>B: maybe</think>", "B"),
        ("B A ", "A"),
    ],
)
def test_video_holmes_searches_the_last_answer_for_marked_letters_then_bare_ones(
    completion: str, letter: str
) -> None:
    for one in "ABCDEF":
        right = BY_NAME["video-holmes"].rule(completion, question(one, *TEXTS))
        assert right is (one == letter)


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("(B) blue box", True),
        ("(b)", True),
        ("b", True),
        ("B.", True),
        ("B) blue", True),
        ("(B)blue box", True),
        ("(B", True),
        ("B:", False),
        ("[B]", False),
        ("(A) red ball", False),
        ("Option B", False),
        ("(", False),
        ("blue", False),
    ],
)
def test_mvbench_reads_the_first_word(answer: str, right: bool) -> None:
    assert BY_NAME["mvbench"].rule(says(answer), question("B")) is right


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("The best answer is C", "C"),
        ("The answer is: C.", "C"),
        ("Best option: C", "B"),  # officially so
        ("Answer: C", "C"),
        ("(C) green", "C"),
        ("Clearly D", "C"),
        ("nothing", None),
    ],
)
def test_videomme_takes_the_first_letter_after_the_usual_phrases(
    answer: str, letter: str | None
) -> None:
    for one in "ABCD":
        assert BY_NAME["videomme"].rule(says(answer), question(one)) is (one == letter)


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("no", True),
        ("No, he does not.", True),
        ("Not at all", True),
        ("B", True),
        ("B. no", True),
        ("The answer is no.", True),
        ("I say no, as yesterday", True),
        ("yes", False),
        ("A", False),
        ("Yes, no doubt", False),
        ("perhaps", False),
    ],
)
def test_tempcompass_reads_yes_or_no_or_its_letter(answer: str, right: bool) -> None:
    one = question("B", "yes", "no", category="yes_no/action")
    assert BY_NAME["tempcompass"].rule(says(answer), one) is right


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("Caption B", True),
        ("Option 2.", True),
        ("2", True),
        ("Sentence B: he jumps.", True),
        ("he jumps.", True),
        ("B", True),
        ("Caption A", False),
        ("1", False),
        ("he runs.", False),
        ("both", False),
    ],
)
def test_tempcompass_reads_the_name_or_the_words_of_a_matching_option(
    answer: str, right: bool
) -> None:
    one = question("B", "he runs.", "he jumps.", category="caption_matching/action")
    assert BY_NAME["tempcompass"].rule(says(answer), one) is right


def test_tempcompass_scores_captioning_by_the_letter_and_no_free_caption() -> None:
    options = ("{'subject': 'man', 'speed': 'fast'}", "{'subject': 'man', 'speed': 'slow'}")
    one = question("B", *options, category="captioning/speed")
    assert BY_NAME["tempcompass"].rule(says("B"), one)
    assert not BY_NAME["tempcompass"].rule("A man walks in slow motion.", one)
