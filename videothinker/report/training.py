"""The report's part about training: how it went, as curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from videothinker.report.charts import Series, line_chart
from videothinker.status.drawn import drawn_words
from videothinker.status.snapshot import Fields, number


@dataclass(frozen=True, slots=True)
class Curve:
    """One metric and how to show it."""

    key: str
    title: str
    note: str
    unit: str
    share: bool = False


MAIN_CURVES = (
    Curve("reward", "Reward", "what is trained on: the sum of all rewards", "mean reward"),
    Curve("kl", "Divergence from the anchor", "how far the policy is from it", "KL, nats a token"),
    Curve(
        "validated_inferential",
        "Inferential accuracy, validated",
        "the same questions each time; thinking is needed",
        "accuracy",
        share=True,
    ),
    Curve(
        "validated_observational",
        "Observational accuracy, validated",
        "the same questions each time; the video suffices",
        "accuracy",
        share=True,
    ),
    Curve(
        "validated_direct_inferential",
        "Inferential accuracy, validated, answered directly",
        "the same questions, asked for the answer alone",
        "accuracy",
        share=True,
    ),
    Curve(
        "validated_direct_observational",
        "Observational accuracy, validated, answered directly",
        "the same questions, asked for the answer alone",
        "accuracy",
        share=True,
    ),
    Curve(
        "inferential_accuracy",
        "Inferential accuracy in training",
        "sampled answers; thinking is needed",
        "soft accuracy",
        share=True,
    ),
    Curve(
        "observational_accuracy",
        "Observational accuracy in training",
        "sampled answers; the video suffices",
        "soft accuracy",
        share=True,
    ),
    Curve("format", "Format", "completions with the asked layout", "share", share=True),
    Curve("completion_length", "Completion length", "mean over the step", "tokens"),
)
MORE_CURVES = (
    Curve(
        "training_accuracy",
        "Accuracy, thinking first",
        "groups that were asked to think",
        "soft accuracy",
        share=True,
    ),
    Curve(
        "direct_accuracy",
        "Accuracy, answered directly",
        "groups that were asked for the answer alone",
        "soft accuracy",
        share=True,
    ),
    Curve("entropy", "Entropy", "of the policy's next-token distribution", "nats a token"),
    Curve("loss", "Loss", "what the update minimises", "loss"),
    Curve("grad_norm", "Gradient norm", "before clipping", "norm"),
    Curve("clip_share", "Clipped tokens", "outside the ratio's bounds", "share"),
    Curve("bound_share", "Bounded tokens", "log-ratio to the anchor at its bound", "share"),
    Curve(
        "repulsion_ratio",
        "Divergence against reward",
        "gradient norm of the divergence over that of the reward",
        "ratio",
    ),
    Curve("coefficient", "Coefficient", "of the divergence", "coefficient"),
    Curve(
        "debias_share",
        "Beside the reward",
        "of all advantages, what kl.direction makes of them",
        "share",
        share=True,
    ),
    Curve(
        "duplicate_share",
        "Duplicates",
        "completions that repeat another of their group",
        "share",
        share=True,
    ),
    Curve("truncated_share", "Cut off", "completions at max_tokens", "share", share=True),
    Curve("truncated_tokens", "Spent on these", "tokens of these, of all", "share", share=True),
    Curve("equal_reward_groups", "Without signal", "groups of equal rewards", "share", share=True),
    Curve(
        "asked_wrong",
        "Errors drawn",
        "questions that another model gets wrong",
        "share",
        share=True,
    ),
    Curve("asked_weight", "Weight", "of the questions, by the column drawn by", "mean weight"),
    Curve("resting", "Resting", "questions left out of a step's round", "questions"),
    Curve("left_out", "Left out", "groups of equal rewards; others were drawn", "groups"),
    Curve("tokens", "Tokens", "generated in the step", "tokens"),
)


def training_part(
    metrics: Sequence[Fields], colours: Mapping[str, int], draws: object
) -> dict[str, object] | None:
    """Curves by stage; None before the first step."""
    if not metrics:
        return None
    by_stage: dict[str, list[Fields]] = {}
    for line in metrics:
        by_stage.setdefault(line["stage"], []).append(line)
    own = dict.fromkeys(key for line in metrics for key in line if key.startswith("reward_"))
    main, more = (
        [figure for curve in curves if (figure := _figure(curve, by_stage, colours))]
        for curves in ((*MAIN_CURVES, *map(_own_reward, own)), MORE_CURVES)
    )
    return {"stages": list(by_stage), "main": main, "more": more, "draws": _draws(draws, by_stage)}


def _draws(draws: object, by_stage: Mapping[str, Sequence[Fields]]) -> dict[str, str]:
    """In words by stage, where not all questions are drawn alike."""
    known = draws if isinstance(draws, Mapping) else {}
    words = {
        stage: drawn_words(known[stage], lines)
        for stage, lines in by_stage.items()
        if isinstance(known.get(stage), Mapping)
    }
    return {stage: said for stage, said in words.items() if said}


def _own_reward(key: str) -> Curve:
    title = key.removeprefix("reward_")
    return Curve(key, f"Reward {title}", "a function of yours, weighted", "mean reward")


def _figure(
    curve: Curve, by_stage: Mapping[str, Sequence[Fields]], colours: Mapping[str, int]
) -> dict[str, object] | None:
    drawn = [
        Series(label=stage, points=points, colour=colours.get(stage, 0))
        for stage, lines in by_stage.items()
        if (points := _points(curve.key, lines))
    ]
    if not drawn:
        return None
    return {
        "curve": curve,
        "chart": line_chart(drawn, x_label="step", y_label=curve.unit, share=curve.share),
        "ends": [(_ends(one, curve.share), one.colour) for one in drawn],
    }


def _points(key: str, lines: Sequence[Fields]) -> tuple[tuple[float, float], ...]:
    found = ((line["step"], number(line.get(key))) for line in lines)
    return tuple((step, value) for step, value in found if value is not None)


def _ends(series: Series, share: bool) -> str:
    """From where to where: the means of the first and of the last tenth of the steps."""
    values = [y for _, y in series.points]
    tenth = max(1, len(values) // 10)
    ends = (fmean(values[:tenth]), fmean(values[-tenth:]))
    first, last = (f"{100 * end:.0f}%" if share else _short(end) for end in ends)
    return f"{first} to {last}" if len(values) > 1 else last


def _short(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.2g}" if abs(value) < 0.1 else f"{value:.3g}"
