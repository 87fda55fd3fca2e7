'use strict';
/** The table of runs, from which some are chosen to be compared. */
site.start(async (content) => {
  const { el } = site;
  /** More are not compared at once: each is a file to read. */
  const MOST = 200;
  const data = await site.load('runs');
  const { rid, kind, parents } = data;
  const count = rid.length;
  if (!count) return nothing();

  const had = (values) => values.filter((value) => value !== null);
  const numbers = (values) => had(values).length > 0 && had(values).every((value) => typeof value === 'number');
  const children = new Map();
  parents.forEach((some) => some.forEach((parent) => children.set(parent, (children.get(parent) ?? 0) + 1)));
  const jobs = (row) => children.get(rid[row]) ?? 0;
  const of = (sweep) => `index.html#${new URLSearchParams({ of: sweep })}`;

  // ------------------------------------------------------------------------------------------------- columns
  const varies = (values) => new Set(values).size > 1;
  const facts = [
    { name: 'RID', label: 'RID', values: rid, cell: choice },
    {
      name: 'when', label: 'When (UTC)', values: data.when, key: 'when',
      cell: (row) => site.when(data.when[row]).replace(' UTC', ''),
    },
    { name: 'status', label: 'Status', values: data.status, key: 'status', cell: (row) => site.badge(data.status[row]) },
    { name: 'workflow', label: 'Workflow', values: data.workflow, key: 'workflow' },
    { name: 'description', label: 'Description', values: data.description, key: 'description' },
  ];
  const run = [
    { name: 'kind', label: 'Kind', values: kind, key: 'kind', cell: place, off: !varies(kind) },
    { name: 'seconds', label: 'Took', values: data.seconds, numeric: true, cell: (row) => site.seconds(data.seconds[row]) },
    {
      name: 'replayed', label: 'Replayed', values: data.replay, off: !data.replay.some(Boolean),
      cell: (row) => data.replay[row] && site.badge(data.replay[row]),
    },
    { name: 'version', label: 'Version', values: data.version, off: true },
  ].map((column) => ({ ...column, group: 'Run' }));
  const GROUPS = { parameter: 'Parameters', choice: 'Choices', metric: 'Metrics' };
  const ORDER = Object.values(GROUPS);
  const known = new Set([...facts, ...run].map(({ name }) => name));
  const own = data.columns.map((column) => {
    const number = (value) => (typeof value === 'string' ? Number(value) : value); // JSON has no NaN
    const values = column.kind === 'metric' ? column.values.map(number) : column.values;
    const name = known.has(column.name) ? `${GROUPS[column.kind].toLowerCase()}.${column.name}` : column.name;
    return { name, label: column.name, group: GROUPS[column.kind], values, numeric: numbers(values), off: true };
  });
  own.sort((a, b) => ORDER.indexOf(a.group) - ORDER.indexOf(b.group));
  /** What most runs have is shown at first; a metric, which only those have that came to an end, before the rest. */
  const worth = new Map(own.map((column) => [column, had(column.values).length * (column.group === 'Metrics' ? 4 : 1)]));
  const ranked = [...own].sort((a, b) => worth.get(b) - worth.get(a));
  ranked.slice(0, 16).forEach((column) => { column.off = false; });

  /** A run's RID with the box that chooses it. */
  function choice(row) {
    const box = el('input', {
      type: 'checkbox', value: String(row), checked: chosen.has(rid[row]), 'aria-label': `Choose ${rid[row]}`, onclick: choose,
    });
    return el('div', { class: 'choice' }, el('label', {}, box), site.run(rid[row]));
  }

  /** A run's kind, and the way to the jobs of a sweep, or from a job to its sweep. */
  function place(row) {
    const many = jobs(row);
    if (many) return [kind[row], ' of ', el('a', { href: of(rid[row]) }, site.counted(many, 'runs'))];
    if (!parents[row].length) return kind[row];
    return [kind[row], ' in ', parents[row].map((one) => el('a', { href: of(one), class: 'rid' }, one))];
  }

  // -------------------------------------------------------------------------------------------------- choice
  const chosen = new Set(site.recall('chosen', []).filter((one) => site.known(one) === 'run'));
  let onScreen = [];
  let last = -1;
  const all = el('input', { type: 'checkbox', id: 'all', onchange: () => { set(onScreen, all.checked); } });
  const said = el('p', { role: 'status' });
  const compare = el('a', { class: 'button main-button', id: 'compare' }, 'Compare');
  const bar = el('section', { class: 'bar no-print', 'aria-label': 'Chosen runs' }, said, compare,
    el('button', { type: 'button', onclick: () => {
      chosen.clear();
      mark();
      document.getElementById('search').focus();
    } }, 'Choose none'));

  function set(rows, on) {
    rows.forEach((row) => chosen[on ? 'add' : 'delete'](rid[row]));
    mark();
  }

  /** Chooses a run; with Shift, also those between it and the one before. */
  function choose(event) {
    const row = Number(event.target.value);
    const [from, to] = [onScreen.indexOf(last), onScreen.indexOf(row)].sort((a, b) => a - b);
    set(event.shiftKey && from >= 0 ? onScreen.slice(from, to + 1) : [row], event.target.checked);
    last = row;
  }

  function mark() {
    for (const box of content.querySelectorAll('.choice input')) {
      box.checked = chosen.has(rid[Number(box.value)]);
      box.closest('tr').classList.toggle('chosen', box.checked);
    }
    const some = onScreen.filter((row) => chosen.has(rid[row])).length;
    all.checked = some > 0 && some === onScreen.length;
    all.indeterminate = some > 0 && some < onScreen.length;
    const fits = chosen.size > 1 && chosen.size <= MOST;
    const why = chosen.size === 1 ? ': choose another to compare' : `: at most ${MOST} are compared`;
    said.textContent = `${site.number(chosen.size)} chosen${fits ? '' : why}`;
    compare.hidden = !fits;
    compare.setAttribute('href', `compare.html#${[...chosen].map(encodeURIComponent).join(',')}`);
    bar.hidden = !chosen.size;
    site.keep('chosen', [...chosen]);
  }

  // --------------------------------------------------------------------------------------------------- table
  const columns = [...facts, ...own, ...run];
  const texts = [];
  const text = (row) => {
    texts[row] ??= site.folded(columns.map(({ values }) => site.value(values[row] ?? '')).join('\n'));
    return texts[row];
  };
  const draw = table.make(content, {
    noun: 'runs',
    count,
    columns,
    words: text,
    order: '-when',
    example: example(),
    facets: [
      { name: 'status', label: 'Status', values: data.status }, { name: 'workflow', label: 'Workflow', values: data.workflow },
      { name: 'kind', label: 'Kind', values: kind }, { name: 'replayed', label: 'Replayed', values: data.replay },
    ],
    narrow: {
      of: (sweep) => ({
        test: (row) => parents[row].includes(sweep) || rid[row] === sweep,
        said: ['The sweep ', site.run(sweep), ' and its runs '],
      }),
      jobs: () => ({ test: (row) => !parents[row].some((one) => site.known(one)), said: ['Without the runs of sweeps '] }),
    },
    extra: (go) => [
      el('label', { class: 'check no-print' }, all, 'Choose all shown'), bar,
      children.size > 0 && el('button', {
        type: 'button', class: 'plain no-print', id: 'without-jobs', onclick: () => go({ jobs: 'none', of: '' }),
      }, 'Leave out the runs of sweeps'),
    ],
    drawn: (rows) => { onScreen = rows; mark(); },
  });
  draw();

  return draw;

  /** A condition that would mean something here. */
  function example() {
    const column = ranked.find(({ name, numeric }) => numeric && /^[\w.]+$/.test(name));
    const values = column?.values.filter(Number.isFinite).sort((a, b) => a - b) ?? [];
    return values.length ? `${column.name} > ${Number(values[values.length >> 1].toPrecision(2))}` : 'status = Failed';
  }

  function nothing() {
    const command = (text) => el('pre', { class: 'code' }, text);
    content.append(site.info.of
      ? site.empty(el('h2', {}, 'None of the recorded runs is in this site'),
        el('p', {}, 'It was built for some of them only. To build it of all:'), command('uv run deriva-ml-catalog site'))
      : site.empty(el('h2', {}, 'Nothing is recorded yet'), el('p', {}, 'Run a notebook, and build the site again:'),
        command('uv run deriva-ml-run-notebook notebooks/NAME.ipynb\nuv run deriva-ml-catalog site')));
  }
});
