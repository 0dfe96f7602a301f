from __future__ import annotations

from collections import Counter

import pytest
from attack import Blow, drawn_plan, follow_up
from soak import unexplained
from watching import Sample, Watch

KILLS = {"rollout": 3, "driver": 1}


def test_a_plan_is_drawn_from_its_seed_and_leaves_the_end_in_peace() -> None:
    plan = drawn_plan(100, 7, KILLS, stops=2, scales=(1, 3, 1))
    assert plan == drawn_plan(100, 7, KILLS, stops=2, scales=(1, 3, 1))
    assert plan != drawn_plan(100, 8, KILLS, stops=2, scales=(1, 3, 1))
    assert Counter(fault.role for fault in plan if fault.what == "kill") == KILLS
    assert [fault.workers for fault in plan if fault.what == "scale"] == [1, 3, 1]
    steps = [fault.step for fault in plan]
    assert steps == sorted(steps)
    assert steps[-1] <= 86


class Watched(Watch):
    """Samples that were taken before."""

    def __init__(self, *samples: Sample) -> None:
        self.samples = list(samples)


def event(time: float, kind: str, process: str, **more: float) -> dict[str, object]:
    return {"time": time, "event": kind, "role": "rollout", "process": process, **more}


def test_a_place_that_was_given_up_is_not_recovered_by_a_later_loss_of_the_same_name() -> None:
    events = [
        event(11.0, "lost", "rollout-1"),
        event(50.0, "lost", "rollout-1"),
        event(60.0, "served", "rollout-1", seconds=10.0),
    ]
    first, second = (Blow(at=at, what="kill", role="rollout") for at in (10.0, 49.0))
    follow_up([first, second], events, Watched())
    assert (first.noticed, first.recovered) == (1.0, None)
    assert second.recovered == 11.0


def test_a_recovery_is_counted_from_the_blow_to_the_first_work_of_the_same_place() -> None:
    events = [
        event(11.0, "lost", "rollout-1"),
        event(12.0, "served", "rollout-0", seconds=3.0),
        event(20.0, "served", "rollout-1", seconds=9.0),
    ]
    watch = Watched(
        Sample(at=10.5, last_step=9.0, groups={"a": 4.0, "b": 7.0}),
        Sample(at=15.0, last_step=9.0, groups={"a": 6.0}),
        Sample(at=19.0, last_step=9.0, groups={"a": 7.0, "c": 0.0}),
        Sample(at=25.0, last_step=9.0, groups={"a": 9.0, "c": 5.0}),
    )
    blow = Blow(at=10.0, what="kill", role="rollout")
    follow_up([blow], events, watch)
    assert (blow.noticed, blow.recovered, blow.groups_meanwhile) == (1.0, 10.0, 3)


def test_a_driver_has_recovered_with_the_first_step_after_its_death() -> None:
    watch = Watched(
        Sample(at=9.0, last_step=8.5, groups={}),
        Sample(at=30.0, last_step=29.0, groups={}),
    )
    blow = Blow(at=10.0, what="kill", role="driver")
    follow_up([blow], [], watch)
    assert blow.recovered == 19.0


def test_a_loss_after_everything_was_ended_is_none_of_what_was_struck_before() -> None:
    stopped = Blow(at=10.0, what="stop", role="rollout")
    ended = Blow(at=12.0, what="interrupt", role="driver")
    killed = Blow(at=50.0, what="kill", role="rollout")
    follow_up([stopped, ended, killed], [event(50.2, "lost", "rollout-1")], Watched())
    assert stopped.noticed is None
    assert killed.noticed == pytest.approx(0.2)


@pytest.mark.parametrize(("later", "told"), [(2.0, 0), (30.0, 1)])
def test_a_kill_without_a_line_is_told_unless_the_run_was_ended_right_after(
    later: float, told: int
) -> None:
    kill = Blow(at=10.0, what="kill", role="learner")
    blows = [kill, Blow(at=10.0 + later, what="kill", role="driver")]
    assert list(unexplained(blows)) == [kill] * told
