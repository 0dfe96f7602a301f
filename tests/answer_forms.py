"""79 ways of writing an answer, and what the benchmarks' own scripts make of them.

The scripts' rules are written anew here, from what they do, and share no code with ours. Run as a
program, it prints the table of docs/benchmarks.md.
"""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Callable
from dataclasses import replace

from videothinker.evaluation.benchmarks import BY_NAME
from videothinker.types import Question

THINKING = "<think>First {W}, hmm. A cube hits B.</think>"
FORMS = (
    *("{L}", "{L}.", "({L})", "[{L}]", "{L})", "{L}:", "{l}", "{l}.", "({l})"),
    *("{L}. {T}", "{L}. {T}.", "({L}) {T}", "{L}: {T}", "{L}) {T}", "{T}", "{T}."),
    *("Option {L}", "option {L}.", "Option {L}: {T}", "Choice {L}"),
    *("The answer is {L}", "The answer is {L}.", "The answer is ({L}).", "The answer is: {L}"),
    *("The correct answer is {L}.", "The best answer is {L}.", "The correct option is {L}."),
    *("The best option is {L}", "The answer is {L}. {T}", "the answer is {L}", "The Answer is {L}"),
    *("Answer: {L}", "Answer:{L}", "ANSWER: {L}", "answer: {l}", "Answer: ({L})", "Answer: {T}"),
    *("Best option: {L}", "Best option:({L}) {T}", "Best answer: {L}", "Option: {L}"),
    *("Final answer: {L}", "**{L}**", "**{L}. {T}**", "**Answer:** {L}", "**Answer**: {L}"),
    *("${L}$", "\\boxed{{{L}}}", "$\\boxed{{{L}}}$", "\\text{{{L}}}", "`{L}`", '"{L}"', "'{L}'"),
    *("{L} is correct", "Option {L} is correct", "{L} is the correct answer."),
    *("I would go with {L}.", "I choose {L}.", "I think it is {L}.", "It is {L}"),
    "Therefore, the final answer is: ${L}",
    "Therefore, the final answer is: ${L}$.",
    *("<answer>{L}</answer>", "<answer> {L}\n</answer>", "<answer>{L}.</answer>"),
    *("<answer>({L})</answer>", "<answer>{L}. {T}</answer>", "<answer>{T}</answer>", "<answer>{L}"),
    THINKING + "<answer>{L}</answer>",
    THINKING + "\n{L}",
    THINKING + "The answer is {L}.",
    "<answer>{W}</answer> No: <answer>{L}</answer>",
    "{L}\nBecause of what the video shows.",
    "{L}, since nothing else moves.",
    "{L} {T}",
    *("I cannot tell.", "", "."),
)
"""L: the right letter, l: in lower case, W: a wrong letter, T: the right option's text."""
NOUNS = ("ball", "box", "cone", "cup", "door", "dog", "lamp", "ring", "tower", "wheel")
COLOURS = ("red", "blue", "green", "grey", "pink", "tall", "small", "old", "wet", "new")
SIZES = {"mmvu": (5, 5), "video-holmes": (6, 6), "videomme": (4, 4), "mvbench": (2, 5)}
"""Least and most options."""


def questions_of(benchmark: str, count: int = 250) -> list[Question]:
    """Made up, with as many options as the benchmark has."""
    luck = random.Random(benchmark)
    made = []
    for number in range(count):
        least, most = SIZES[benchmark]
        letters = "ABCDEF"[: luck.randint(least, most)]
        nouns = luck.sample(NOUNS, len(letters))
        options = tuple(
            (x, f"the {luck.choice(COLOURS)} {n}") for x, n in zip(letters, nouns, strict=True)
        )
        answer = luck.choice(letters)
        made.append(
            Question(id=str(number), video="v.mp4", text="Which?", options=options, answer=answer)
        )
    return made


def written(form: str, question: Question) -> str:
    """An answer to a question in one of the forms."""
    right = question.answer
    wrong = next(letter for letter, _ in question.options if letter != right)
    text = dict(question.options)[right]
    return form.format(L=right, l=right.lower(), W=wrong, T=text)


def ends_with(completion: str) -> str:
    """What a script would be given of a completion that thinks: the last answer, or what follows
    the thinking. Scripts know nothing of tags but for Video-Holmes's."""
    blocks = re.findall(r"<answer>(.*?)</answer>", completion, re.DOTALL)
    return (blocks[-1] if blocks else completion.split("</think>")[-1]).strip()


def video_mme(said: str, question: Question) -> bool | None:
    """Phrases are taken out one after the other, then the first letter counts."""
    text = ends_with(said)
    phrases = "The best answer is|The correct answer is|The answer is|The answer|Answer:|Option:"
    for phrase in [*phrases.split("|"), "The correct answer", "The correct option"]:
        text = "".join(text.split(phrase))
    letters = [letter for letter in text if letter in "ABCD"]
    return bool(letters) and letters[0] == question.answer


def mv_bench(said: str, question: Question) -> bool | None:
    """The first word without full stops is a part of "(c)", or has "(c)" in it; undecided where
    nothing but punctuation is left of it, which counts as right there."""
    lines = ends_with(said).lower().splitlines() or [""]
    word, letter = lines[0].split(" ")[0], f"({question.answer.lower()})"
    if not word.replace(".", "").strip("()"):
        return None
    return letter.find(word.replace(".", "")) >= 0 or word.find(letter) >= 0


def video_holmes(said: str, question: Question) -> bool | None:
    """The last answer or everything; marked letters first, in the order of the alphabet."""
    blocks = re.findall(r"<answer>\s*(.*?)\s*</answer>", said, re.DOTALL)
    text = blocks[-1] if blocks else said
    for marks in (("{} ", "{}:", "[{}"), ("{}",)):
        for letter in "ABCDEF":
            if any(mark.format(letter) in text for mark in marks):
                return letter == question.answer
    return False


def multi_choice(said: str, question: Question) -> bool | None:
    """TempCompass: decided where the answer is the option, its letter, or begins with it."""
    options = [f"{letter}. {text}" for letter, text in question.options]
    if said.strip() in (options[ord(question.answer) - 65], question.answer):
        return True
    if said.strip() in "ABCD" and said.strip():
        return said.strip() == question.answer
    begins = re.match(r"([A-D])[.)]", said.strip())
    return begins[1] == question.answer if begins else None


Script = Callable[[str, Question], bool | None]
SCRIPTS: dict[str, Script] = {
    "videomme": video_mme,
    "mvbench": mv_bench,
    "video-holmes": video_holmes,
}
"""What each own script says; None where it does not decide."""


def ours(benchmark: str, said: str, question: Question) -> bool:
    return BY_NAME[benchmark].rule(said, question)


def table() -> str:
    """Each form with the letter C, and what it counts as."""
    names = ("mmvu", "video-holmes", "mvbench", "tempcompass", "videomme")
    options = (("A", "the red ball"), ("B", "the old door"), ("C", "the wet dog"), ("D", "no one"))
    question = Question(id="q", video="v", text="Which?", options=options, answer="C")
    lines = ["| answer | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for form in FORMS:
        said = written(form, question)
        cells = []
        for name in names:
            category = "multi-choice/action" if name == "tempcompass" else ""
            right = ours(name, said, replace(question, category=category))
            cells.append("right" if right else "wrong")
        shown = said.replace("\n", "⏎").replace("|", "\\|") or " "
        lines.append(f"| `` {shown} `` | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(table())
