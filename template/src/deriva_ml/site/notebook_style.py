"""The style of an executed notebook's page: what nbconvert's plain template names, in light, in dark and on paper."""

STYLE = """
:root { color-scheme: light dark; --text: light-dark(#1b1f24, #e6edf3); --ground: light-dark(#fff, #0d1117);
  --muted: light-dark(#57606a, #9aa4af); --line: light-dark(#d0d7de, #30363d); --raised: light-dark(#f6f8fa, #161b22);
  --word: light-dark(#8250df, #d2a8ff); --name: light-dark(#0550ae, #79c0ff); --said: light-dark(#0a5c2b, #7ee787);
  --bad: light-dark(#a40e26, #ffa198) }
body { margin: 0; color: var(--text); background: var(--ground); font: 1rem/1.5 system-ui, sans-serif }
main { max-width: 64rem; margin: 0 auto; padding: .5rem 1rem 2rem; overflow-wrap: anywhere }
h1 { font-size: 1.6rem } h2 { font-size: 1.3rem } h3 { font-size: 1.1rem } h1, h2, h3 { line-height: 1.3 }
a { color: var(--name) }
pre, code { font: .85rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace }
pre { margin: 0; white-space: pre-wrap }
main > pre, .input_area, .rendered_html .highlight { background: var(--raised); border: 1px solid var(--line);
  border-radius: 6px; padding: .5rem .75rem; margin: .5rem 0 }
main > pre:not(:has(> code[class])) { background: none; border: 0; border-left: 3px solid var(--line); border-radius: 0 }
.prompt { color: var(--muted); font: .75rem ui-monospace, monospace; margin-top: .75rem }
.prompt:not(:has(+ *)), .text_cell > .prompt, .output_area > .prompt:not(.output_prompt) { display: none }
.output_area { margin: .25rem 0 .5rem; overflow-x: auto }
.output_text { border-left: 3px solid var(--line); padding-left: .75rem }
.output_stderr, .output_error { border-left-color: var(--bad) }
img, svg { max-width: 100%; height: auto }
img { background: #fff }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; display: block; overflow-x: auto;
  width: max-content; max-width: 100%; margin: .5rem 0; overflow-wrap: normal }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top }
th { color: var(--muted); font-weight: 600 }
blockquote { margin: .5rem 0; padding-left: 1rem; border-left: 3px solid var(--line); color: var(--muted) }
.k, .kn, .kc, .kd, .kt, .kr, .ow { color: var(--word) } .nf, .nc, .nd, .nb, .ne, .bp, .mi, .mf, .mh { color: var(--name) }
.s, .s1, .s2, .sa, .sb, .sd, .se, .sh, .si, .sx { color: var(--said) } .c, .c1, .ch, .cm { color: var(--muted) }
@media print { main { max-width: none; padding: 0 } .cell, img { break-inside: avoid-page } }
"""
