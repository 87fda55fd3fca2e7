'use strict';
/** A long table, searched, filtered and sorted as one types. Its state is the place in the address: Back works. */
const table = (() => {
  const { el } = site;
  const STEP = 100;
  const PAUSE = 120;
  const button = (attributes, ...children) => el('button', { type: 'button', ...attributes }, ...children);
  const classes = (...some) => some.filter(Boolean).join(' ') || null;

  /**
   * @typedef {Object} Column
   * @property {string} name by which conditions and the address call it
   * @property {string} label
   * @property {string} [group] the heading above: Parameters, …; a column that has one is left out where no row that
   *   is found has a value
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
   * @param {(row: number) => string} given.words folded, that are searched
   * @param {Object<string, (value: string) => {test: (row: number) => boolean, said: any[]}>} [given.narrow] other
   *   filters, by their names in the address
   * @param {(rows: number[]) => any} [given.drawn] called with the rows that are on the screen
   * @param {(go: (changes: Object<string, string>) => void) => any[]} [given.extra] what else stands above the table
   * @returns {() => void} draws what the address says
   */
  function make(content, given) {
    const { noun, count, columns, facets = [], words: texts, narrow = {}, example = '', order: natural = '' } = given;
    let timer = 0;
    let state = read();

    // ------------------------------------------------------------------------------------------------- state
    function read() {
      const raw = location.hash.slice(1);
      const asked = raw.includes('=') ? new URLSearchParams(raw) : new URLSearchParams({ q: site.place() });
      const names = ['q', 'where', 'sort', ...facets.map(({ name }) => name), ...Object.keys(narrow)];
      const values = Object.fromEntries(names.map((name) => [name, asked.get(name) ?? '']));
      return { ...values, shown: asked.get('shown') ?? String(STEP) };
    }

    /** Goes to another state: as a step that Back undoes, or while typing in place of the last one. */
    function go(changes, { replace = false } = {}) {
      clearTimeout(timer);
      timer = 0;
      const next = new URLSearchParams();
      const wanted = { ...state, q: search.value, where: where.value, shown: String(STEP), ...changes };
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
    const plain = { autocomplete: 'off', spellcheck: 'false', autocapitalize: 'off' };
    const search = el('input', {
      type: 'search', id: 'search', placeholder: 'words that all occur', oninput: typed('q'), ...plain,
    });
    const where = el('input', {
      type: 'text', id: 'where', placeholder: example, oninput: typed('where', 3 * PAUSE), ...plain,
      'aria-describedby': 'where-fault',
    });
    const fault = el('p', { id: 'where-fault', class: 'where-fault', role: 'status' });
    const selects = facets.map(({ name, label, values }) => {
      const counts = new Map();
      values.forEach((value) => counts.set(value, (counts.get(value) ?? 0) + 1));
      const options = [...counts].filter(([value]) => value !== '').sort((a, b) => b[1] - a[1]);
      const select = el('select', { id: name, onchange: (event) => go({ [name]: event.target.value }) },
        el('option', { value: '' }, 'all'),
        options.map(([value, many]) => (
          el('option', { value }, `${value.slice(0, 60).replaceAll('_', ' ')} (${site.number(many)})`))));
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
    const more = button({
      class: 'more-filters', 'aria-expanded': 'false', 'aria-controls': 'filters',
      onclick: () => more.setAttribute('aria-expanded', String(filters.classList.toggle('open'))),
    }, 'Filters');
    const status = el('p', { class: 'found', role: 'status', id: 'found' });
    const clear = button({ class: 'plain', id: 'clear', onclick: () => {
      go({ ...Object.fromEntries(Object.keys(state).map((name) => [name, ''])), sort: state.sort });
      search.focus();
    } }, 'Clear filters');
    const narrowed = el('div', { class: 'narrowed' });
    const head = el('thead', { role: 'rowgroup' });
    const body = el('tbody', { role: 'rowgroup' });
    const box = site.scrolling(noun, el('table', { role: 'table', class: 'long', 'aria-describedby': 'found' },
      el('caption', { class: 'unseen' }, noun), head, body));
    const next = button({
      id: 'more', onclick: () => go({ shown: String(Number(state.shown) + STEP) }, { replace: true }),
    });
    const offered = menu(noun, columns, () => draw());
    content.append(
      el('search', { class: 'tools no-print', 'aria-label': `Find ${noun}` },
        field('search', 'Search', search), more, filters, offered.node),
      fault, narrowed,
      el('div', { class: 'above' }, status, clear, given.extra?.(go) ?? []),
      box,
    );
    box.append(el('div', { class: 'below no-print' }, next));

    // ----------------------------------------------------------------------------------------------- drawing
    function chosen() {
      const tests = selects.filter(({ name }) => state[name])
        .map(({ name, values }) => (row) => values[row] === state[name]);
      tests.push(...query.search(state.q, texts));
      narrowed.replaceChildren();
      for (const [name, filter] of Object.entries(narrow)) {
        if (!state[name]) continue;
        const { test, said } = filter(state[name]);
        tests.push(test);
        narrowed.append(el('span', { class: 'chip' }, said, button({ class: 'plain', onclick: () => {
          go({ [name]: '' });
          search.focus();
        } }, 'show all')));
      }
      let wrong = '';
      try {
        tests.push(...query.conditions(state.where, columns));
      } catch (error) {
        wrong = `This condition is left out: ${error.message}.`;
      }
      fault.textContent = wrong;
      where.setAttribute('aria-invalid', String(Boolean(wrong)));
      const rows = [];
      for (let row = 0; row < count; row += 1) if (tests.every((test) => test(row))) rows.push(row);
      const by = columns.find(({ name }) => name === state.sort.replace(/^-/, ''));
      return by ? query.sort(rows, by.values, state.sort.startsWith('-')) : rows;
    }

    function draw() {
      const rows = chosen();
      const has = ({ values }) => rows.some((row) => values[row] !== null);
      const visible = columns.filter((column) => offered.shows(column) && (!column.group || !rows.length || has(column)));
      const screen = rows.slice(0, Number(state.shown) || STEP);
      headings(visible);
      body.replaceChildren(...screen.map((row) => line(row, visible)));
      if (!rows.length) {
        const cell = { role: 'cell', class: 'nothing', colspan: String(visible.length) };
        body.append(el('tr', { role: 'row' }, el('td', cell, `No ${noun} match.`)));
      }
      const part = screen.length < rows.length ? `${site.number(screen.length)} of ` : '';
      const rest = rows.length < count ? `, of ${site.number(count)} in all` : '';
      status.textContent = `${part}${site.counted(rows.length, noun)}${rest}`;
      clear.hidden = rows.length === count && !state.where && !state.q;
      const last = screen.length === rows.length;
      if (last && document.activeElement === next) body.querySelector('tr:last-child :is(a, input)')?.focus();
      next.hidden = last;
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
      const names = el('tr', { role: 'row' }, visible.map(heading));
      head.replaceChildren(...(groups ? [groups, names] : [names]));
      const again = [...head.querySelectorAll('button')].find(({ value }) => value === focused);
      again?.focus({ preventScroll: true });
    }

    function heading({ name, label, numeric }, at) {
      const by = state.sort || natural;
      const down = by.startsWith('-');
      const sorted = by.slice(down ? 1 : 0) === name ? (down ? 'descending' : 'ascending') : null;
      const arrow = { ascending: '▲', descending: '▼' }[sorted] ?? '';
      return el('th', {
        role: 'columnheader', scope: 'col', class: classes(!at && 'first', numeric && 'number'),
        'data-label': label.slice(0, 60), 'aria-sort': sorted,
      }, button({ class: 'sort', value: name, onclick: () => go({ sort: sorted === 'ascending' ? `-${name}` : name }) },
        el('span', { class: 'clamp' }, label), el('span', { class: 'arrow', 'aria-hidden': 'true' }, arrow)));
    }

    function line(row, visible) {
      return el('tr', { role: 'row' }, visible.map(({ label, values, cell, numeric, group, key }, at) => {
        const had = values[row];
        const text = had === null ? '' : numeric ? site.number(had) : site.value(had);
        const inner = cell ? cell(row) : text.length > 24 ? el('div', { class: 'clamp' }, text.slice(0, 400)) : text;
        const blank = inner === '' || inner === null;
        return el(at ? 'td' : 'th', {
          role: at ? 'cell' : 'rowheader', scope: at ? null : 'row', 'data-label': label.slice(0, 60),
          class: classes(!at && 'first', numeric && 'number', group && 'given', key, blank && 'blank'),
          title: numeric && !cell && had !== null ? String(had) : null,
        }, inner);
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

  /** The list of columns, of which a person chooses; this browser keeps it. @param {() => void} changed */
  function menu(noun, columns, changed) {
    /** Of which columns this person said whether they are shown. @type {Map<string, boolean>} */
    const said = new Map(site.recall(`columns ${noun}`, []));
    const shows = (column) => column === columns[0] || (said.get(column.name) ?? !column.off);
    const label = () => `Columns (${columns.filter(shows).length} of ${columns.length})`;
    const summary = el('summary', { class: 'button' }, label());
    const optional = columns.slice(1);
    const boxes = new Map(optional.map((column) => [column, el('input', {
      type: 'checkbox', checked: shows(column), onchange: (event) => set([column], event.target.checked),
    })]));
    const set = (some, on) => {
      some.forEach((column) => {
        said.set(column.name, on);
        boxes.get(column).checked = on;
      });
      summary.textContent = label();
      site.keep(`columns ${noun}`, [...said]);
      changed();
    };
    const groups = [...new Set(optional.map(({ group = 'Facts' }) => group))].map((name) => {
      const own = optional.filter(({ group = 'Facts' }) => group === name);
      const all = (on, text) => button({ class: 'plain', 'aria-label': `${name}: ${text}`, onclick: () => set(own, on) }, text);
      return el('fieldset', {}, el('legend', {}, name),
        own.length > 3 ? el('div', { class: 'both' }, all(true, 'all'), all(false, 'none')) : null,
        own.map((column) => el('label', { class: 'check' },
          boxes.get(column), el('span', { class: 'clamp' }, column.label))));
    });
    const node = el('details', { class: 'menu', onkeydown: (event) => {
      if (event.key !== 'Escape') return;
      node.open = false;
      summary.focus();
    } }, summary, el('div', { class: 'sheet' }, groups));
    document.addEventListener('pointerdown', (event) => {
      if (!node.contains(event.target)) node.open = false;
    });
    return { node, shows };
  }

  return { make };
})();
