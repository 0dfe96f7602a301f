"""Which weights sampled which token, from what a completion had when new ones came."""

from __future__ import annotations

from actors.samples import History, versions_of


def versions(length: int, index: int, history: History) -> list[int]:
    return versions_of(length, index, history).tolist()


def test_without_an_update_all_tokens_are_of_the_first_version() -> None:
    assert versions(3, 0, [(5, {})]) == [5, 5, 5]


def test_tokens_after_an_update_are_of_its_version() -> None:
    assert versions(5, 1, [(5, {}), (6, {0: 4, 1: 2})]) == [5, 5, 6, 6, 6]


def test_updates_follow_each_other() -> None:
    assert versions(6, 0, [(5, {}), (6, {0: 1}), (9, {0: 4})]) == [5, 6, 6, 6, 9, 9]


def test_a_completion_that_had_no_token_yet_is_all_new() -> None:
    assert versions(2, 0, [(5, {}), (6, {0: 0})]) == [6, 6]


def test_a_completion_that_was_finished_before_stays_old() -> None:
    assert versions(2, 0, [(5, {}), (6, {1: 2})]) == [5, 5]


def test_two_updates_without_a_token_in_between_count_as_the_last() -> None:
    assert versions(3, 0, [(5, {}), (6, {0: 1}), (7, {0: 1})]) == [5, 7, 7]
