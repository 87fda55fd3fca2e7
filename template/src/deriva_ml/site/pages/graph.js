// The graph of a lineage: records in columns by their distance from one of them, with arrows to what came of each.
'use strict';
/* global site, charts */

{
  const [HIGH, DOWN, FAR] = [44, 52, 150];
  /** How wide a record is, and the room between columns at least: on a screen, and on a phone. */
  const ROOM = { wide: [164, 46], narrow: [128, 32] };
  const MARGIN = 10;
  const ROUNDS = 6;
  /** Arrows that have their label beside them, at most. */
  const LABELLED = 40;
  const SHAPES = ['circle', 'square', 'diamond'];

  /**
   * Place records in columns by level, in the order that lets few arrows cross: each goes where those are that it is
   * joined to (Sugiyama's barycentres), from column to column, there and back.
   * @param {number[]} levels the column of each record.
   * @param {[number, number][]} edges places in `levels`.
   * @returns {number[]} how far down each stands, in rows, from the middle.
   */
  function layered(levels, edges) {
    const columns = new Map();
    levels.forEach((level, i) => columns.set(level, [...(columns.get(level) ?? []), i]));
    const order = [...columns.keys()].sort((a, b) => a - b);
    const beside = levels.map(() => []);
    for (const [from, to] of edges) {
      if (levels[from] === levels[to]) continue;
      beside[from].push(to);
      beside[to].push(from);
    }
    const down = levels.map(() => 0);
    const settle = (column) => column.forEach((i, row) => { down[i] = row - (column.length - 1) / 2; });
    columns.forEach(settle);
    for (let round = 0; round < ROUNDS; round += 1) {
      const forward = round % 2 === 0;
      for (const level of forward ? order : [...order].reverse()) {
        const wished = new Map(columns.get(level).map((i) => {
          const nearer = beside[i].filter((other) => (levels[other] < level) === forward);
          return [i, nearer.length ? nearer.reduce((sum, other) => sum + down[other], 0) / nearer.length : down[i]];
        }));
        settle(columns.get(level).sort((a, b) => wished.get(a) - wished.get(b)));
      }
    }
    return down;
  }

  /** Where everything stands in a drawing of a width; it is wider where the columns need it. */
  function placed({ nodes, edges, focus }, down, width) {
    const levels = nodes.map((node) => node.level);
    const [wide, near] = width < 600 ? ROOM.narrow : ROOM.wide;
    const first = Math.min(...levels);
    const columns = Math.max(...levels) - first + 1;
    const room = columns > 1 ? (width - 2 * MARGIN - columns * wide) / (columns - 1) : near;
    const step = wide + Math.min(FAR, Math.max(near, room));
    const drawn = 2 * MARGIN + wide + (columns - 1) * step;
    const left = Math.max(MARGIN, (width - drawn) / 2 + MARGIN);
    const top = Math.min(...down);
    const at = nodes.map((node, i) => ({
      ...node, i, wide, x: left + (node.level - first) * step, y: MARGIN + (down[i] - top) * DOWN, chosen: node.rid === focus,
    }));
    const arrows = edges.map(([from, to, label]) => {
      const [x1, y1, x2, y2] = [at[from].x + wide, at[from].y + HIGH / 2, at[to].x - 8, at[to].y + HIGH / 2];
      const bend = Math.max(36, Math.abs(x2 - x1) / 2);
      // Over the records between, and not behind them.
      const lift = Math.abs(levels[to] - levels[from]) > 1 || x2 < x1 ? DOWN * 0.75 : 0;
      return {
        d: `M${x1},${y1}C${x1 + bend},${y1 - lift} ${x2 - bend},${y2 - lift} ${x2},${y2}`,
        x: x2, y: y2, mx: (x1 + x2) / 2, my: (y1 + y2) / 2 - lift * 0.75, t: label, limit: near, from, to,
      };
    });
    const height = 2 * MARGIN + HIGH + (Math.max(...down) - top) * DOWN;
    return { at, arrows, width: Math.max(width, drawn), height, middle: (at.find((one) => one.chosen)?.x ?? 0) + wide / 2 };
  }

  const is = (field) => ({ field });
  const value = (what) => ({ value: what });

  function specification({ at, arrows, width, height }) {
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
        { name: 'nodes', values: at }, { name: 'edges', values: arrows },
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
        text('label', 18, { fontWeight: value('bold') }), text('below', 34, {}),
      ],
    };
  }

  /**
   * Draw the graph of a lineage.
   * @param {Element} node
   * @param {{title: string, nodes: {rid: string, kind: number, label: string, level: number}[],
   *   edges: [number, number, string][], focus: string, select: (rid: string) => void}} graph kinds: 0 a run, 1 a file,
   *   2 a dataset; edges lead between places in `nodes`, from what came first.
   */
  charts.graph = async (node, graph) => {
    const kinds = ['run', 'file', 'dataset'];
    const nodes = graph.nodes.map((one) => ({ ...one, below: `${kinds[one.kind]} ${one.rid}` }));
    const told = { ...graph, nodes };
    const down = layered(nodes.map((one) => one.level), graph.edges);
    const named = (i) => `${nodes[i].below} ${nodes[i].label}`;
    const show = (view, layout) => {
      const drawing = node.querySelector('.drawing');
      drawing.scrollLeft = layout.middle - drawing.clientWidth / 2;
      return view;
    };
    let layout = null;
    await charts.draw(node, {
      kind: 'graph', mode: 'vega', title: graph.title,
      description: `${graph.title}: ${nodes.length} records, ${graph.edges.length} arrows; the lists below say the same`,
      spec: (width) => { layout = placed(told, down, width); return specification(layout); },
      resize: (view, width) => {
        layout = placed(told, down, width);
        return show(view.data('nodes', layout.at).data('edges', layout.arrows).width(layout.width).height(layout.height), layout);
      },
      open: (datum) => datum.rid && graph.select(datum.rid),
      tell: (datum) => (datum.rid ? [datum.label, datum.below]
        : datum.d ? [named(datum.from), `→ ${named(datum.to)}`, ...(datum.t ? [datum.t] : [])] : null),
      ready: (view) => show(view, layout),
    });
  };
  charts.layered = layered;
}
