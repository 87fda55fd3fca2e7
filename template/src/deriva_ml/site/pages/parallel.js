// Parallel coordinates: a line for each run through an axis for each parameter and metric.
'use strict';
/* global site, charts */

{
  const MOST = 1000;
  const HEIGHT = 250;
  const TICKS = 4;
  /** Room between axes, at least, and for what stands beside the last. */
  const [GAP, RIGHT] = [72, 76];
  /** Words that an axis names; of more, some are left out. */
  const WORDS = 12;

  /** How an axis places its values: from 0 (below) to 1, with what stands beside it. */
  function placed({ name, values }) {
    const given = values.filter((one) => one !== null && one !== undefined);
    if (given.every((one) => charts.finite(one) !== null)) {
      const [least, most] = charts.spread(given);
      const log = charts.wide(given);
      const [to, back] = log ? [Math.log10, (one) => 10 ** one] : [(one) => one, (one) => one];
      const [low, high] = [to(least), to(most)];
      const place = (value) => (charts.finite(value) === null ? null : high > low ? (to(value) - low) / (high - low) : 0.5);
      const ticks = !given.length ? [] : high > low
        ? Array.from({ length: TICKS + 1 }, (_, i) => i / TICKS).map((p) => [p, site.number(Number(back(low + p * (high - low)).toPrecision(3)))])
        : [[0.5, site.number(least)]];
      return { name: log ? `${name} (log)` : name, ticks, at: values.map(place) };
    }
    const words = [...new Set(given.map((one) => site.value(one)))].sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
    const where = (i) => (words.length > 1 ? i / (words.length - 1) : 0.5);
    const every = Math.ceil(words.length / WORDS);
    return {
      name, ticks: words.map((word, i) => [where(i), word]).filter((_, i) => i % every === 0),
      at: values.map((one) => (one === null || one === undefined ? null : where(words.indexOf(site.value(one))))),
    };
  }

  /** The way of a run through the axes, in a square of 1,000: it is interrupted where a value is missing. */
  function path(axes, run) {
    let pen = 'M';
    const steps = axes.map(({ at }, a) => {
      if (at[run] === null) { pen = 'M'; return ''; }
      const point = `${(a * 1000) / (axes.length - 1)},${1000 - at[run] * 1000}`;
      const drawn = pen === 'M' ? `M${point}L${point}` : `L${point}`;
      pen = 'L';
      return drawn;
    });
    return steps.join('');
  }

  const shade = (at) => (at === null ? 'var(--edge)'
    : `color-mix(in oklab, var(--high) ${Math.round(at * 100)}%, var(--low))`);

  /**
   * Draw a line for each run, in the colour of its place on the last axis.
   * @param {Element} node
   * @param {{title: string, axes: {name: string, values: *[]}[], rids: string[]}} chart numbers lie on a scale, which is
   *   logarithmic where they are far apart; all else in the order of its words.
   */
  charts.parallel = async (node, { title, axes, rids }) => {
    const runs = rids.slice(0, MOST);
    const cut = rids.length - runs.length;
    const drawn = axes.map((axis) => placed({ name: axis.name, values: axis.values.slice(0, MOST) }));
    const last = drawn.at(-1);
    const wanted = (width) => Math.max(width, GAP * (drawn.length - 1) + RIGHT + 14);
    const at = (a) => (drawn.length > 1 ? a / (drawn.length - 1) : 0.5);
    const x = (field) => ({ signal: `pad + datum.${field} * inner` });
    const y = (field) => ({ signal: `top + (1 - datum.${field}) * ${HEIGHT}` });
    const way = {
      path: { field: 'd' }, x: { signal: 'pad' }, y: { signal: 'top' },
      scaleX: { signal: 'inner / 1000' }, scaleY: { value: HEIGHT / 1000 }, strokeCap: { value: 'round' },
    };
    const written = (name, more) => ({
      type: 'text', from: { data: name }, interactive: false,
      encode: { update: { text: { field: 't' }, fontSize: { value: 12 }, fill: { value: 'var(--text)' }, ...more } },
    });
    const over = (name, look) => ({ type: 'path', name, from: { data: 'over' }, interactive: false, encode: { update: { ...way, ...look } } });
    const behind = { stroke: { value: 'var(--raised)' }, strokeWidth: { value: 4 }, strokeJoin: { value: 'round' } };
    const tick = { x: x('x'), y: y('y'), dx: { value: 6 }, baseline: { value: 'middle' }, limit: { signal: `datum.x > 0.99 ? ${RIGHT - 6} : gap - 10` } };
    const spec = (width) => ({
      autosize: 'none',
      signals: [
        { name: 'width', value: wanted(width) }, { name: 'pad', update: 'width < 700 ? 14 : 60' }, { name: 'inner', update: `width - pad - ${RIGHT}` },
        { name: 'gap', update: `inner / ${Math.max(1, drawn.length - 1)}` },
        { name: 'flat', update: 'gap > 150' }, { name: 'top', update: 'flat ? 36 : 130' }, { name: 'height', update: `top + ${HEIGHT} + 16` },
        { name: 'hover', value: -1, on: [{ events: '@way:pointerover', update: 'datum.i' }, { events: '@way:pointerout', update: '-1' }] },
      ],
      data: [
        { name: 'runs', values: runs.map((_, i) => ({ i, d: path(drawn, i), c: shade(last.at[i]) })) },
        { name: 'over', source: 'runs', transform: [{ type: 'filter', expr: 'datum.i === hover' }] },
        { name: 'axes', values: drawn.map((axis, a) => ({ x: at(a), t: axis.name })) },
        { name: 'ticks', values: drawn.flatMap((axis, a) => axis.ticks.map(([place, t]) => ({ x: at(a), y: place, t }))) },
      ],
      marks: [
        { type: 'path', from: { data: 'runs' }, interactive: false, encode: { update: { ...way, stroke: { field: 'c' }, strokeWidth: { value: 1.5 }, strokeOpacity: { value: runs.length > 150 ? 0.5 : 0.85 } } } },
        { type: 'rule', from: { data: 'axes' }, interactive: false, encode: { update: { x: x('x'), y: { signal: 'top' }, y2: { signal: `top + ${HEIGHT}` }, stroke: { value: 'var(--text)' } } } },
        over('halo', { stroke: { value: 'var(--raised)' }, strokeWidth: { value: 9 } }), over('lit', { stroke: { field: 'c' }, strokeWidth: { value: 5 } }),
        written('ticks', { ...tick, ...behind }), written('ticks', tick),
        written('axes', {
          x: x('x'), y: { signal: 'top - 14' }, angle: { signal: 'flat ? 0 : -90' }, baseline: { signal: "flat ? 'alphabetic' : 'middle'" },
          limit: { signal: 'flat ? 0.66 * gap : 110' }, fontWeight: { value: 'bold' },
          align: { signal: "!flat ? 'left' : datum.x < 0.01 ? 'left' : datum.x > 0.99 ? 'right' : 'center'" },
          dx: { signal: '!flat ? 0 : datum.x < 0.01 ? -min(pad, 40) : datum.x > 0.99 ? 60 : 0' },
        }),
        { type: 'path', name: 'way', from: { data: 'runs' }, encode: { update: { ...way, stroke: { value: 'transparent' }, strokeWidth: { value: 8 }, cursor: { value: 'pointer' }, tooltip: { value: ' ' } } } },
      ],
    });
    const told = `Coloured by ${axes.at(-1)?.name}, from blue (low) to orange (high).`;
    await charts.draw(node, {
      kind: 'parallel', mode: 'vega', title, spec, open: ({ i }) => charts.open(runs[i]),
      resize: (view, width) => view.width(wanted(width)),
      description: `${title}: a line for each of ${runs.length} runs through ${axes.map((axis) => axis.name).join(', ')}`,
      legend: site.el('p', { class: 'note' }, told, cut > 0 ? ` The first ${runs.length} of ${rids.length} runs are drawn.` : ''),
      tell: ({ i }) => (i === undefined ? null : [runs[i], ...axes.map(({ name, values }) => `${name}: ${site.value(values[i])}`)]),
      table: () => ({
        caption: title, headings: ['run', ...axes.map((axis) => axis.name)], numeric: [],
        rows: runs.map((rid, i) => [site.run(rid, rid), ...axes.map((axis) => site.value(axis.values[i]))]),
      }),
    });
  };
}
