// What runs differ in: the facts of each by section, as `deriva-ml-catalog compare` tells them.
'use strict';
/* global site */

const differing = (() => {
  /** Files of a record that are compared by what they say, and not as outputs. */
  const DESCRIBING = ['configuration.json', 'environment.json', 'hydra-config.yaml', 'uv.lock', 'choices-hydra.yaml', 'uncommitted.diff', 'uncommitted-at-end.diff'];
  /** Digits that are shown of a digest, and of an id of git. */
  const SHORT = 10;
  /** Characters of a value that a cell shows. */
  const LONGEST = 160;

  const said = (pairs) => pairs.filter(([, value]) => value !== null && value !== undefined && value !== '' && value?.length !== 0);
  /** What a run without a configuration, as one that failed early, was given is not known. */
  const unless = (known, pairs) => (known ? pairs : null);
  const describes = (one) => one.table === 'Execution_Metadata' && DESCRIBING.includes(one.name);
  /** Where the code lies in its repository; of an address that does not tell it, all. */
  const path = (url) => url.replace(/^git:[0-9a-f]+:|^https?:\/\/.*?\/blob\/[^/]+\//, '');
  const lines = (text) => (text ? site.counted(text.replace(/\n$/, '').split('\n').length, 'lines') : '');

  const PARTS = [
    ['started', 'how it was started', (run) => said([
      ['started by', run.started_by], ['user', run.by], ['part of', run.parents.map(([rid]) => rid).join(', ')], ['description', run.description],
      ['imported', run.imported ? site.value(run.imported) : ''], ['replay of', run.replay_of],
    ])],
    ['code', 'code', (run) => [...said([
      ['workflow', run.workflow.name], ['version', run.code.version || run.workflow.version], ['commit', run.code.commit],
      ['path', path(run.code.url || run.workflow.url)], ['checksum', run.workflow.checksum],
      ['what ran', run.code.differences.filter((one) => !one.startsWith('uncommitted changes')).join('; ')],
    ]), ['uncommitted changes', run.code.dirty ? 'yes' : 'no'], ...said([['patch', lines(run.code.patch), run.code.patch]])]],
    ['parameters', 'parameters', (run) => unless(run.config || run.parameters.length, run.parameters.map(([name, value]) => [name, site.value(value), JSON.stringify(value)]))],
    ['configuration', 'configuration', (run) => unless(run.config || run.choices.length, [...run.choices, ...said([['overrides', run.overrides.join(' ')]])])],
    ['inputs', 'inputs', (run) => [
      ...run.datasets.map((one) => [`dataset ${one.name || one.rid}`, one.version, one.digest || one.version, () => site.dataset(one.rid, one.version)]),
      ...files(run.inputs)]],
    ['packages', 'packages and machine', (run) => unless(run.environment.length || run.packages.length, [...said(run.environment), ...run.packages, ...files(run.outputs.filter((one) => describes(one) && one.name === 'uv.lock'))])],
    ['end', 'how it ended', (run) => said([['status', run.status], ['reason', run.reason]])],
    ['metrics', 'metrics', (run) => run.metrics.map(([name, { last }]) => [name, Number(last)])],
    ['outputs', 'outputs', (run) => files(run.outputs.filter((one) => !describes(one)))],
  ];

  /** Files by name; of those that share one, the second is called so, as `name (2)`. */
  function files(all) {
    const seen = new Map();
    return all.map((one) => {
      const count = (seen.get(one.name) ?? 0) + 1;
      seen.set(one.name, count);
      const text = `${one.rid} ${(one.md5 || '').slice(0, SHORT)} ${site.size(one.size)}`;
      return [count > 1 ? `${one.name} (${count})` : one.name, text, one.md5 || one.rid,
        () => site.el('a', { href: `files.html#${encodeURIComponent(one.name)}` }, text)];
    });
  }

  /** How a value is written: a digest by its beginning, and a long text too. */
  function written(value) {
    const text = typeof value === 'string' ? value : site.value(value);
    return /^[0-9a-f]{32,64}$/.test(text) ? text.slice(0, SHORT) : text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
  }

  const signed = (value) => `(${value > 0 ? '+' : value < 0 ? '−' : '±'}${site.number(Math.abs(value))})`;

  /** What a cell shows: of numbers also how much more they are than that of the first run. */
  function cell(value, first, node) {
    if (node) return [node()];
    if (typeof value !== 'number') return [written(value)];
    const more = first !== undefined && Number.isFinite(value) && Number.isFinite(first) ? value - first : null;
    return more === null ? [site.number(value)] : [site.number(value), ' ', site.el('small', {}, signed(more))];
  }

  /**
   * What runs are, section by section; a row differs if a run has another value, or none, while it is known of the run.
   * @param {object[]} runs their details, the first is what the others are compared with.
   * @returns {{name: string, title: string, rows: {name: string, cells: (*[]|null)[], differs: boolean, numeric: boolean,
   *   same: (place: number) => boolean}[]}[]}
   */
  function sections(runs) {
    return PARTS.map(([name, title, facts]) => {
      const known = runs.map((run) => facts(run)).map((pairs) => pairs && new Map(pairs.map(([key, ...rest]) => [key, rest])));
      const names = [...new Set(known.flatMap((one) => [...(one?.keys() ?? [])]))];
      const rows = names.map((key) => {
        const values = known.map((one) => one?.get(key) ?? null);
        const keys = values.map((one, i) => (known[i] === null ? null : one === null ? 'none' : `= ${one[1] ?? JSON.stringify(String(one[0]))}`));
        const told = keys.filter((one) => one !== null);
        const numeric = name === 'metrics';
        const first = numeric && values[0] ? values[0][0] : undefined;
        return {
          name: key, numeric, differs: new Set(told).size > 1, same: (i) => keys[i] === null || keys[i] === keys[0],
          cells: values.map((one, i) => one && cell(one[0], i ? first : undefined, one[2])),
        };
      });
      return { name, title, rows };
    });
  }

  return { sections };
})();
