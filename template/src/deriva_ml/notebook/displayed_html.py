"""Tells what HTML that a library displays is, by marks in its text and without parsing it."""

from __future__ import annotations

import re

_DATA_FRAME = re.compile(r"<table[^>]*(?:class=\"[^\"]*\bdataframe\b|id=\"T_)")  # pandas, polars...; a Styler
_MORE_THAN_TEXT = re.compile(r"<(?:table|img|svg|iframe|video|audio|canvas|embed|object)\b|<a\s[^>]*\bhref\b")
# Of scikit-learn, xarray and ITables, whose text says it all: their tables and images serve to unfold and to sort.
_TEXT_IS_BETTER = re.compile(r"class=['\"](?:sk|xr)-|<table id=['\"]itables_")
_FIGURES = {
    r"Plotly\.newPlot|plotly-graph-div": "a Plotly figure",
    r"vegaEmbed|vega-embed": "a Vega chart",
    r"\sdata-root-id=": "a Bokeh figure",
    r"leaflet(?:\.min)?\.js": "a map",
    r"vis\.Network\(|vis-network": "a network graph",
    r"new Animation\(": "an animation",
}
"""What the HTML of libraries that draw with scripts has in it, and what a reader of the notebook sees there."""


def in_words(what: str) -> str:
    """The line that stands for what Markdown cannot show."""
    return f"({what}: see the notebook)"


def is_better(text: str, plain_says_nothing: bool) -> bool:
    """Whether the HTML tells a reader more than the plain text that comes with it."""
    if plain_says_nothing or _DATA_FRAME.search(text):
        return bool(text.strip())
    return bool(_MORE_THAN_TEXT.search(text)) and not _TEXT_IS_BETTER.search(text)


def figure(text: str) -> str:
    """What HTML shows that is drawn by a script of a library that is known here; empty for other HTML."""
    return next((name for mark, name in _FIGURES.items() if re.search(mark, text)), "")
