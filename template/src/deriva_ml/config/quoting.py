"""A text as a value of an override, and the other way round."""

import json
import re
from typing import Any


def quoted(text: str, mark: str = "'") -> str:
    """Quote a text so that Hydra's grammar takes it to the letter
    (https://hydra.cc/docs/advanced/override_grammar/basic/#quoted-values)."""
    literal = re.sub(
        rf"(\\*)({mark}|\Z)", lambda found: found[1] * 2 + (f"\\{mark}" if found[2] else ""), text
    )
    return f"{mark}{literal}{mark}"


def as_text(value: Any, spelled: str = "") -> str:
    """Return a value that Hydra has parsed as one types it for a parameter: a text as it is, all else as JSON.

    Args:
        spelled: how it was typed, which for numbers is kept.
    """
    plain = _plain(value)
    if isinstance(plain, str):
        return plain
    return spelled or json.dumps(plain, ensure_ascii=False)


def unquoted(text: str) -> str:
    """Return the value of an override, in Hydra's grammar, as one types it for a parameter."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    if not text.strip():
        return ""
    value = OverridesParser.create().parse_rule(text.strip(), "element")
    return as_text(value, "" if isinstance(value, list | dict) or "(" in text else text.strip())


def apart(text: str) -> list[str]:
    """Return the values of a list that Hydra's grammar takes, ``a,'b,c',[1,2]``, each as it was typed."""
    parts, depth = [""], 0
    for piece in re.findall(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|\\.|.""", text, re.DOTALL):
        depth += (piece in "[{(") - (piece in "]})")
        if piece == "," and not depth:
            parts.append("")
        else:
            parts[-1] += piece
    return parts


def _plain(value: Any) -> Any:
    """Return the value with its quoted texts as texts."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {_plain(key): _plain(one) for key, one in value.items()}
    return getattr(value, "text", value)
