"""What the widgets of an executed notebook show in the end, by the states that are kept in its metadata."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from deriva_ml.untrusted import as_mapping

VIEW = "application/vnd.jupyter.widget-view+json"
"""The display of a widget; it names a model (https://jupyter-widgets.github.io/ipywidgets: embedding, the schema)."""

_REFERENCE = "IPY_MODEL_"
_BAR = 10  # characters of a progress bar

States = Mapping[str, Mapping[str, Any]]
Bundle = dict[str, Any]


def states_of(notebook: Mapping[str, Any]) -> States:
    """The last state of each widget model, by its id."""
    kept = notebook.get("metadata", {}).get("widgets", {})
    found = kept.get("application/vnd.jupyter.widget-state+json", {}).get("state", {})
    return as_mapping(found)


def displayed(data: Mapping[str, Any], states: States) -> list[Bundle]:
    """A displayed widget as outputs: its text, images, what was printed into it; none if its state is not kept."""
    view = data.get(VIEW)
    model = str(view.get("model_id")) if isinstance(view, Mapping) else ""
    outputs: list[Bundle] = []
    for part in _parts(model, states, frozenset()):
        if not isinstance(part, str):
            outputs.append(part)
        elif outputs and "text/plain" in outputs[-1].get("data", {}):
            outputs[-1]["data"]["text/plain"] += f"\n{part}"
        else:
            outputs.append(_display("text/plain", part))
    return outputs


def _display(mime: str, content: str) -> Bundle:
    return {"output_type": "display_data", "data": {mime: content}, "metadata": {}}


def _parts(model: str, states: States, above: frozenset[str], in_row: bool = False) -> Iterator[str | Bundle]:
    """Lines of text and outputs, from top to bottom."""
    entry = states.get(model)
    if not isinstance(entry, Mapping) or model in above:
        return
    state: Mapping[str, Any] = entry.get("state") or {}
    kind = str(state.get("_model_name") or entry.get("model_name") or "").removesuffix("Model")
    if _hidden(state, states):
        return
    if isinstance(state.get("outputs"), list):
        yield from state["outputs"]
    elif isinstance(state.get("children"), (list, tuple)):
        yield from _box(kind, state, states, above | {model})
    elif image := _picture(kind, entry, state):
        yield image
    else:
        yield _said(kind, state, in_row)


def _hidden(state: Mapping[str, Any], states: States) -> bool:
    layout = states.get(str(state.get("layout")).removeprefix(_REFERENCE))
    look = layout.get("state", {}) if isinstance(layout, Mapping) else {}
    return look.get("display") == "none" or look.get("visibility") == "hidden"


def _box(
    kind: str, state: Mapping[str, Any], states: States, above: frozenset[str]
) -> Iterator[str | Bundle]:
    titles = [str(title or "") for title in state.get("titles") or ()]
    is_row, row = kind == "HBox", list[str]()
    for number, child in enumerate(state["children"]):
        if title := "".join(titles[number : number + 1]):
            yield f"{title}:"
        for part in _parts(str(child).removeprefix(_REFERENCE), states, above, is_row):
            if is_row and isinstance(part, str):
                row.append(part)
            else:
                yield part
    if row:
        yield re.sub(r" (?=\|[█ ]+\|)", "", " ".join(filter(None, row)))  # as tqdm writes it in a terminal


def _picture(kind: str, entry: Mapping[str, Any], state: Mapping[str, Any]) -> Bundle | None:
    """An image that a widget holds: ipywidgets' Image in a buffer, ipympl's figure as its last picture."""
    if match := re.match(r"data:(image/\w+);base64,(.+)", str(state.get("_data_url")), re.DOTALL):
        return _display(match[1], match[2])
    held = [one for one in entry.get("buffers") or () if one.get("path") == ["value"]]
    if kind == "Image" and held and state.get("format") in {"png", "jpeg", "jpg", "gif", "webp"}:
        return _display(f"image/{state['format']}".replace("jpg", "jpeg"), str(held[0].get("data")))
    return None


def _said(kind: str, state: Mapping[str, Any], in_row: bool) -> str:
    """A widget's label and value; a bar in a row has its numbers beside it."""
    name = str(state.get("description") or "").strip()
    value = state.get("value")
    if kind in {"HTML", "HTMLMath", "Label"}:
        text = html.unescape(re.sub(r"<[^<>]*>", "", str(value))) if kind != "Label" else str(value)
        return ": ".join(filter(None, [name, " ".join(text.split())]))
    if kind.endswith("Progress"):
        low, high, value = (float(state.get(key) or 0) for key in ("min", "max", "value"))
        done = min(max((value - low) / (high - low), 0), 1) if high > low else 1.0
        numbers = "" if in_row else f"{value:g}/{high:g}"
        return " ".join(filter(None, [name, f"|{'█' * round(done * _BAR):<{_BAR}}|", numbers]))
    if kind == "Button":
        return f"[{name}]"
    if isinstance(labels := state.get("_options_labels"), (list, tuple)):
        chosen = state.get("index")
        value = [labels[i] for i in (chosen if isinstance(chosen, list) else [chosen]) if i is not None]
        value = ", ".join(map(str, value)) or None
    elif "value" not in state:
        known = str(state.get("_anywidget_id") or kind).rpartition(".")[2]
        return f"(a widget, {known}: see the notebook)" if known else "(a widget: see the notebook)"
    return f"{name or kind}: {_plain(value)}"


def _plain(value: Any) -> str:
    match value:
        case {"year": int(year), "month": int(month), "date": int(day)}:  # JavaScript's months count from 0
            return str(date(year, month + 1, day))
        case list() | tuple():
            return ", ".join(map(_plain, value))
    return "none" if value is None else str(value)
