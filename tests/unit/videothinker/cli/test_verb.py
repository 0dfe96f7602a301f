"""What a function becomes that is made a verb."""

from __future__ import annotations

import argparse
from argparse import Namespace

import pytest

from videothinker.cli.verb import Outcome, Verb, argument, flag, verb


@verb("videothinker look-at it", argument("thing"), flag("--long", "for a while"))
def look_at(arguments: Namespace) -> Outcome:
    """Look at a thing, or at its
    back."""
    return Outcome(text=arguments.thing)


def parser_of(look_at: Verb, whole: bool) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="videothinker")
    look_at.add_to(parser.add_subparsers(), whole=whole)
    return parser


def test_its_name_and_its_docstring_are_the_word_and_the_help() -> None:
    assert (look_at.name, look_at.summary) == ("look-at", "Look at a thing, or at its back")
    listed = " ".join(parser_of(look_at, whole=False).format_help().split())
    assert "look-at look at a thing, or at its back" in listed


def test_what_is_typed_reaches_its_action() -> None:
    arguments = parser_of(look_at, whole=True).parse_args(["look-at", "sky", "--long", "--json"])
    assert (arguments.long, arguments.json) == (True, True)
    assert arguments.action(arguments) == Outcome(text="sky")


def test_the_arguments_of_a_verb_that_is_not_typed_are_not_asked_for() -> None:
    def slow(parser: argparse.ArgumentParser) -> None:
        pytest.fail("a slow module would be imported")

    parser_of(verb("", slow)(look_at.action), whole=False)
