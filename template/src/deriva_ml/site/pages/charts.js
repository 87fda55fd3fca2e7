// Charts: the frame that each stands in, lines over steps, and points. Vega draws them, which comes with the first one.
'use strict';
/* global site */

const charts = (() => {
  const COLOURS = 6;
  const DASHES = [[], [7, 3], [2, 3], [9, 3, 2, 3]];
  /** Points of lines that answer to the pointer, at most. */
  const ANSWERING = 2000;
  /** Rows of a table beside a chart, at most. */
  const ROWS = 1000;
  const WITHOUT = 'uv sync --extra site, and build the site again, for charts';
  const CONFIG = {
    background: null, font: 'system-ui, sans-serif', aria: false, padding: 0,
    axis: {
      labelColor: 'var(--text)', titleColor: 'var(--text)', gridColor: 'var(--line)',
      domainColor: 'var(--line)', tickColor: 'var(--line)', labelFontSize: 12, titleFontSize: 12,
      titleFontWeight: 'normal', labelLimit: 130, titleLimit: 320,
    },
    view: { stroke: null },
  };
  /** What is shown in a node, to be put away when another chart takes its place. */
  const shown = new WeakMap();
  let library = null;
  let said = false;
  let before = Promise.resolve();

  function load() {
    library ??= new Promise((resolve, reject) => {
      const script = document.createElement('script');
      script.src = 'assets/vega.js';
      script.onload = () => (window.vegaEmbed ? resolve(window.vegaEmbed) : script.onerror());
      script.onerror = () => reject(new Error('assets/vega.js cannot be read: build the site again, for charts'));
      document.head.append(script);
    });
    return library;
  }

  /** Waits until it is a chart's turn: with each in a task of its own, the page answers between them. */
  const turn = () => { before = before.then(() => new Promise((resolve) => { setTimeout(resolve); })); return before; };

  /** The colour of the series at a place, which follows light and dark by itself. */
  const colour = (place) => `var(--c${(place % COLOURS) + 1})`;
  /** Colours give out after the sixth: the dashes of a line tell it from that of the same colour. */
  const dash = (place) => DASHES[Math.floor(place / COLOURS) % DASHES.length];
  /** A finite number, or null. */
  const finite = (value) => (typeof value === 'number' && Number.isFinite(value) ? value : null);
  const spread = (values) => {
    const found = values.filter((one) => finite(one) !== null);
    const most = found.reduce((a, b) => Math.max(a, b), -Infinity);
    return [found.reduce((a, b) => Math.min(a, b), Infinity), most];
  };
  /** Whether numbers are above zero, and far apart: they are read on a logarithmic scale. */
  function wide(values, times = 100) {
    const [least, most] = spread(values);
    return least > 0 && most / least >= times;
  }
  /** The page of a run, or nothing if the site has none. */
  const pageOf = (rid) => (rid && site.known(rid) === 'run' ? site.run(rid).getAttribute('href') : '');

  /** Show beside the pointer what it is at; as text, whatever that holds. */
  function tooltip(tell) {
    const box = document.querySelector('.chart-tip')
      ?? document.body.appendChild(site.el('div', { class: 'chart-tip', 'aria-hidden': 'true', hidden: true }));
    return (_, event, item) => {
      const lines = item?.datum && tell ? tell(item.datum, item.mark.marktype) : null;
      box.hidden = !lines;
      if (!lines) return;
      box.replaceChildren(...lines.map((line) => site.el('div', {}, line)));
      const left = Math.min(event.clientX + 14, window.innerWidth - box.offsetWidth - 8);
      const under = event.clientY + 18;
      const above = event.clientY - box.offsetHeight - 12;
      box.style.left = `${Math.max(8, left)}px`;
      box.style.top = `${under + box.offsetHeight > window.innerHeight && above > 0 ? above : under}px`;
    };
  }

  /**
   * Draw a specification of Vega in a node, in the frame of a chart.
   * @param {Element} node what it stands in, alone.
   * @param {{kind: string, title: string, description: string, under: string, mode: string, spec: (width: number) => object,
   *   resize: (view: object, width: number) => object, tell: Function, open: (datum: object) => void,
   *   switches: Element[], legend: Element, table: () => object, ready: (view: object) => void}} chart
   *   `under` names the axis below: no name from outside goes into a specification but as data, as Vega-Lite takes some
   *   (`constructor`) for its own. `table` gives site.grid() what stands in the numbers' table, all of the rows.
   */
  async function draw(node, chart) {
    shown.get(node)?.();
    document.querySelector('.chart-tip')?.toggleAttribute('hidden', true);
    const drawing = site.el('div', { class: 'drawing', role: 'img', 'aria-label': chart.description });
    const head = site.el('figcaption', {}, site.el('span', { class: 'chart-title' }, chart.title), ...(chart.switches ?? []));
    const figure = site.el('figure', { class: 'chart', 'data-chart': chart.kind }, head, drawing,
      chart.under && site.el('div', { class: 'axis-title' }, chart.under), chart.legend,
      chart.table && numbers(chart.table));
    node.replaceChildren(figure);
    if (!site.info.charts) {
      figure.querySelector('.axis-title')?.remove();
      for (const one of [drawing, chart.legend, ...(chart.switches ?? [])]) one?.remove();
      if (!said) figure.before(site.el('p', { class: 'note no-charts' }, 'Charts are not drawn: ', site.el('code', {}, WITHOUT)));
      said = true;
      return;
    }
    let gone = false;
    shown.set(node, () => { gone = true; });
    const embed = await load();
    await turn();
    if (gone) return;
    const canvas = drawing.appendChild(site.el('div', {}));
    const refuse = () => Promise.reject(new Error('a chart loads nothing'));
    const { view, finalize } = await embed(canvas, chart.spec(drawing.clientWidth || 600), {
      mode: chart.mode ?? 'vega-lite', ast: true, actions: false, renderer: 'svg', defaultStyle: false, hover: false,
      config: CONFIG, tooltip: tooltip(chart.tell), loader: { load: refuse, sanitize: refuse, http: refuse, file: refuse },
    });
    // The frame says what the drawing is; a second role inside of it would be read as well.
    for (const name of ['role', 'aria-label', 'aria-roledescription', 'tabindex']) canvas.removeAttribute(name);
    canvas.firstElementChild?.setAttribute('aria-hidden', 'true');
    canvas.querySelector('svg')?.setAttribute('aria-hidden', 'true');
    if (chart.open) view.addEventListener('click', (_, item) => item?.datum && chart.open(item.datum));
    const reach = () => { // what is wider than its frame is scrolled, also by keyboard
      if (drawing.scrollWidth > drawing.clientWidth + 1) drawing.tabIndex = 0;
      else drawing.removeAttribute('tabindex');
    };
    let last = drawing.clientWidth;
    const observer = new ResizeObserver(() => {
      const width = drawing.clientWidth;
      if (!width || width === last) return;
      last = width;
      (chart.resize ?? ((which) => which.width(width)))(view, width).runAsync().then(reach);
    });
    observer.observe(drawing);
    const away = () => { gone = true; observer.disconnect(); finalize(); };
    if (gone) away();
    else shown.set(node, away);
    chart.ready?.(view);
    reach();
  }

  function numbers(table) {
    const details = site.el('details', { class: 'numbers' }, site.el('summary', {}, 'The numbers as a table'));
    details.addEventListener('toggle', () => {
      if (details.childElementCount > 1) return;
      const { rows, ...rest } = table();
      details.append(site.grid({ ...rest, rows: rows.slice(0, ROWS) }));
      if (rows.length > ROWS) details.append(site.el('p', { class: 'note' }, `${rows.length - ROWS} more rows are not shown.`));
    });
    return details;
  }

  /** A box to be ticked, which draws again. */
  function toggle(text, on, then) {
    const box = site.el('input', { type: 'checkbox' });
    box.checked = on;
    box.addEventListener('change', () => then(box.checked));
    return site.el('label', { class: 'switch' }, box, ` ${text}`);
  }

  function swatch(place) {
    const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
    const line = svg.appendChild(document.createElementNS('http://www.w3.org/2000/svg', 'line'));
    for (const [name, value] of Object.entries({ viewBox: '0 0 28 10', width: 28, height: 10, 'aria-hidden': 'true' })) {
      svg.setAttribute(name, value);
    }
    const drawn = { x1: 0, x2: 28, y1: 5, y2: 5, stroke: colour(place), 'stroke-width': 3, 'stroke-dasharray': dash(place).join(' ') };
    for (const [name, value] of Object.entries(drawn)) line.setAttribute(name, value);
    return svg;
  }

  /** A scale for numbers; what is all the same stands in its middle. */
  function scale(log, padding, values) {
    const [least, most] = spread(values);
    if (least === most) return { domain: [least - Math.abs(least || 1) / 10, most + Math.abs(most || 1) / 10], nice: false };
    return { ...(log ? { type: 'log', nice: false } : { zero: false }), padding };
  }
  /** Lets what is drawn be told about beside the pointer. */
  const TOLD = { value: ' ' };
  const AROUND = { left: 2, top: 6, right: 8, bottom: 8 };

  /**
   * Draw numbers over steps, a line for each series.
   * @param {Element} node
   * @param {{title: string, series: {name: string, steps: number[], values: number[], rid?: string}[], x?: string}} chart
   * @param {boolean} [log] whether the scale is logarithmic at first.
   */
  async function lines(node, { title, series, x = 'step' }, log = false) {
    const all = series.flatMap((one) => one.values);
    const rows = series.flatMap((one, s) => one.values.map((value, i) => {
      const y = finite(value);
      return { s, x: one.steps[i], y: log && y !== null && y <= 0 ? null : y };
    }));
    const every = Math.ceil(rows.length / ANSWERING);
    const places = series.map((_, s) => s);
    const by = (range) => ({ field: 's', type: 'nominal', scale: { domain: places, range: places.map(range) }, legend: null });
    const [from, to] = spread(rows.map((row) => row.x));
    const where = {
      tooltip: TOLD,
      x: { field: 'x', type: 'quantitative', scale: { domain: [from, to], nice: false }, axis: { title: null, grid: false, tickCount: 6 } },
      y: { field: 'y', type: 'quantitative', scale: scale(log, 4, all), axis: { title: null, tickCount: 6 } },
      color: by(colour),
    };
    const spec = (width) => ({
      width, height: 260, padding: AROUND, autosize: { type: 'fit', contains: 'padding' }, data: { values: rows },
      params: [{ name: 'hot', value: -1 }],
      layer: [
        {
          mark: { type: 'line', strokeWidth: 2, invalid: 'break-paths-show-path-domains' },
          encoding: { ...where, strokeDash: by(dash), opacity: { condition: { test: 'hot < 0 || datum.s === hot', value: 1 }, value: 0.15 } },
        },
        {
          data: { values: rows.filter((row, i) => row.y !== null && i % every === 0) },
          params: [{ name: 'at', select: { type: 'point', on: 'pointerover', clear: 'pointerout' } }],
          mark: { type: 'point', filled: true, size: rows.length > 200 ? 70 : 45 },
          encoding: { ...where, opacity: { condition: { param: 'at', empty: false, value: 1 }, value: rows.length > 60 ? 0 : 1 } },
        },
      ],
    });
    let view = null;
    const hot = (s) => view?.signal('hot', s).runAsync();
    const legend = site.el('ul', { class: 'legend' }, ...series.map((one, s) => {
      const item = site.el('li', {}, swatch(s), ' ', one.rid ? site.run(one.rid, one.name) : one.name);
      for (const event of ['pointerenter', 'focusin']) item.addEventListener(event, () => hot(s));
      for (const event of ['pointerleave', 'focusout']) item.addEventListener(event, () => hot(-1));
      return item;
    }));
    const what = series.some((one) => one.rid) ? 'run' : 'metric';
    const name = series.length === 1 ? series[0].name : `${series.length} ${what}s`;
    const [least, most] = spread(all);
    await draw(node, {
      kind: 'lines', title, spec, under: x, legend: series.length > 1 ? legend : null, ready: (made) => { view = made; },
      description: `${title} over ${x}, ${name}: ${site.number(least)} to ${site.number(most)}`,
      switches: wide(all, 10) ? [toggle('logarithmic', log, (on) => lines(node, { title, series, x }, on))] : [],
      tell: (row, mark) => (row.s === undefined ? null
        : mark === 'line' ? [series[row.s].name] : [series[row.s].name, `${x} ${row.x}: ${site.number(row.y)}`]),
      table: () => ({
        caption: title, headings: [what, x, 'value'], numeric: [1, 2],
        rows: series.flatMap((one) => one.values.map((value, i) => [
          one.rid ? site.run(one.rid, one.name) : one.name, String(one.steps[i]), site.number(value)])),
      }),
    });
  }

  /**
   * Draw a point for each run: numbers lie on a scale, all else in columns by what it says.
   * @param {Element} node
   * @param {{title: string, x: string, y: string, points: {x: *, y: number, rid: string}[]}} chart
   * @param {{x?: boolean, y?: boolean}} [log] which scales are logarithmic; that of wide parameters is at first.
   */
  async function points(node, { title, x, y, points: all }, log = {}) {
    const drawn = all.filter((one) => one.x !== null && one.x !== undefined && finite(one.y) !== null);
    if (!drawn.length) {
      shown.get(node)?.();
      node.replaceChildren(site.el('p', { class: 'note' }, `No run has both ${x} and ${y}.`));
      return;
    }
    const numeric = drawn.every((one) => finite(one.x) !== null);
    const words = numeric ? [] : [...new Set(drawn.map((one) => site.value(one.x)))];
    const [wideX, wideY] = [numeric && wide(drawn.map((one) => one.x)), wide(drawn.map((one) => one.y), 10)];
    const logs = { x: wideX, y: false, ...log };
    const spec = (width) => ({
      width, height: 280, padding: AROUND, autosize: { type: 'fit', contains: 'padding' },
      data: { values: drawn.map((one, i) => ({ i, x: numeric ? one.x : words.indexOf(site.value(one.x)), y: one.y })) },
      params: [
        { name: 'words', value: words },
        { name: 'at', select: { type: 'point', fields: ['i'], on: 'pointerover', clear: 'pointerout' } },
      ],
      mark: { type: 'point', filled: true, color: colour(0), cursor: 'pointer' },
      encoding: {
        tooltip: TOLD,
        x: numeric
          ? { field: 'x', type: 'quantitative', scale: scale(logs.x, 12, drawn.map((one) => one.x)), axis: { title: null, grid: false, tickCount: 6 } }
          : { field: 'x', type: 'ordinal', axis: { title: null, labelExpr: 'words[datum.value]', labelAngle: words.length > 3 ? -40 : 0 } },
        y: { field: 'y', type: 'quantitative', scale: scale(logs.y, 12, drawn.map((one) => one.y)), axis: { title: null, tickCount: 6 } },
        size: { condition: { param: 'at', empty: false, value: 160 }, value: 70 },
        opacity: { condition: { param: 'at', empty: false, value: 1 }, value: 0.7 },
      },
    });
    const again = (change) => points(node, { title, x, y, points: all }, { ...logs, ...change });
    await draw(node, {
      kind: 'points', title, spec, under: x, open: ({ i }) => open(drawn[i]?.rid),
      description: `${y} against ${x}: a point for each of ${site.counted(drawn.length, 'runs')}`,
      switches: [
        ...(wideX ? [toggle(`logarithmic ${x}`, logs.x, (on) => again({ x: on }))] : []),
        ...(wideY ? [toggle(`logarithmic ${y}`, logs.y, (on) => again({ y: on }))] : []),
      ],
      tell: ({ i }) => drawn[i] && [drawn[i].rid, `${x}: ${site.value(drawn[i].x)}`, `${y}: ${site.number(drawn[i].y)}`],
      table: () => ({
        caption: title, headings: ['run', x, y], numeric: numeric ? [1, 2] : [2],
        rows: all.map((one) => [site.run(one.rid, one.rid), site.value(one.x), site.number(one.y)]),
      }),
    });
  }

  /** Go to the page of a run, if the site has one. */
  function open(rid) {
    const page = pageOf(rid);
    if (page) window.location.href = page;
  }

  return { draw, lines, points, finite, spread, wide, colour, open };
})();
