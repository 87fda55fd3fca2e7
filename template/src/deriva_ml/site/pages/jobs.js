'use strict';
/** A run's place in a sweep, and the jobs of one. */
/* global site, charts, previews */
const jobs = (() => {
  const { el } = site;
  /** Jobs that are there at first. */
  const JOBS = 100;
  /** Axes of the chart of a sweep. */
  const AXES = 9;

  /** The sweeps that a run is part of, and the jobs beside it. @param {any} run */
  async function placed(run) {
    const lines = await Promise.all(run.parents.map(async ([parent, place]) => {
      const about = ['Part of ', site.run(parent), place === null ? '' : `: job ${place + 1}`];
      if (site.known(parent) !== 'run') return el('p', {}, about);
      const { children } = await site.load(`runs/${parent}`);
      const at = children.findIndex(([one]) => one === run.rid);
      const beside = (step, text) => {
        const other = children[at + step];
        return at >= 0 && other ? el('li', {}, site.run(other[0], `${text}: ${other[0]}`)) : null;
      };
      return [el('p', {}, about, `, one of ${site.number(children.length)}`), el('ul', { class: 'inline' }, beside(-1, 'Previous'), beside(1, 'Next'))];
    }));
    return lines;
  }

  /**
   * The jobs of a sweep, with what they were given and came to.
   * @param {any} run @param {(() => any)[]} drawings takes what draws a chart once it is in the page
   */
  async function listed(run, drawings) {
    const runs = await site.load('runs');
    const index = new Map(runs.rid.map((one, at) => [one, at]));
    const rows = run.children.map(([one, place]) => ({ one, place, at: index.get(one) }));
    const known = rows.filter(({ at }) => at !== undefined);
    const columns = runs.columns.filter(({ kind, values }) => {
      const found = known.map(({ at }) => JSON.stringify(values[at] ?? null));
      return found.some((one) => one !== 'null') && (kind === 'metric' || new Set(found).size > 1);
    });
    const number = ({ values }) => known.every(({ at }) => values[at] === null || values[at] === undefined || Number.isFinite(values[at]));
    const cell = (column, at) => {
      const value = at === undefined ? null : column.values[at] ?? null;
      return value === null ? '' : column.kind === 'metric' ? site.number(value) : previews.long(site.value(value));
    };
    const body = el('tbody');
    const row = ({ one, place, at }) => el('tr', {},
      el('th', { scope: 'row' }, site.run(one)), el('td', { class: 'number' }, place === null ? '' : site.number(place + 1)),
      el('td', {}, at === undefined ? '' : site.badge(runs.status[at])),
      columns.map((column) => el('td', { class: number(column) ? 'number' : null }, cell(column, at))),
      el('td', { class: 'number' }, at === undefined ? '' : site.seconds(runs.seconds[at])));
    const headings = [['Run'], ['Job', true], ['Status'], ...columns.map((one) => [one.name, number(one)]), ['Duration', true]];
    const [, button] = previews.inSteps(body, rows, JOBS, row, 'jobs');
    const count = new Map();
    known.forEach(({ at }) => count.set(runs.status[at], (count.get(runs.status[at]) ?? 0) + 1));
    return [
      el('p', {}, `${site.counted(rows.length, 'jobs')}: `, [...count].map(([status, n]) => [site.badge(status), ` ${site.number(n)} `])),
      site.scrolling('Jobs of the sweep', el('table', { class: 'grid' }, el('caption', { class: 'unseen' }, 'Jobs with what they were given, and what they came to'),
        el('thead', {}, el('tr', {}, headings.map(([text, right]) => el('th', { scope: 'col', class: right ? 'number' : null }, text)))), body)),
      button,
      across(columns, known.map(({ at }) => at), runs.rid, drawings),
    ];
  }

  /** What most jobs were given and came to, a line for each; the last axis is that of a metric. */
  function across(columns, at, rids, drawings) {
    const axes = columns.map(({ name, kind, values }) => ({
      name, kind, values: at.map((i) => (kind === 'metric' && values[i] !== null ? Number(values[i]) : values[i])),
    })).filter(({ values }) => new Set(values.map((one) => JSON.stringify(one))).size > 1 && 2 * values.filter((one) => one !== null).length >= values.length);
    const [given, measured] = [axes.filter((one) => one.kind !== 'metric'), axes.filter((one) => one.kind === 'metric')];
    if (!given.length || !measured.length) return null;
    const node = el('div');
    const shown = [...given, ...measured].slice(0, AXES - 1).filter((one) => one !== measured[0]);
    drawings.push(() => previews.charted(node, charts.parallel(node, { title: 'What the jobs were given, and what they came to', axes: [...shown, measured[0]], rids: at.map((i) => rids[i]) })));
    return node;
  }

  return { placed, listed };
})();
