"""Nothing gets into a page or a drawing but as words."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from jinja2 import UndefinedError

import videothinker
from videothinker.report.markup import colour, drawing, element, render, standing_alone, text

PRODUCT = Path(videothinker.__file__).parent
REPORT = PRODUCT / "report"
HOSTILE = "</title><script>alert('&')</script>"


def test_an_element_escapes_its_words_and_its_attributes_but_no_other_element() -> None:
    inner = element("title", HOSTILE)
    assert element("g", inner, class_=HOSTILE, x=None) == (
        '<g class="&lt;/title&gt;&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt;">'
        "<title>&lt;/title&gt;&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt;</title></g>"
    )


def test_numbers_of_an_element_have_one_decimal_where_they_are_not_whole() -> None:
    said = element("text", text_anchor="end", x=3, y=1 / 3)
    assert said == '<text text-anchor="end" x="3" y="0.3"/>'


def test_a_template_escapes_what_is_put_into_it() -> None:
    page = render("base.html", title=HOSTILE)
    assert "<title>&lt;/title&gt;&lt;script&gt;alert(&#39;&amp;&#39;)" in page
    assert "<script" not in page


def test_a_template_that_is_given_too_little_says_so_instead_of_showing_nothing() -> None:
    with pytest.raises(UndefinedError, match="title"):
        render("base.html")


def test_no_template_lets_anything_through_unescaped() -> None:
    templates = [*REPORT.glob("*.html")]
    assert {file.name for file in templates} >= {"base.html", "page.html", "evaluation.html"}
    for file in templates:
        assert not re.search(r"\|\s*safe|autoescape|unescape", file.read_text()), file


def test_only_this_module_declares_text_to_be_markup() -> None:
    said = re.compile(r"\bMarkup\([^)]|\b__html__\b")
    users = [
        str(f.relative_to(PRODUCT)) for f in PRODUCT.rglob("*.py") if said.search(f.read_text())
    ]
    assert users == ["report/markup.py"]


def test_colours_are_defined_in_one_file() -> None:
    files = (f for kind in ("*.py", "*.css", "*.html") for f in PRODUCT.rglob(kind))
    said = [f.name for f in files if re.search(r"#[0-9a-f]{6}\b", f.read_text())]
    assert said == ["palette.css"]
    assert "--s5:" in (REPORT / "palette.css").read_text()
    assert colour(5) == "var(--s5)"
    assert colour(6) == "var(--s0)"


def test_a_drawing_that_stands_alone_brings_its_paper_and_its_colours() -> None:
    inner = drawing(10, 20, [text(1, 2, HOSTILE, "end")], HOSTILE)
    root = ElementTree.fromstring(standing_alone(30, 40, [inner], HOSTILE))
    assert root.get("aria-label") == HOSTILE
    style, paper, nested = root
    assert "prefers-color-scheme: dark" in str(style.text)
    assert (paper.get("width"), paper.get("height")) == ("30", "40")
    assert [str(one.text) for one in nested] == [HOSTILE]
