"""The only place where markup is made: all that is put into a page or a drawing is escaped here.

Pages are the templates beside this file, drawings are SVG elements. Both come out as Markup, text
that is not escaped again; whatever else is put into them is taken for words.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

SERIES_COLOURS = 6
"""Custom properties --s0, --s1, ... of palette.css; no Python knows a colour."""


def colour(index: int) -> str:
    """The CSS value of a series colour; further series start again from the first."""
    return f"var(--s{index % SERIES_COLOURS})"


def render(template: str, **values: object) -> str:
    """A whole page that asks for nothing from outside."""
    return _TEMPLATES.get_template(template).render(values)


def element(tag: str, *content: str, **attributes: str | float | None) -> Markup:
    """An SVG element: `class_` is class, `text_anchor` is text-anchor, None leaves one out."""
    said = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(_shown(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    inner = "".join(map(escape, content))
    return Markup(f"<{tag}{said}>{inner}</{tag}>" if inner else f"<{tag}{said}/>")


def text(x: float, y: float, content: str, anchor: str, kind: str | None = None) -> Markup:
    """A line of letters; `kind` is a class of the style sheet."""
    return element("text", content, class_=kind, x=x, y=y, text_anchor=anchor)


def drawing(width: float, height: float, parts: Iterable[str], summary: str) -> Markup:
    """For within a page; the summary is for those who cannot see it."""
    box = f"0 0 {_shown(width)} {_shown(height)}"
    return element("svg", *parts, viewBox=box, role="img", aria_label=summary)


def standing_alone(width: int, height: int, parts: Iterable[str], summary: str) -> str:
    """A file of its own on paper of its own; it follows the reader's light or dark setting."""
    sheets = (files(__package__).joinpath(name) for name in ("palette.css", "drawing.css"))
    style = Markup("".join(sheet.read_text() for sheet in sheets))
    return (
        element(
            "svg",
            element("style", style),
            element("rect", class_="paper", width=width, height=height),
            *parts,
            xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {width} {height}",
            width=width,
            role="img",
            aria_label=summary,
        )
        + "\n"
    )


def _shown(value: str | float) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value)


_TEMPLATES = Environment(
    loader=PackageLoader(__package__, ""),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.globals["colour"] = colour
