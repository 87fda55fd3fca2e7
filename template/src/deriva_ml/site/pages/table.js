'use strict';
/** A long table that is searched, filtered and sorted as one types. Its state is the place in the address, so that Back works. */
const table = (() => {
  const { el } = site;
  const STEP = 100;
  const PAUSE = 120;

  /**
   * @typedef {Object} Column
   * @property {string} name by which conditions and the address call it
   * @property {string} label
   * @property {string} [group] the heading above: Parameters, …; a column that has one is left out where no row that is found has a value
   * @property {any[]} values what it sorts and compares by
   * @property {(row: number) => any} [cell] what it shows, if not the values
   * @property {boolean} [numeric]
   * @property {boolean} [off] not shown unless it is asked for
   *
   * @param {HTMLElement} content
   * @param {Object} given
   * @param {string} given.noun of the rows, in the plural
   * @param {number} given.count of rows
   * @param {Column[]} given.columns the first one is each row's heading
   * @param {{name: string, label: string, values: any[]}[]} [given.facets] of which one value may be chosen
   * @param {string} [given.example] a condition; without it there are none to be given
   * @param {string} [given.order] in which the rows come, as the address would say it
   * @param {(row: number) => string} given.words in lower case, that are searched
   * @param {Object<string, (value: string) => {test: (row: number) => boolean, said: any[]}>} [given.narrow] other filters in the address
   * @param {(rows: number[]) => any} [given.drawn] called with the rows that are on the screen
   * @param {(go: (changes: Object<string, string>) => void) => any[]} [given.extra] what else stands above the table
   * @returns {() => void} draws what the address says
   */
  function make(content, given) {
    const { noun, count, columns, facets = [], words: texts, narrow = {}, example = '', order: natural = '' } = given;
    /** Of which columns this person said whether they are shown. @type {Map<string, boolean>} */
    const said = new Map(site.recall(`columns ${noun}`, []));
    const shown = new Set(columns.filter(({ name, off }, at) => !at || (said.get(name) ?? !off)).map(({ name }) => name));
    let timer = 0;
    let state = read();

    // ------------------------------------------------------------------------------------------------- state
    function read() {
      const raw = location.hash.slice(1);
      const asked = raw.includes('=') ? new URLSearchParams(raw) : new URLSearchParams({ q: site.place() });
      const names = ['q', 'where', 'sort', ...facets.map(({ name }) => name), ...Object.keys(narrow)];
      return { ...Object.fromEntries(names.map((name) => [name, asked.get(name) ?? ''])), shown: asked.get('shown') ?? String(STEP) };
    }

    /** Goes to another state: as a step that Back undoes, or while typing in place of the last one. */
    function go(changes, { replace = false } = {}) {
      clearTimeout(timer);
      timer = 0;
      const next = new URLSearchParams();
      const wanted = { ...state, shown: String(STEP), ...changes };
      for (const [name, value] of Object.entries(wanted)) {
        if (value && !(name === 'shown' && value === String(STEP))) next.set(name, value);
      }
      const hash = `#${next}`;
      if (hash === (location.hash || '#')) return;
      if (replace) location.replace(hash);
      else location.hash = hash;
    }

    const typed = (name, pause = PAUSE) => (event) => {
      clearTimeout(timer);
      const { value } = event.target;
      timer = setTimeout(() => go({ [name]: value }, { replace: true }), pause);
    };

    // ---------------------------------------------------------------------------------------------- controls
    const field = (id, label, control) => el('div', { class: `field field-${id}` }, el('label', { for: id }, label), control);
    const search = el('input', { type: 'search', id: 'search', autocomplete: 'off', spellcheck: 'false', placeholder: 'words that all occur', oninput: typed('q') });
    const where = el('input', {
      type: 'text', id: 'where', autocomplete: 'off', spellcheck: 'false', autocapitalize: 'off', placeholder: example, 'aria-describedby': 'where-fault', oninput: typed('where', 3 * PAUSE),
    });
    const fault = el('p', { id: 'where-fault', class: 'where-fault', role: 'status' });
    const selects = facets.map(({ name, label, values }) => {
      const counts = new Map();
      values.forEach((value) => counts.set(value, (counts.get(value) ?? 0) + 1));
      const options = [...counts].filter(([value]) => value !== '').sort((a, b) => b[1] - a[1]);
      const select = el('select', { id: name, onchange: (event) => go({ [name]: event.target.value }) },
        el('option', { value: '' }, 'all'),
        options.map(([value, many]) => el('option', { value }, `${value.slice(0, 60).replaceAll('_', ' ')} (${site.number(many)})`)));
      return { name, values, select, label, worth: counts.size > 1 };
    });
    const order = el('select', { id: 'sort', onchange: (event) => go({ sort: event.target.value }) },
      el('option', { value: '' }, 'as they come'),
      columns.flatMap(({ name, label }) => [
        el('option', { value: name }, `${label.slice(0, 40)}, ascending`),
        el('option', { value: `-${name}` }, `${label.slice(0, 40)}, descending`),
      ]));
    const filters = el('div', { class: 'filters', id: 'filters' },
      selects.filter(({ worth }) => worth).map(({ name, label, select }) => field(name, label, select)),
      example ? field('where', 'Where', where) : null,
      field('sort', 'Order', order));
    const more = el('button', {
      type: 'button', class: 'more-filters', 'aria-expanded': 'false', 'aria-controls': 'filters',
      onclick: () => more.setAttribute('aria-expanded', String(filters.classList.toggle('open'))),
    }, 'Filters');
    const status = el('p', { class: 'found', role: 'status', id: 'found' });
    const clear = el('button', { type: 'button', class: 'plain', id: 'clear', onclick: () => { go({ ...Object.fromEntries(Object.keys(state).map((name) => [name, ''])), sort: state.sort }); search.focus(); } }, 'Clear filters');
    const narrowed = el('div', { class: 'narrowed' });
    const head = el('thead', { role: 'rowgroup' });
    const body = el('tbody', { role: 'rowgroup' });
    const box = site.scrolling(noun, el('table', { role: 'table', class: 'long', 'aria-describedby': 'found' }, el('caption', { class: 'unseen' }, noun), head, body));
    const next = el('button', { type: 'button', id: 'more', onclick: () => go({ shown: String(Number(state.shown) + STEP) }, { replace: true }) });
    content.append(
      el('search', { class: 'tools no-print', 'aria-label': `Find ${noun}` }, field('search', 'Search', search), more, filters, menu()),
      fault, narrowed,
      el('div', { class: 'above' }, status, clear, given.extra?.(go) ?? []),
      box,
    );
    box.append(el('div', { class: 'below no-print' }, next));

    /** The list of columns, of which a person chooses. */
    function menu() {
      const optional = columns.slice(1);
      const label = () => `Columns (${shown.size} of ${columns.length})`;
      const summary = el('summary', { class: 'button' }, label());
      const boxes = new Map(optional.map((column) => [column.name, el('input', {
        type: 'checkbox', value: column.name, checked: shown.has(column.name), onchange: (event) => set([column.name], event.target.checked),
      })]));
      const set = (names, on) => {
        names.forEach((name) => {
          shown[on ? 'add' : 'delete'](name);
          said.set(name, on);
          boxes.get(name).checked = on;
        });
        summary.textContent = label();
        site.keep(`columns ${noun}`, [...said]);
        draw();
      };
      const groups = [...new Set(optional.map(({ group = 'Facts' }) => group))].map((name) => {
        const own = optional.filter(({ group = 'Facts' }) => group === name);
        const all = (on, text) => el('button', { type: 'button', class: 'plain', 'aria-label': `${name}: ${text}`, onclick: () => set(own.map((column) => column.name), on) }, text);
        return el('fieldset', {}, el('legend', {}, name), own.length > 3 ? el('div', { class: 'both' }, all(true, 'all'), all(false, 'none')) : null,
          own.map((column) => el('label', { class: 'check' }, boxes.get(column.name), el('span', { class: 'clamp' }, column.label))));
      });
      const details = el('details', { class: 'menu', onkeydown: (event) => { if (event.key === 'Escape') { details.open = false; summary.focus(); } } },
        summary, el('div', { class: 'sheet' }, groups));
      document.addEventListener('pointerdown', (event) => { if (!details.contains(event.target)) details.open = false; });
      return details;
    }

    // ----------------------------------------------------------------------------------------------- drawing
    function chosen() {
      const tests = selects.filter(({ name }) => state[name]).map(({ name, values }) => (row) => values[row] === state[name]);
      tests.push(...query.search(state.q, texts));
      narrowed.replaceChildren();
      for (const [name, filter] of Object.entries(narrow)) {
        if (!state[name]) continue;
        const { test, said } = filter(state[name]);
        tests.push(test);
        narrowed.append(el('span', { class: 'chip' }, said, el('button', { type: 'button', class: 'plain', onclick: () => { go({ [name]: '' }); search.focus(); } }, 'show all')));
      }
      let wrong = '';
      try {
        tests.push(...query.conditions(state.where, columns));
      } catch (error) {
        wrong = `This condition is left out: ${error.message}.`;
      }
      fault.textContent = wrong;
      where.toggleAttribute('aria-invalid', Boolean(wrong));
      if (wrong) where.setAttribute('aria-invalid', 'true');
      const rows = [];
      for (let row = 0; row < count; row += 1) if (tests.every((test) => test(row))) rows.push(row);
      const by = columns.find(({ name }) => name === state.sort.replace(/^-/, ''));
      return by ? query.sort(rows, by.values, state.sort.startsWith('-')) : rows;
    }

    function draw() {
      const rows = chosen();
      const has = ({ values }) => rows.some((row) => values[row] !== null);
      const visible = columns.filter((column) => shown.has(column.name) && (!column.group || !rows.length || has(column)));
      const screen = rows.slice(0, Number(state.shown) || STEP);
      headings(visible);
      body.replaceChildren(...screen.map((row) => line(row, visible)));
      if (!rows.length) body.append(el('tr', { role: 'row' }, el('td', { role: 'cell', class: 'nothing', colspan: String(visible.length) }, `No ${noun} match.`)));
      const part = screen.length < rows.length ? `${site.number(screen.length)} of ` : '';
      status.textContent = `${part}${site.number(rows.length)} ${noun}${rows.length < count ? `, of ${site.number(count)} in all` : ''}`;
      clear.hidden = rows.length === count && !state.where && !state.q;
      next.hidden = screen.length === rows.length;
      next.textContent = `Show ${site.number(Math.min(STEP, rows.length - screen.length))} more`;
      given.drawn?.(screen, body);
    }

    function headings(visible) {
      const runs = [];
      for (const { group = '' } of visible) {
        if (runs.at(-1)?.group === group) runs.at(-1).span += 1;
        else runs.push({ group, span: 1 });
      }
      const groups = runs.length > 1 ? el('tr', { role: 'row', class: 'groups' }, runs.map(({ group, span }) => (group
        ? el('th', { role: 'columnheader', scope: 'colgroup', colspan: String(span) }, el('span', {}, group))
        : el('td', { role: 'cell', colspan: String(span) })))) : null;
      const focused = head.contains(document.activeElement) ? document.activeElement.value : null;
      head.replaceChildren(...[groups, el('tr', { role: 'row' }, visible.map(({ name, label, numeric }, at) => {
        const by = state.sort || natural;
        const [sorted, down] = [by.replace(/^-/, '') === name, by.startsWith('-')];
        return el('th', {
          role: 'columnheader', scope: 'col', class: [at ? '' : 'first', numeric ? 'number' : ''].join(' ').trim() || null, 'data-label': label.slice(0, 60), 'aria-sort': sorted ? (down ? 'descending' : 'ascending') : null,
        }, el('button', { type: 'button', class: 'sort', value: name, onclick: () => go({ sort: sorted && !down ? `-${name}` : name }) },
          el('span', { class: 'clamp' }, label), el('span', { class: 'arrow', 'aria-hidden': 'true' }, sorted ? (down ? '▼' : '▲') : '')));
      }))].filter(Boolean));
      if (focused !== null) [...head.querySelectorAll('button')].find(({ value }) => value === focused)?.focus({ preventScroll: true });
    }

    function line(row, visible) {
      return el('tr', { role: 'row' }, visible.map(({ label, values, cell, numeric, group, key }, at) => {
        const had = values[row];
        const text = had === null ? '' : numeric ? site.number(had) : site.value(had);
        const inner = cell ? cell(row) : text.length > 24 ? el('div', { class: 'clamp' }, text.slice(0, 400)) : text;
        const kind = [at ? '' : 'first', numeric ? 'number' : '', group ? 'given' : '', key ?? '', inner === '' || inner === null ? 'blank' : ''].filter(Boolean).join(' ');
        return el(at ? 'td' : 'th', { role: at ? 'cell' : 'rowheader', scope: at ? null : 'row', class: kind || null, 'data-label': label.slice(0, 60), title: numeric && !cell && had !== null ? String(had) : null }, inner);
      }));
    }

    return () => {
      state = read();
      if (!timer) {
        if (search.value !== state.q) search.value = state.q;
        if (where.value !== state.where) where.value = state.where;
      }
      selects.forEach(({ name, select }) => { select.value = state[name] ?? ''; });
      order.value = state.sort;
      draw();
    };
  }

  return { make };
})();
