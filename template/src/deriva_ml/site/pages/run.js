'use strict';
/** The page of one run: how it came about, what it was given, what it made, and how it is repeated. */
/* global site, charts, previews, jobs */
site.start(async (content) => {
  const { el, facts } = site;
  /** Charts that are there at first. */
  const CHARTS = 8;
  /** What is drawn once it is in the page, where it has a width. */
  const drawings = [];
  const rid = site.place();
  if (site.known(rid) !== 'run') {
    site.title('Run');
    content.append(site.empty(el('p', {}, rid ? ['No run of this site has the RID ', el('code', { class: 'rid' }, rid), '.'] : 'No run is named.'),
      el('p', {}, el('a', { href: 'index.html' }, 'All runs'))));
    return;
  }
  const run = await site.load(`runs/${rid}`);
  const isSweep = run.kind === 'sweep';
  site.title(run.workflow.name || 'Run');
  const parts = [
    ['How it ran', ran()],
    ['Its place in a sweep', run.parents.length ? await jobs.placed(run) : null],
    ['Jobs', isSweep && run.children.length ? await jobs.listed(run, drawings) : null],
    ['Nested runs', !isSweep && run.children.length ? site.listed(run.children.map(([one]) => one), 20) : null],
    ['Metrics', metrics()],
    ['Parameters', parameters()],
    ['Notebook', notebook()],
    ['Outputs', previews.files('Files that the run made', run.outputs, ({ types }) => run.notebook && types.includes('Notebook_Output'))],
    ['Inputs', inputs()],
    ['Configuration', configuration()],
    ['Code', code()],
    ['Environment', environment()],
    ['Repeating it', repeating()],
  ].filter(([, part]) => part).map(([title, part]) => [title, site.section(title, part)]);
  content.append(head(), el('div', { class: 'with-contents' }, contents(), el('div', {}, parts.map(([, part]) => part))));
  drawings.forEach((draw) => draw());

  // --------------------------------------------------------------------------------------------------------- parts
  function head() {
    const sweep = run.parents.map(([one]) => one).find((one) => site.known(one));
    const rids = isSweep || !sweep ? rid : sweep;
    const chosen = site.recall('chosen', []).filter((one) => one !== rid && site.known(one) === 'run').slice(0, 20);
    const link = (page, place, text) => el('a', { class: 'button', href: `${page}.html#${place}` }, text);
    return el('div', { class: 'head' },
      run.description && run.description !== run.workflow.name ? el('p', { class: 'described' }, run.description) : null,
      el('p', { class: 'summary' }, site.badge(run.status), ' ', el('span', { class: 'chip' }, run.kind), ' ', el('code', { class: 'rid' }, rid), ' ',
        el('span', { class: 'muted' }, [site.when(run.when), site.seconds(run.seconds)].filter(Boolean).join(', '))),
      run.reason ? el('p', { class: run.status === 'Failed' ? 'fault' : 'hint' }, run.reason) : null,
      el('p', { class: 'links no-print' },
        link('lineage', encodeURIComponent(rid), 'Lineage'),
        link('compare', encodeURIComponent(rids), isSweep ? 'Compare its jobs' : rids === rid ? 'Compare' : 'Compare the jobs of its sweep'),
        chosen.length ? link('compare', [rid, ...chosen].map(encodeURIComponent).join(','), `Compare with the ${chosen.length} chosen`) : null));
  }

  /** What the page has, as buttons: what follows # in the address is the run's RID. */
  function contents() {
    const go = (part) => {
      const heading = part.querySelector('h2');
      heading.tabIndex = -1;
      heading.scrollIntoView();
      heading.focus({ preventScroll: true });
    };
    return el('nav', { 'aria-label': 'On this page', class: 'contents no-print' },
      el('ul', {}, parts.map(([title, part]) => el('li', {}, el('button', { type: 'button', class: 'plain', onclick: () => go(part) }, title)))));
  }

  function ran() {
    return el('div', { class: 'columns' }, facts([
      ['Started', site.when(run.when)], ['By', run.by], ['With', run.started_by], ['Workflow', run.workflow.name], ['Type', run.workflow.type],
      ['Replays', run.replay_of ? site.run(run.replay_of) : ''], ['Imported', run.imported],
    ]), facts([
      ['Status', site.badge(run.status)], ['Duration', site.seconds(run.seconds)],
      ['Recorded at', run.pushed.length ? el('ul', { class: 'inline' }, run.pushed.map(({ text, url }) => el('li', {}, site.web(url, text)))) : ''],
      ['Cite as', run.cite ? site.web(run.cite) : ''],
    ]));
  }

  function metrics() {
    if (!run.metrics.length) return null;
    const at = (value, step) => (step === null || step === undefined ? site.number(value) : [site.number(value), el('small', { class: 'muted' }, ` at ${site.number(step)}`)]);
    return [
      site.grid({
        caption: 'What each metric came to, and at which step', hideCaption: true, headings: ['Metric', 'Last', 'Least', 'Greatest'], numeric: [1, 2, 3],
        rows: run.metrics.map(([name, { last, last_step, least, least_step, greatest, greatest_step }]) => [
          previews.long(name), at(last, last_step), at(least, least_step), at(greatest, greatest_step)]),
      }),
      overSteps(),
    ];
  }

  /** Metrics that are the same of different data stand in one chart. */
  function overSteps() {
    const groups = new Map();
    for (const [name, { series: [steps, values] = [] }] of run.metrics) {
      if (!steps || steps.length < 2) continue;
      const key = name.replace(/(^|[._/-])(train|training|val|valid|validation|test|eval|dev|heldout)[._/-]/i, '$1');
      groups.set(key, [...groups.get(key) ?? [], { name, steps, values: values.map(Number) }]);
    }
    if (!groups.size) return null;
    const box = el('div', { class: 'charts' });
    const drawn = ([key, series]) => {
      const node = el('div');
      const draw = () => previews.charted(node, charts.lines(node, { title: series.length > 1 ? key : series[0].name, series }));
      if (box.isConnected) requestAnimationFrame(draw);
      else drawings.push(draw);
      return node;
    };
    return previews.inSteps(box, [...groups], CHARTS, drawn, 'charts');
  }

  function parameters() {
    if (!run.parameters.length && !run.not_set.length) return null;
    return [
      run.parameters.length ? site.grid({
        caption: 'Parameters', hideCaption: true, headings: ['Parameter', 'Value', 'From'],
        rows: run.parameters.map(([name, value, given]) => [previews.long(name), el('code', {}, previews.long(site.value(value))), given ? 'given' : el('span', { class: 'muted' }, 'default')]),
      }) : null,
      run.not_set.length ? el('p', { class: 'note' }, `Not set in this run: ${run.not_set.join(', ')}.`) : null,
    ];
  }

  function notebook() {
    const full = el('code', {}, `uv run deriva-ml-catalog site ${rid} --out outputs/site-${rid}`);
    if (run.notebook) {
      const note = run.notebook.from === 'markdown'
        ? ['From its Markdown. With code in colours, and all that HTML shows: ', full] : '';
      return [previews.framed(run.notebook, 'the executed notebook'), note ? el('p', { class: 'note' }, note) : null];
    }
    return run.kind === 'notebook' ? el('p', { class: 'note' }, 'It is not in this site, but in one of its own: ', full) : null;
  }

  function inputs() {
    if (!run.inputs.length && !run.datasets.length) return null;
    return [
      run.datasets.length ? site.grid({
        caption: 'Datasets that the run read', headings: ['Dataset', 'Version', 'RID', 'Digest'],
        rows: run.datasets.map(({ rid: one, name, version, digest }) => [
          site.dataset(one, name || 'Dataset'), version, el('code', { class: 'rid' }, one), el('code', { class: 'digest' }, digest)]),
      }) : null,
      run.inputs.length ? [run.datasets.length ? el('h3', {}, 'Files') : null, previews.files('Files that the run read', run.inputs)] : null,
    ];
  }

  function configuration() {
    if (!run.choices.length && !run.overrides.length && !run.config) return null;
    return [
      run.choices.length ? facts(run.choices.map(([group, entry]) => [previews.long(group), el('code', {}, previews.long(entry))])) : null,
      run.overrides.length ? [el('h3', {}, 'Overrides'), el('ul', {}, run.overrides.map((one) => el('li', {}, el('code', {}, previews.long(one)))))] : null,
      run.config ? el('details', {}, el('summary', {}, 'The whole configuration'), previews.block('The whole configuration, as YAML', run.config)) : null,
    ];
  }

  function code() {
    const { commit, version, url, dirty, differences, patch } = run.code;
    const changed = { '+': 'added', '-': 'removed', '@': 'place' };
    const line = (text) => (Object.hasOwn(changed, text[0] ?? '') ? el('span', { class: changed[text[0]] }, `${text}\n`) : `${text}\n`);
    const lines = patch.split('\n');
    return [
      facts([
        ['Commit', commit ? el('code', {}, commit) : ''], ['Version', version || run.workflow.version], ['Source', url ? site.web(url) : ''],
        ['Checksum', run.workflow.checksum ? el('code', {}, run.workflow.checksum) : ''],
        ['Uncommitted', dirty ? 'yes: what ran is not what was committed' : commit ? 'nothing' : ''],
        ['Differences', differences.length ? el('ul', {}, differences.map((one) => el('li', {}, one))) : ''],
      ]),
      patch ? el('details', {}, el('summary', {}, `What was not committed, ${site.counted(lines.length, 'lines')}`),
        previews.block('What was not committed, as a patch', lines.map(line))) : null,
    ];
  }

  function environment() {
    if (!run.environment.length && !run.packages.length) return null;
    const shown = (name, value) => (/memory/.test(name) && typeof value === 'number' ? site.size(value) : previews.long(site.value(value)));
    const unlocked = run.environment.filter(([name]) => name.startsWith('not_locked.')).map(([name, one]) => [name.slice(11), site.value(one)]);
    const list = facts(run.environment.filter(([name]) => !name.startsWith('not_locked.')).map(([name, value]) => [name.replace('.', ' '), shown(name, value)]));
    list.classList.add('environment');
    return [
      list,
      unlocked.length ? packages(`Packages that uv.lock does not have, ${site.number(unlocked.length)}`, unlocked) : null,
      run.packages.length ? packages(`Packages, ${site.number(run.packages.length)}`, run.packages) : null,
    ];
  }

  /** A table that opens, and is searched as one types. */
  function packages(title, pairs) {
    const grid = site.grid({ caption: title, hideCaption: true, headings: ['Package', 'Version'], rows: pairs });
    const rows = [...grid.querySelectorAll('tbody tr')];
    const found = el('span', { class: 'note', role: 'status' });
    const texts = pairs.map((pair) => site.folded(pair.join(' ')));
    const typed = (event) => {
      const words = site.folded(event.target.value).split(/\s+/);
      rows.forEach((row, at) => { row.hidden = !words.every((word) => texts[at].includes(word)); });
      found.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length}`;
    };
    return el('details', { class: 'packages' }, el('summary', {}, title),
      el('p', { class: 'no-print' }, el('input', { type: 'search', 'aria-label': `Search in: ${title}`, placeholder: 'Search', autocomplete: 'off', spellcheck: 'false', oninput: typed }), ' ', found),
      grid);
  }

  function repeating() {
    if (!run.repeat && !run.replays.length) return null;
    return [
      run.repeat ? command(run.repeat) : null,
      run.replays.length ? [el('h3', {}, 'Replays'), site.grid({
        caption: 'Replays of this run', hideCaption: true, headings: ['When', 'Verdict', 'Similarity', 'Recorded as', 'Runner', 'Report'], numeric: [2],
        rows: run.replays.map((one) => [site.when(one.when), site.badge(one.verdict), site.number(one.similarity), one.recorded_as ? site.run(one.recorded_as) : '', one.runner, one.report]),
      })] : null,
    ];
  }

  function command(text) {
    const shown = el('pre', { class: 'code', tabindex: '0', 'aria-label': 'The command that repeats it', role: 'group' }, text);
    const said = el('span', { class: 'unseen', role: 'status' });
    const button = el('button', { type: 'button', onclick: async () => {
      const done = await copied(text, shown);
      button.textContent = done ? 'Copied' : 'Selected';
      said.textContent = done ? 'Copied' : 'Selected: copy it by keyboard';
      setTimeout(() => { button.textContent = 'Copy'; said.textContent = ''; }, 2000);
    } }, 'Copy');
    return el('div', { class: 'command' }, shown, button, said);
  }

  /** Copies a text, and says whether that was allowed; else it is selected. */
  async function copied(text, node) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      getSelection().selectAllChildren(node);
      return document.execCommand('copy');
    }
  }
});

// On paper, what opens is open, and what waits to be seen is there.
(() => {
  const opened = new Set();
  const open = () => {
    document.querySelectorAll('[loading]').forEach((one) => one.removeAttribute('loading'));
    document.querySelectorAll('details:not([open])').forEach((one) => { opened.add(one); one.open = true; });
  };
  const close = () => { opened.forEach((one) => { one.open = false; }); opened.clear(); };
  addEventListener('beforeprint', open);
  addEventListener('afterprint', close);
  matchMedia('print').addEventListener('change', (event) => (event.matches ? open() : close()));
})();
