"""What a record may hold that would run in a browser, or leave this machine, if a page took it for more than text."""

from __future__ import annotations

import json
from typing import Any

from nbformat import NotebookNode, writes
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

DEED = "try{top.pwned=1}catch(e){};window.pwned=1;document.title='pwned';alert(1)"
"""What each of the scripts below would do."""

CALL = "http://127.0.0.1:5999/called"
"""An address that each of them would ask for, and the pages must not."""

NAME = "\"'><img src=x onerror=window.pwned=1>"
"""A name, also of a file, that would leave an attribute or a text."""

TEXTS = [
    NAME,
    f"<script>{DEED}</script>",
    "</script><script>window.pwned=1</script>",
    "<!--<script>",
    "__proto__",
    "constructor",
    "toString",
    "javascript:window.pwned=1",
    "{{constructor.constructor('window.pwned=1')()}}",
    "${window.pwned=1}`+(window.pwned=1)+`",
    "\u2028\u2029\u202egnp.exe\u202c \u0000\u001b[2J",
    "]]>&lt;b&gt;&amp;",
    "x" * 3000,
]
"""Names and values of parameters, choices and metrics."""

SVG = f"""<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="80" height="40"
 onload="{DEED}"><script>{DEED}</script><rect width="80" height="40" fill="teal"/><a xlink:href="javascript:{DEED}">
<text y="20">press</text></a><image href="{CALL}/svg.png"/><foreignObject width="9" height="9">
<iframe xmlns="http://www.w3.org/1999/xhtml" src="javascript:{DEED}"></iframe></foreignObject></svg>
"""

HTML = f"""<!doctype html><meta http-equiv="refresh" content="0; url={CALL}/refresh"><base href="{CALL}/"><title>A report</title>
<h1>A report</h1><script>{DEED}</script><script src="{CALL}/script.js"></script><img src="{CALL}/picture.png"
 onerror="{DEED}"><link rel="stylesheet" href="{CALL}/style.css"><iframe srcdoc="<script>{DEED}</script>"></iframe>
<form action="{CALL}/form"><button formaction="javascript:{DEED}">Press</button></form><object data="{CALL}/object"></object>
<a href="javascript:{DEED}" target="_top">press</a><style>@import "{CALL}/import.css";
body {{ background: url({CALL}/background.png) }}</style>
"""

MARKDOWN = f"""# {NAME}

<script>{DEED}</script>

[press](javascript:{DEED}) ![picture]({CALL}/markdown.png) <img src=x onerror="{DEED}">

| a | b |
|---|---|
| <svg onload="{DEED}"> | `<b>` |

```html
</code></pre><script>{DEED}</script>
```

[ref]: javascript:{DEED}
<iframe src="javascript:{DEED}"></iframe>
"""

CSV = f"name,=1+1\n{NAME.replace(',', ';')},<script>{DEED.replace(',', ';')}</script>\n"


def notebook() -> str:
    """An executed notebook each of whose outputs would do it."""

    def shown(data: dict[str, Any]) -> NotebookNode:
        return new_output("display_data", data)

    outputs = [
        shown({"text/html": HTML, "text/plain": "a report"}),
        shown({"image/svg+xml": SVG, "text/plain": "a drawing"}),
        shown({"application/javascript": DEED, "text/plain": "a script"}),
        shown({"text/markdown": MARKDOWN, "text/plain": "a text"}),
        shown({"text/latex": rf"$\href{{javascript:{DEED}}}{{press}}$", "text/plain": "a formula"}),
        shown({"application/vnd.jupyter.widget-view+json": {"model_id": NAME}, "text/plain": "a widget"}),
        shown({"image/png": f'"><script>{DEED}</script>', "text/plain": "no picture"}),
        new_output("stream", text=f"<script>{DEED}</script>\n\x1b[31m{NAME}\x1b[0m\n"),
        new_output(
            "error", ename=NAME, evalue=f"<script>{DEED}</script>", traceback=[f"\x1b[31m{NAME}\x1b[0m"]
        ),
    ]
    cells = [
        new_markdown_cell(MARKDOWN, id="a"),
        new_code_cell(f"print('</pre><script>{DEED}</script>')", outputs=outputs, execution_count=1, id="b"),
    ]
    cells[0]["attachments"] = {NAME: {"image/png": f'"><script>{DEED}</script>'}}
    made = new_notebook(cells=cells)
    made.metadata["title"] = f"</title><script>{DEED}</script>"
    made.metadata["language_info"] = {"name": f'python"><script>{DEED}</script>'}
    made.metadata["widgets"] = {
        "application/vnd.jupyter.widget-state+json": {"state": {NAME: f"</script><script>{DEED}</script>"}}
    }
    return str(writes(made))


def files() -> dict[str, str]:
    """Outputs by name."""
    return {
        "drawing.svg": SVG,
        "report.html": HTML,
        "notes.md": MARKDOWN,
        f"{NAME}.csv": CSV,
        "lines.txt": f"{NAME}\n<script>{DEED}</script>\n",
        "values.json": json.dumps({"__proto__": {"pwned": 1}, NAME: [f"<script>{DEED}</script>"]}),
        "picture.png": SVG,
        "hostile.ipynb": notebook(),
    }
