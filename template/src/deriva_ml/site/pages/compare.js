// The page of a comparison: what chosen runs differ in, in one table, and charts of their metrics.
'use strict';
/* global site, charts, differing */

{
  /** Runs that stand in the table, and runs that charts show, at most. */
  const [BESIDE, DRAWN] = [50, 1000];
  /** Charts of metrics that are drawn at once; further ones when they are asked for. */
  const AT_ONCE = 4;
  const AXES = 12;
  const OFFERED = 30;

  const failed = (error) => site.fail(error.message);
  const chosen = () => [...new Set(site.place().split(',').map((one) => one.trim()).filter(Boolean))];
  const go = (rids) => { window.location.hash = rids.map(encodeURIComponent).join(','); };

  /** The runs that are asked for; in the place of a sweep, its jobs in their order. */
  async function expanded(runs, asked) {
    const places = new Map(runs.rid.map((rid, i) => [rid, i]));
    const [rids, sweeps] = [[], []];
    const known = asked.filter((rid) => places.has(rid));
    for (const rid of known) {
      const { children } = runs.kind[places.get(rid)] === 'sweep' ? await site.load(`runs/${rid}`) : { children: [] };
      const jobs = children.map(([job]) => job).filter((job) => places.has(job));
      if (jobs.length) sweeps.push([rid, jobs.length]);
      rids.push(...(jobs.length ? jobs : [rid]));
    }
    return { rids: [...new Set(rids)], sweeps, unknown: asked.filter((rid) => !places.has(rid)), places };
  }

  /** A field that adds a run, found by RID, workflow or description. */
  function adder(runs, rids) {
    const offered = site.el('datalist', { id: 'offered' });
    const field = site.el('input', { type: 'search', id: 'add', list: 'offered', autocomplete: 'off', spellcheck: 'false', placeholder: 'RID, workflow or description' });
    const matches = () => {
      const text = site.folded(field.value.trim());
      const found = [];
      for (let i = 0; i < runs.rid.length && found.length < OFFERED; i += 1) {
        const said = `${runs.rid[i]} ${runs.workflow[i]} ${runs.description[i]}`;
        if (site.folded(said).includes(text) && !rids.includes(runs.rid[i])) found.push(i);
      }
      return found;
    };
    const offer = () => offered.replaceChildren(...matches().map((i) => site.el('option',
      { value: runs.rid[i], label: `${runs.workflow[i]}, ${site.when(runs.when[i])} ${runs.description[i]}` })));
    field.addEventListener('input', offer);
    field.addEventListener('focus', offer);
    const form = site.el('form', { class: 'controls', role: 'search' }, site.el('label', { for: 'add' }, 'Add a run '), field, offered, ' ',
      site.el('button', { type: 'submit' }, 'Add'));
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      const text = field.value.trim();
      const found = matches();
      const exact = runs.rid.find((rid) => rid.toLowerCase() === text.toLowerCase());
      const rid = exact ?? (text && found.length ? runs.rid[found[0]] : undefined);
      if (rid) go([...rids, rid]);
    });
    return form;
  }

  function head(run, place, rids) {
    const button = (word, title, then) => {
      const made = site.el('button', { type: 'button', 'aria-label': `${title} ${run.rid}`, title }, word);
      made.addEventListener('click', then);
      return made;
    };
    const others = rids.filter((rid) => rid !== run.rid);
    return site.el('th', { scope: 'col' },
      site.el('span', { class: 'head-rid' }, site.run(run.rid, run.rid), ' ',
        place ? button('⇤', 'Compare with', () => go([run.rid, ...others])) : '',
        button('×', 'Remove', () => go(others))),
      site.el('span', {}, run.workflow.name), site.el('span', {}, site.when(run.when)),
      site.el('span', {}, site.seconds(run.seconds), ' ', site.badge(run.status)));
  }

  /** The table; `all` shows also what is the same, `closed` names the sections whose rows are hidden. */
  function table(runs, rids, all, closed) {
    const made = site.el('table', { class: 'compared' }, site.el('caption', {}, all ? 'What the runs are, and what differs' : 'What differs'),
      site.el('thead', {}, site.el('tr', {}, site.el('td', {}), ...runs.map((run, i) => head(run, i, rids)))));
    let count = 0;
    for (const { name, title, rows } of differing.sections(runs)) {
      const shown = rows.filter((row) => all || row.differs);
      if (!shown.length) continue;
      count += shown.length;
      const button = site.el('button', { type: 'button', 'aria-expanded': String(!closed.has(name)) }, `${title} (${shown.length})`);
      const body = site.el('tbody', { 'data-section': name, class: closed.has(name) ? 'closed' : '' }, site.el('tr', { class: 'section' },
        site.el('th', { scope: 'rowgroup', colspan: String(runs.length + 1) }, button, site.el('span', { class: 'on-paper' }, title))));
      button.addEventListener('click', () => {
        const open = !body.classList.toggle('closed');
        closed[open ? 'delete' : 'add'](name);
        button.setAttribute('aria-expanded', String(open));
      });
      body.append(...shown.map((row) => site.el('tr', { class: row.differs ? 'differs' : '' }, site.el('th', { scope: 'row' }, row.name),
        ...row.cells.map((cell, i) => site.el('td', { class: [row.differs && i && !row.same(i) ? 'other' : '', row.numeric ? 'number' : ''].join(' ').trim() },
          ...(cell === null ? ['-'] : cell))))));
      made.append(body);
    }
    return count ? boxed(made)
      : site.el('p', { class: 'note' }, runs.length > 1 ? 'Nothing differs.' : 'A comparison is of two runs or more: add one.');
  }

  function boxed(made) {
    const box = site.scrolling('The comparison', made);
    box.classList.add('compared-box');
    return box;
  }

  /** Metrics over steps, a chart for each that has more than one value. */
  async function overSteps(runs, place) {
    const names = new Map();
    for (const run of runs) {
      for (const [name, { series }] of run.metrics) {
        if (series[0]?.length > 1) names.set(name, [...(names.get(name) ?? []), { name: run.rid, rid: run.rid, steps: series[0], values: series[1].map(Number) }]);
      }
    }
    if (!names.size) return;
    const draw = (into, [title, series]) => charts.lines(into.appendChild(site.el('div', {})), { title, series });
    const grid = site.el('div', { class: 'charts' });
    const [first, more] = [[...names].slice(0, AT_ONCE), [...names].slice(AT_ONCE)];
    place.append(site.section('Metrics over steps', grid));
    await Promise.all(first.map((one) => draw(grid, one)));
    if (!more.length) return;
    const button = site.el('button', { type: 'button' }, `Draw ${more.length} more`);
    grid.after(button);
    button.addEventListener('click', () => {
      button.remove();
      Promise.all(more.map((one) => draw(grid, one))).catch(failed);
    });
  }

  function chooser(id, text, names, then) {
    const select = site.el('select', { id }, ...names.map((name, i) => site.el('option', { value: String(i) }, name)));
    select.addEventListener('change', () => then());
    return [select, site.el('label', { for: id }, text), ' ', select, ' '];
  }

  /** A metric against a parameter, and parallel coordinates; of what differs among the runs. */
  async function acrossRuns(runs, at, place) {
    const columns = runs.columns.map(({ name, kind, values }) => ({
      name, kind, values: at.map((i) => (kind === 'metric' && values[i] !== null ? Number(values[i]) : values[i])),
    })).filter(({ values }) => new Set(values.map((one) => JSON.stringify(one))).size > 1);
    const metrics = columns.filter((one) => one.kind === 'metric');
    const given = columns.filter((one) => one.kind !== 'metric');
    if (!metrics.length || at.length < 2) return;
    const [points, lines] = [site.el('div', { id: 'points' }), site.el('div', { id: 'parallel' })];
    const [metric, ...ofMetric] = chooser('metric', 'Metric', metrics.map((one) => one.name), () => draw().catch(failed));
    const [parameter, ...ofParameter] = chooser('parameter', 'against', [...given, ...metrics].map((one) => one.name), () => draw().catch(failed));
    const note = site.el('p', { class: 'note' });
    // At first what most runs have.
    const most = (all, count) => String(all.reduce((best, one, i) => (count(one) > count(all[best]) ? i : best), 0));
    metric.value = most(metrics, ({ values }) => values.filter((one) => one !== null).length);
    const measured = metrics[Number(metric.value)].values;
    parameter.value = most(given, ({ values }) => values.filter((one, i) => one !== null && measured[i] !== null).length);
    /** Whether more than a few of the runs have it: lines would end at its axis. */
    const common = ({ values }) => 2 * values.filter((one) => one !== null).length >= values.length;
    async function draw() {
      const [y, x] = [metrics[Number(metric.value)], [...given, ...metrics][Number(parameter.value)]];
      const axes = [...[...given, ...metrics].filter((one) => one !== y && common(one)), y];
      const kept = [...axes.slice(0, AXES - 1), ...axes.slice(AXES - 1).slice(-1)];
      note.textContent = axes.length > kept.length ? `The first ${kept.length - 1} of ${axes.length - 1} axes are drawn, and the chosen metric.` : '';
      await charts.points(points, {
        title: `${y.name} against ${x.name}`, x: x.name, y: y.name, points: at.map((i, n) => ({ x: x.values[n], y: y.values[n], rid: runs.rid[i] })),
      });
      await charts.parallel(lines, { title: 'Parameters and metrics', axes: kept, rids: at.map((i) => runs.rid[i]) });
    }
    place.append(site.section('Across the runs', site.el('p', { class: 'controls' }, ...ofMetric, ...ofParameter), points, lines, note));
    await draw();
  }

  async function drawAll(details, runs, at, place) {
    await overSteps(details, place);
    if (place.isConnected) await acrossRuns(runs, at, place); // else others are compared meanwhile
  }

  const closed = new Set();
  let all = false;
  let turn = 0;

  site.start(async (content) => {
    const runs = await site.load('runs');

    async function show(moved) {
      turn += 1;
      const mine = turn;
      const { rids, sweeps, unknown, places } = await expanded(runs, chosen());
      const details = await Promise.all(rids.slice(0, BESIDE).map((rid) => site.load(`runs/${rid}`)));
      if (mine !== turn) return;
      site.title(rids.length ? `Comparison of ${site.number(rids.length)} runs` : 'Comparison');
      const box = site.el('input', { type: 'checkbox', id: 'all' });
      box.checked = all;
      const place = site.el('div', { id: 'compared' });
      const fill = () => place.replaceChildren(details.length ? table(details, rids, all, closed)
        : site.el('p', { class: 'note' }, 'Choose runs in the ', site.el('a', { href: 'index.html' }, 'table of runs'), ', or add them here.'));
      box.addEventListener('change', () => { all = box.checked; fill(); });
      const notes = [
        ...unknown.map((rid) => `${rid} is not among the runs of this site.`),
        ...sweeps.map(([rid, count]) => `${rid} is a sweep: its ${count} runs are compared.`),
        rids.length > BESIDE ? `The table shows the first ${BESIDE} of ${rids.length} runs; the charts across runs show ${Math.min(rids.length, DRAWN)}.` : '',
      ].filter(Boolean);
      const drawn = site.el('div', { id: 'charts' });
      const had = document.activeElement?.id === 'add' ? 'add' : 'main';
      content.replaceChildren(adder(runs, rids), site.el('div', { role: 'status', id: 'said' }, ...notes.map((note) => site.el('p', { class: 'note' }, note))),
        site.el('p', { class: 'controls' }, site.el('label', { class: 'switch' }, box, ' also what is the same')), place, drawn);
      fill();
      if (moved) document.getElementById(had).focus({ preventScroll: true });
      drawAll(details, runs, rids.slice(0, DRAWN).map((rid) => places.get(rid)), drawn).catch(failed);
    }

    await show(false);
    return () => show(true);
  });
}
