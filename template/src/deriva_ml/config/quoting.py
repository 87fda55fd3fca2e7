"""Quotes a text for Hydra, as a value of an override."""

import re


def quoted(text: str, mark: str = "'") -> str:
    """Quote a text so that Hydra's grammar takes it to the letter
    (https://hydra.cc/docs/advanced/override_grammar/basic/#quoted-values)."""
    literal = re.sub(
        rf"(\\*)({mark}|\Z)", lambda found: found[1] * 2 + (f"\\{mark}" if found[2] else ""), text
    )
    return f"{mark}{literal}{mark}"
