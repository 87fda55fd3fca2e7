"""HTML that somebody else may have written, as a page in which nothing runs and from which nothing is fetched."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator

Clean = Callable[[str], str]
"""Takes from a text what no page may show: paths of the machine, credentials."""

Write = Callable[[str, bytes], None]
"""Takes a file of the site: its path there, with ``/``, and its content."""

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
# What the policy does not stop in a page that is opened alone: being sent elsewhere by <meta>, and connections that <link>
# opens early. The others it does stop: that is said twice. A tag's name begins right after its <, and is ASCII
# (https://html.spec.whatwg.org/multipage/parsing.html#tag-open-state): no other text becomes one of these tags.
_ACTS = re.compile(
    r"(?i)<(/?)(?=(?:applet|base|body|embed|fencedframe|form|frame|frameset|head|html|iframe|link|meta|object|portal"
    r"|script|title)(?:[\s/>]|\Z))"
)
_SCRIPT = re.compile(r"(?i)<script(?=[\s/>])"), re.compile(r"(?i)</script[^>]*>")
_STYLE = re.compile(r"(?i)<style(?=[\s/>])"), re.compile(r"(?i)</style[^>]*>")
# What a policy refuses makes a browser complain: it is not even asked for. Of addresses, those of links and of images that
# are data stay, and those within the page.
_TAG = re.compile(r"<[A-Za-z][^<>]*")
_ATTRIBUTE = re.compile(
    r"(?i)(?<=[\s\"'/])(?:on\w+|srcset|poster|background|ping|formaction"
    r"|(?:src|data|(?:xlink:)?href)(?=\s*=\s*+[\"']?+\s*+(?!data:image/|#)))(?=\s*=)"
)
_LINK = re.compile(r"(?i)href(?=\s*=\s*[\"']?\s*(?:https?:|mailto:))")
_OUT = re.compile(r"(?i)\shref\s*=\s*+[\"']?+(?!#)")
_FETCHED = re.compile(r"(?i)(?:url|image-set|src)(?=\(\s*+[\"']?+(?!data:|#))|(?<=@)import\b")
_DATA = re.compile(r"(data:[\w.+/-]+;base64,[A-Za-z0-9+/=]+)")
_STYLES = re.compile(r"(?is)<(?:style|x-title)\b.*?(?:</(?:style|x-title)|\Z)")
_TO_BE_SEEN = re.compile(r"(?i)<(?:img|svg|picture)\b|(?:\A|>)[^<]*\w")
_BLOCKS = re.compile(r"(?i)<(?:h\d|p|tr|pre|li|br)\b")
_PICTURES = re.compile(r"(?i)<(?:img|svg)\b")
_OURS = """x-script, x-title { display: none }
#light, #dark { position: fixed; top: 0 }
@media screen { :root:has(#light:target) { color-scheme: only light } :root:has(#dark:target) { color-scheme: only dark } }
"""


def harmless_page(title: str, body: str, style: str = "") -> bytes:
    """Return HTML with a title as a page of its own, encoded; what its tags could do is taken from them.

    In it, images are data, and styles its own; its policy (https://www.w3.org/TR/CSP3/#meta-element) is the first that a
    browser reads of it. Made for a frame that is sandboxed, and the same where it is opened alone. At ``#light`` and
    ``#dark`` it is that, if its style can be both.

    Args:
        style: CSS, trusted.
    """
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta charset="utf-8">
<meta http-equiv="x-dns-prefetch-control" content="off">
<meta name="referrer" content="no-referrer">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>{_OURS}{style}</style></head>
<body><i id="light"></i><i id="dark"></i><main>
{defused(body)}
</main></body></html>
""".encode(errors="replace")


def defused(text: str) -> str:
    """Return HTML without its scripts, in which each tag that would act is one that no browser knows, and does nothing.

    Nor is there anything in it that would be fetched, or run by an attribute.
    """
    text = "".join(part for part, is_script in _parts(text, *_SCRIPT) if not is_script)
    text = _ACTS.sub(r"<\1x-", text)
    styled = (
        (_FETCHED.sub(r"x-\g<0>", part) if is_style else part) for part, is_style in _parts(text, *_STYLE)
    )
    return _TAG.sub(_quiet, "".join(styled))


def _parts(text: str, begin: re.Pattern[str], end: re.Pattern[str]) -> Iterator[tuple[str, bool]]:
    """Return a text in parts, and which of them are elements that begin and end so."""
    at = 0
    while (found := begin.search(text, at)) and (last := end.search(text, found.end())):
        yield text[at : found.start()], False
        yield text[found.start() : last.end()], True
        at = last.end()
    yield text[at:], False


def _quiet(tag: re.Match[str]) -> str:
    text, is_link = tag[0], tag[0][:3].lower() in {"<a ", "<a\n", "<a\t"}
    if "style" in text:
        text = _FETCHED.sub(r"x-\g<0>", text)
    text = _ATTRIBUTE.sub(
        lambda found: found[0] if is_link and _LINK.match(text, found.start()) else f"data-x-{found[0]}", text
    )
    # A link leads out of a frame, or nowhere; of two attributes of one name the first holds.
    return text.replace(text[:2], f'{text[:2]} target="_blank"', 1) if is_link and _OUT.search(text) else text


def shows_something(text: str) -> bool:
    """Whether there is more to see of HTML that is ``defused`` than where a script would have drawn."""
    return _TO_BE_SEEN.search(_STYLES.sub("", text)) is not None


def height_of(body: str) -> int:
    """Return about how many pixels HTML needs from top to bottom, for a frame that cannot be asked, rather more than less.

    A line of text has 24, and a picture is as high as most plots.
    """
    text = _DATA.sub("", body)
    lines = text.count("\n") + len(_BLOCKS.findall(text))
    return 80 + 24 * lines + 400 * len(_PICTURES.findall(text))


def beside_data(text: str, clean: Clean) -> str:
    """Return a text cleaned but for the images in it that are data, in which there is nothing to be found."""
    parts = _DATA.split(text)
    return "".join(part if place % 2 else clean(part) for place, part in enumerate(parts))
