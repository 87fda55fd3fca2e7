// The graph of a lineage: records in columns before and after one of them, with arrows to what came of each.
'use strict';
/* global site, charts */

{
  const [HIGH, DOWN, FAR] = [44, 52, 150];
  /** How wide a record is, and the room between columns at least: on a screen, and on a phone. */
  const ROOM = { wide: [172, 46], narrow: [128, 32] };
  const MARGIN = 10;
  const ROUNDS = 8;
  /** Columns, at most. */
  const LONGEST = 80;
  /** Arrows that have their label beside them, at most. */
  const LABELLED = 40;
  const SHAPES = ['circle', 'square', 'diamond'];

  /**
   * Columns of records: each stands before all that came of it, and as near to the chosen one as that lets it.
   * @param {number[]} sides of each record: -1 what the chosen one came from, 1 what came of it, 0 itself.
   * @param {[number, number][]} edges places in `sides`.
   * @returns {number[]} the column of each; that of the chosen one is 0.
   */
  function levels(sides, edges) {
    const found = [...sides];
    // A cycle, which no honest record has, would go on for ever.
    for (let round = 0, changed = true; changed && round < LONGEST; round += 1) {
      changed = false;
      for (const [from, to] of edges) {
        if (found[to] > found[from]) continue;
        if (sides[from] < 0 && sides[to] <= 0) found[from] = found[to] - 1;
        else if (sides[to] > 0 && sides[from] >= 0) found[to] = found[from] + 1;
        else continue;
        changed = true;
      }
    }
    return found;
  }

  /**
   * How far down each stands in its column, in rows from the middle, for few arrows to cross: where those are that it is
   * joined to (Sugiyama's barycentres), from column to column, there and back.
   * @param {number[]} at the column of each.
   * @param {[number, number][]} edges places in `at`.
   * @param {number[]} sizes how many rows each takes.
   */
  function ordered(at, edges, sizes) {
    const columns = new Map();
    at.forEach((level, i) => columns.set(level, [...(columns.get(level) ?? []), i]));
    const order = [...columns.keys()].sort((a, b) => a - b);
    const beside = at.map(() => []);
    for (const [from, to] of edges) {
      beside[from].push(to);
      beside[to].push(from);
    }
    const down = at.map(() => 0);
    const settle = (column) => {
      let row = -column.reduce((sum, i) => sum + sizes[i], 0) / 2;
      for (const i of column) {
        down[i] = row + sizes[i] / 2;
        row += sizes[i];
      }
    };
    columns.forEach(settle);
    for (let round = 0; round < ROUNDS; round += 1) {
      const forward = round % 2 === 0;
      for (const level of forward ? order : [...order].reverse()) {
        const wished = new Map(columns.get(level).map((i) => {
          const nearer = beside[i].filter((other) => (forward ? at[other] < level : at[other] > level));
          return [i, nearer.length ? nearer.reduce((sum, other) => sum + down[other], 0) / nearer.length : down[i]];
        }));
        settle(columns.get(level).sort((a, b) => wished.get(a) - wished.get(b)));
      }
    }
    return down;
  }

  /**
   * A layout without its width: columns and rows of records, and for each arrow the places where it passes columns.
   * @param {{nodes: {side: number}[], edges: [number, number, string][]}} graph
   */
  function layered({ nodes, edges }) {
    const at = levels(nodes.map((node) => node.side), edges);
    const sizes = nodes.map(() => 1);
    const pieces = [];
    const passes = edges.map(([from, to]) => {
      const passed = [];
      for (let level = at[from] + 1; level < at[to]; level += 1) {
        passed.push(at.push(level) - 1);
        sizes.push(0.4);
      }
      const way = [from, ...passed, to];
      way.slice(1).forEach((next, i) => pieces.push([way[i], next]));
      return passed;
    });
    return { at, passes, down: ordered(at, pieces, sizes) };
  }

  /** Where everything stands in a drawing of a width; it is wider where the columns need it. */
  function placed({ nodes, edges, focus }, { at, passes, down }, width) {
    const [wide, near] = width < 600 ? ROOM.narrow : ROOM.wide;
    const first = Math.min(...at);
    const columns = Math.max(...at) - first + 1;
    const room = columns > 1 ? (width - 2 * MARGIN - columns * wide) / (columns - 1) : near;
    const step = wide + Math.min(FAR, Math.max(near, room));
    const needed = 2 * MARGIN + wide + (columns - 1) * step;
    const left = Math.max(0, (width - needed) / 2) + MARGIN;
    const top = Math.min(...down);
    const x = (i) => left + (at[i] - first) * step;
    const y = (i) => MARGIN + (down[i] - top) * DOWN + HIGH / 2;
    const boxes = nodes.map((node, i) => ({ ...node, i, wide, x: x(i), y: y(i) - HIGH / 2, chosen: node.rid === focus }));
    const arrows = edges.map(([from, to, label], e) => {
      const stops = [...passes[e].map((i) => [x(i), y(i), x(i) + wide]), [x(to) - 8, y(to), x(to) - 8]];
      let d = `M${x(from) + wide},${y(from)}`;
      let [px, py] = [x(from) + wide, y(from)];
      for (const [nx, ny, beyond] of stops) {
        const bend = Math.max(24, Math.abs(nx - px) / 2);
        d += `C${px + bend},${py} ${nx - bend},${ny} ${nx},${ny}L${beyond},${ny}`;
        [px, py] = [beyond, ny];
      }
      // Nearer to where it leads: what leaves one record together would stand on each other.
      const [[nx, ny]] = stops;
      return { d, x: px, y: py, mx: x(from) + wide + 0.62 * (nx - x(from) - wide), my: y(from) + 0.68 * (ny - y(from)), t: label, limit: near, from, to };
    });
    const height = 2 * MARGIN + HIGH + (Math.max(...down) - top) * DOWN;
    return { boxes, arrows, width: Math.max(width, needed), height, middle: (boxes.find((one) => one.chosen)?.x ?? 0) + wide / 2 };
  }

  const is = (field) => ({ field });
  const value = (what) => ({ value: what });

  function specification({ boxes, arrows, width, height }) {
    const kind = { signal: "datum.kind === 0 ? 'var(--c1)' : datum.kind === 1 ? 'var(--c3)' : 'var(--c4)'" };
    const near = { signal: 'hover < 0 || datum.from === hover || datum.to === hover ? 1 : 0.25' };
    const text = (field, dy, more) => ({
      type: 'text', from: { data: 'nodes' }, interactive: false,
      encode: { update: { text: is(field), x: { field: 'x', offset: 32 }, y: { field: 'y', offset: dy }, limit: { signal: 'datum.wide - 42' }, fill: value('var(--text)'), fontSize: value(12), ...more } },
    });
    const label = (more) => ({
      type: 'text', from: { data: 'labels' }, interactive: false,
      encode: { update: { text: is('t'), x: is('mx'), y: is('my'), align: value('center'), baseline: value('middle'), limit: is('limit'), fontSize: value(11), fill: value('var(--text)'), ...more } },
    });
    return {
      width, height, autosize: 'none',
      signals: [{ name: 'hover', value: -1, on: [{ events: '@record:pointerover', update: 'datum.i' }, { events: '@record:pointerout', update: '-1' }] }],
      data: [
        { name: 'nodes', values: boxes }, { name: 'edges', values: arrows },
        { name: 'labels', source: 'edges', transform: [{ type: 'filter', expr: `datum.t && ${arrows.length <= LABELLED}` }] },
      ],
      marks: [
        { type: 'path', from: { data: 'edges' }, encode: { update: { path: is('d'), stroke: value('var(--edge)'), strokeWidth: value(1.5), strokeOpacity: near, tooltip: value(' ') } } },
        { type: 'symbol', from: { data: 'edges' }, interactive: false, encode: { update: { shape: value('triangle-right'), size: value(90), x: { field: 'x', offset: 3 }, y: is('y'), fill: value('var(--edge)'), fillOpacity: near } } },
        label({ stroke: value('var(--raised)'), strokeWidth: value(4), strokeJoin: value('round') }), label({}),
        {
          type: 'rect', name: 'record', from: { data: 'nodes' },
          encode: { update: {
            x: is('x'), y: is('y'), width: is('wide'), height: value(HIGH), fill: value('var(--raised)'), stroke: kind,
            strokeWidth: { signal: 'datum.chosen ? 4 : hover === datum.i ? 3 : 1.5' }, cornerRadius: { signal: 'datum.kind === 0 ? 22 : datum.kind === 1 ? 2 : 8' },
            cursor: value('pointer'), tooltip: value(' '),
          } },
        },
        { type: 'symbol', from: { data: 'nodes' }, interactive: false, encode: { update: { shape: { signal: `${JSON.stringify(SHAPES)}[datum.kind]` }, size: value(120), x: { field: 'x', offset: 18 }, y: { field: 'y', offset: HIGH / 2 }, fill: kind } } },
        text('label', 18, { fontWeight: value('bold') }), text('below', 34, { fontSize: value(11) }),
      ],
    };
  }

  /**
   * Draw the graph of a lineage.
   * @param {Element} node
   * @param {{title: string, nodes: {rid: string, kind: number, label: string, side: number}[],
   *   edges: [number, number, string][], focus: string, select: (rid: string) => void}} graph kinds: 0 a run, 1 a file,
   *   2 a dataset; sides: -1 before `focus`, 1 after it, 0 itself; edges lead between places in `nodes`, from what came first.
   */
  charts.graph = async (node, graph) => {
    const kinds = ['run', 'file', 'dataset'];
    const nodes = graph.nodes.map((one) => ({ ...one, below: `${kinds[one.kind]} ${one.rid}` }));
    const told = { ...graph, nodes };
    const laid = layered(told);
    const named = (i) => `${nodes[i].below} ${nodes[i].label}`;
    const show = (view, layout) => {
      const drawing = node.querySelector('.drawing');
      drawing.scrollLeft = layout.middle - drawing.clientWidth / 2;
      return view;
    };
    let layout = null;
    await charts.draw(node, {
      kind: 'graph', mode: 'vega', title: graph.title,
      description: `${graph.title}: ${site.counted(nodes.length, 'records')}, ${site.counted(graph.edges.length, 'arrows')}; the lists below say the same`,
      spec: (width) => { layout = placed(told, laid, width); return specification(layout); },
      resize: (view, width) => {
        layout = placed(told, laid, width);
        return show(view.data('nodes', layout.boxes).data('edges', layout.arrows).width(layout.width).height(layout.height), layout);
      },
      open: (datum) => datum.rid && graph.select(datum.rid),
      tell: (datum) => (datum.rid ? [datum.label, datum.below]
        : datum.d ? [named(datum.from), `→ ${named(datum.to)}`, ...(datum.t ? [datum.t] : [])] : null),
      ready: (view) => show(view, layout),
    });
  };
}
