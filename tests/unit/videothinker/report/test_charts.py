"""Charts are well-formed SVG whose geometry says what the numbers say."""

import re
import xml.etree.ElementTree as ET

import pytest

from videothinker.report.charts import (
    Bar,
    Dot,
    Mark,
    Series,
    Slice,
    dot_rows,
    grouped_bars,
    line_chart,
    moving_mean,
    stacked_steps,
    thinned,
    tick_labels,
    ticks,
)

SVG = "{http://www.w3.org/2000/svg}"


def parse(svg: str) -> ET.Element:
    return ET.fromstring(str(svg).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


def bar(mean: float, low: float, high: float, label: str = "base") -> Bar:
    return Bar(label=label, mean=mean, low=low, high=high, colour=0)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, ["0.00", "0.25", "0.50", "0.75", "1.00"]),
        (0.9, 2.1, ["0.5", "1.0", "1.5", "2.0", "2.5"]),
        (3, 3, ["2.6", "2.8", "3.0", "3.2", "3.4"]),
        (-0.004, 0.004, ["-0.004", "-0.002", "0.000", "0.002", "0.004"]),
        (0, 4000, ["0", "1,000", "2,000", "3,000", "4,000"]),
    ],
)
def test_ticks_are_round_and_enclose_the_data(low: float, high: float, expected: list[str]) -> None:
    values = ticks(low, high)
    assert tick_labels(values) == expected
    assert values[0] <= low <= high <= values[-1]


def test_a_bar_is_as_tall_as_its_mean_and_its_whisker_as_its_interval() -> None:
    chart = parse(grouped_bars([("overall", [bar(0.5, 0.25, 0.75)])], 400, 256, "summary"))
    rect = chart.find(f".//{SVG}rect")
    whisker = chart.find(f".//{SVG}path")
    assert rect is not None
    assert whisker is not None
    assert float(rect.attrib["height"]) == pytest.approx(100)  # of 200 from 0% to 100%
    low, high = re.findall(r"M[\d.]+ ([\d.]+)V([\d.]+)", whisker.attrib["d"])[0]
    assert float(low) - float(high) == pytest.approx(100)


def test_labels_cannot_break_out_of_the_drawing() -> None:
    label = '<script>"&'
    parse(grouped_bars([(label, [bar(0.5, 0.4, 0.6, label)])], 400, 200, label))
    parse(dot_rows([dot(0.5, label)], 400, label))
    parse(line_chart([Series(label=label, points=((1, 2), (2, 3)), colour=0)], x_label=label,
                     y_label=label))  # fmt: skip


def test_a_line_rises_where_its_numbers_do() -> None:
    svg = line_chart(
        [Series(label="cdpo", points=((1, 0.0), (2, 1.0)), colour=1)], x_label="s", y_label="r"
    )
    (first, last) = parse(svg).findall(f".//{SVG}polyline")[0].attrib["points"].split()
    assert float(last.split(",")[1]) < float(first.split(",")[1])


def test_a_long_line_is_drawn_raw_and_smoothed() -> None:
    points = tuple((float(x), float(x % 2)) for x in range(100))
    svg = line_chart([Series(label="", points=points, colour=0)], x_label="s", y_label="r")
    assert len(parse(svg).findall(f".//{SVG}polyline")) == 2


def test_a_line_of_very_many_points_is_drawn_as_means_of_neighbours() -> None:
    points = [(float(x), float(x % 2)) for x in range(4000)]
    few = thinned(points)
    assert len(few) == 400
    assert few[0] == (4.5, 0.5)
    assert thinned(points[:400]) == points[:400]


def test_one_point_is_a_dot_and_none_is_no_chart() -> None:
    dot = line_chart([Series(label="", points=((1, 1),), colour=0)], x_label="s", y_label="r")
    assert parse(dot).find(f".//{SVG}circle") is not None
    assert line_chart([Series(label="", points=(), colour=0)], x_label="s", y_label="r") == ""


def test_a_moving_mean_of_a_constant_is_the_constant() -> None:
    points = [(float(x), 3.0) for x in range(10)]
    assert moving_mean(points, 5) == points


def dot(mean: float, label: str = "mmvu", chance: float | None = 0.25) -> Dot:
    return Dot(label=label, mean=mean, low=0.25, high=0.75, chance=chance, n=1234, colour=2)


@pytest.mark.parametrize("width", [980, 358])
def test_a_dot_its_interval_and_chance_lie_on_one_scale(width: int) -> None:
    chart = parse(dot_rows([dot(0.5)], width, "summary"))
    grid = [float(line.attrib["x1"]) for line in chart.findall(f".//{SVG}line")]
    circle = chart.find(f".//{SVG}circle")
    tick, whisker = (path.attrib["d"] for path in chart.findall(f".//{SVG}path"))
    assert circle is not None
    assert float(circle.attrib["cx"]) == pytest.approx(grid[2])
    low, high = re.findall(r"M([\d.]+) [\d.]+H([\d.]+)", whisker)[0]
    assert (float(low), float(high)) == (grid[1], grid[3])
    assert tick.startswith(f"M{grid[1]:.1f} ")


def test_without_chance_there_is_no_tick() -> None:
    assert 'class="chance"' not in dot_rows([dot(0.5, chance=None)], 980, "summary")


def test_rows_keep_their_order_and_say_how_many_questions_they_count() -> None:
    texts = [text.text for text in parse(dot_rows([dot(0.5, "b"), dot(0.9, "a")], 980, "")).iter()]
    assert texts.index("b") < texts.index("a")
    assert texts.count("n 1,234") == 2


def test_a_long_label_is_cut_in_the_row_and_whole_in_its_tooltip() -> None:
    chart = parse(dot_rows([dot(0.5, "x" * 60)], 358, ""))
    assert [text.text for text in chart.iter(f"{SVG}text") if "x" in str(text.text)] == [
        "x" * 43 + "…"
    ]
    assert str(chart.findtext(f".//{SVG}g/{SVG}title")).startswith("x" * 60 + ": 50%")


def steps(*parts: tuple[float, ...], group: str = "cdpo") -> list[Slice]:
    return [Slice(label=f"step {n}", group=group, parts=one) for n, one in enumerate(parts)]


@pytest.mark.parametrize("width", [980, 358])
def test_a_stack_is_as_tall_as_its_parts_together(width: int) -> None:
    chart = parse(stacked_steps(steps((1.0, 3.0), (2.0, 2.0)), [], width, 260))
    tall = [float(rect.attrib["height"]) for rect in chart.findall(f".//{SVG}rect")]
    assert tall[0] + tall[1] == pytest.approx(tall[2] + tall[3], abs=0.2)
    assert tall[1] == pytest.approx(3 * tall[0], abs=0.2)


def test_many_steps_are_drawn_as_means_of_neighbours_and_marks_stay_above_theirs() -> None:
    many = steps(*[(1.0,)] * 5000)
    mark = Mark(place=2500, kind="lost", label="x")
    chart = parse(stacked_steps(many, [mark], 980, 260))
    assert 200 < len(chart.findall(f".//{SVG}rect")) <= 320
    [sign] = [path for path in chart.iter(f"{SVG}path") if path.attrib["class"] == "sign lost"]
    x = float(re.findall(r"M([\d.]+)", sign.attrib["d"])[0])
    assert x == pytest.approx(44 + (980 - 48) / 2, abs=4)


def test_one_step_that_takes_ages_does_not_flatten_the_others() -> None:
    chart = parse(stacked_steps(steps(*[(1.0,)] * 19, (1000.0,)), [], 980, 260))
    tall = [float(rect.attrib["height"]) for rect in chart.findall(f".//{SVG}rect")]
    assert min(tall) > 40
    assert max(tall) <= 260
    assert str(chart.findall(f".//{SVG}g/{SVG}title")[-1].text) == "step 19: 1,000.0 s"


def test_stages_are_named_below_their_steps_with_a_line_between() -> None:
    both = steps(*[(1.0,)] * 30, group="bias") + steps(*[(1.0,)] * 30)
    chart = parse(stacked_steps(both, [], 980, 260))
    texts = [text.text for text in chart.iter(f"{SVG}text")]
    assert texts[-2:] == ["bias", "cdpo"]
    assert len(list(chart.iter(f"{SVG}path"))) == 1


def test_a_mark_cannot_break_out_of_the_drawing() -> None:
    parse(stacked_steps(steps((1.0,)), [Mark(place=0, kind="lost", label='<b>"&')], 358, 200))
