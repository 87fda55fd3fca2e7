'use strict';
/** What all pages share: reading data, elements that hold only text, links, words for values, and the page's frame. */
const site = (() => {
  /** Addresses that may stand in a page: of the web, and those of this site. */
  const ADDRESS = /^(https?:\/\/|#|(index|run|compare|lineage|datasets|files)\.html(#|$)|(previews|notebooks)\/[\w.-]+$)/;
  const DATA = /^[\w-]+(\/[\w-]+)?$/;
  const taken = new Map();
  const loading = new Map();
  const runs = new Set();
  const datasets = new Set();

  // ------------------------------------------------------------------------------------------------------ data
  /** Called by a data file: keeps its JSON until it is asked for. @param {string} name @param {string} json */
  function take(name, json) {
    taken.set(name, json);
  }

  /**
   * Reads `data/NAME.js`, once. Browsers refuse to fetch files that lie on a disk, but run them as scripts.
   * @param {string} name @returns {Promise<any>}
   */
  function load(name) {
    if (!DATA.test(name)) return Promise.reject(new Error(`${name} is not the name of data`));
    if (!loading.has(name)) {
      loading.set(name, new Promise((resolve, reject) => {
        const script = document.createElement('script');
        const fail = () => reject(new Error(`data/${name}.js is missing or cannot be read: build the site again`));
        script.src = `data/${name}.js`;
        script.onerror = fail;
        script.onload = () => {
          script.remove();
          if (!taken.has(name)) return fail();
          try {
            resolve(JSON.parse(taken.get(name)));
          } catch {
            fail();
          }
          return taken.delete(name);
        };
        document.head.append(script);
      }));
    }
    return loading.get(name);
  }

  /** A value that this browser keeps for this site, for comfort only. @param {string} key @param {any} fallback */
  function recall(key, fallback) {
    try {
      return JSON.parse(localStorage.getItem(place_of(key))) ?? fallback;
    } catch {
      return fallback;
    }
  }

  /** @param {string} key @param {any} value of JSON */
  function keep(key, value) {
    try {
      localStorage.setItem(place_of(key), JSON.stringify(value));
    } catch { /* a browser may keep nothing; the page works without it */ }
  }

  const place_of = (key) => `deriva-ml ${location.pathname.replace(/[^/]*$/, '')} ${key}`;

  // -------------------------------------------------------------------------------------------------- elements
  /**
   * Makes an element. Texts become text nodes, never markup; an address that is neither of the web nor of this site is left out.
   * @param {string} tag
   * @param {Object<string, any>} [attributes] `onclick` and the like take functions; false, null and undefined are left out
   * @param {...(Node|string|number|null|undefined|Array)} children
   */
  function el(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes ?? {})) {
      if (value === false || value === null || value === undefined) continue;
      if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
      else if ((name !== 'href' && name !== 'src') || ADDRESS.test(value)) node.setAttribute(name, value === true ? '' : value);
    }
    node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
    return node;
  }

  /** The kind of a RID that has a page here: "run", "dataset" or "". @param {string} rid */
  const known = (rid) => (runs.has(rid) ? 'run' : datasets.has(rid) ? 'dataset' : '');

  const linked = (page, rid, text, is) => (is
    ? el('a', { href: `${page}.html#${encodeURIComponent(rid)}`, class: text ? null : 'rid' }, text ?? rid)
    : text ? el('span', {}, text) : el('code', { class: 'rid' }, rid));

  /** A link to a run's page, or its RID as text if the site does not have it. @param {string} rid @param {string} [text] */
  const run = (rid, text) => linked('run', rid, text, runs.has(rid));

  /** The same for a dataset. @param {string} rid @param {string} [text] */
  const dataset = (rid, text) => linked('datasets', rid, text, datasets.has(rid));

  /** A link to a page on the web, or its address as text if it is none. @param {string} url @param {string} [text] */
  const web = (url, text) => (/^https?:\/\//.test(url)
    ? el('a', { href: url, rel: 'noopener noreferrer' }, text ?? url)
    : el('span', {}, text ?? url));

  /** Links to runs, the first few at once and the others on request. @param {string[]} rids @param {number} [most] */
  function listed(rids, most = 4) {
    const links = (some) => some.map((rid) => el('li', {}, run(rid)));
    if (!rids.length) return el('span', { class: 'muted' }, 'none');
    const list = el('ul', { class: 'inline' }, links(rids.slice(0, most)));
    if (rids.length <= most) return list;
    list.dataset.more = `and ${words.number(rids.length - most)} more`; // in print, where there are no buttons
    const more = el('button', {
      type: 'button',
      class: 'plain',
      onclick: () => {
        const first = list.children.length;
        more.remove();
        delete list.dataset.more;
        list.append(...links(rids.slice(most)));
        list.children[first].firstChild.focus();
      },
    }, list.dataset.more);
    return el('div', {}, list, more);
  }

  const TONES = {
    Uploaded: 'good', identical: 'good', equivalent: 'good', Failed: 'bad', different: 'bad', could_not_run: 'bad',
    Aborted: 'warn', Stopped: 'warn', Pending_Upload: 'warn', Created: 'open', Running: 'open',
  };
  const SIGNS = { good: '✓', bad: '✕', warn: '!', open: '…' };

  /** A status or a verdict, told by its word, a sign and a colour. @param {string} word */
  function badge(word) {
    const tone = Object.hasOwn(TONES, word) ? TONES[word] : 'other';
    return el('span', { class: `badge ${tone}` },
      tone === 'other' ? null : el('span', { 'aria-hidden': 'true' }, `${SIGNS[tone]} `), String(word).replaceAll('_', ' '));
  }

  /**
   * A table in a region that scrolls, also by keyboard.
   * @param {{caption: string, headings: (string|Node)[], rows: any[][], numeric?: number[], hideCaption?: boolean,
   *   cards?: boolean}} given
   *   `numeric`: columns of numbers, which stand at the right; `cards`: rows are cards on a telephone, and headings texts;
   *   the first column is each row's heading
   */
  function grid({ caption, headings, rows, numeric = [], hideCaption = false, cards = false }) {
    const at = (index, cell) => (cards && cell === '' ? 'blank' : numeric.includes(index) ? 'number' : null);
    const role = (name) => (cards ? name : null); // a browser takes a table that is drawn as cards for none
    return scrolling(caption, el('table', { class: cards ? 'grid cards' : 'grid', role: role('table') },
      el('caption', { class: hideCaption ? 'unseen' : null }, caption),
      el('thead', { role: role('rowgroup') }, el('tr', { role: role('row') },
        headings.map((heading, i) => el('th', { scope: 'col', class: at(i), role: role('columnheader') }, heading)))),
      el('tbody', { role: role('rowgroup') }, rows.map((row) => el('tr', { role: role('row') }, row.map((cell, i) => (
        el(i ? 'td' : 'th', {
          scope: i ? null : 'row', class: at(i, cell), role: role(i ? 'cell' : 'rowheader'), 'data-label': cards && headings[i],
        }, cell)
      )))))));
  }

  /** Puts something wide into a box that scrolls, and takes the focus where there is something to scroll. */
  function scrolling(label, node) {
    const box = el('div', { class: 'scroll', role: 'group', 'aria-label': label }, node);
    new ResizeObserver(() => {
      const wide = box.scrollWidth > box.clientWidth + 1 || box.scrollHeight > box.clientHeight + 1;
      if (wide) box.tabIndex = 0;
      else box.removeAttribute('tabindex');
    }).observe(box);
    return box;
  }

  /** A time in UTC, as an element that does not break. @param {string} iso */
  const time = (iso) => el('time', { datetime: iso }, words.when(iso));

  /** Names and what they are. @param {[string, any][]} pairs those whose value is null, "" or undefined are left out */
  const facts = (pairs) => el('dl', { class: 'facts' }, pairs
    .filter(([, value]) => value !== null && value !== undefined && value !== '')
    .map(([name, value]) => el('div', {}, el('dt', {}, name), el('dd', {}, value))));

  /** A part of a page with its heading. @param {string} title @param {...any} children */
  const section = (title, ...children) => el('section', { 'aria-label': title }, el('h2', {}, title), ...children);

  // ------------------------------------------------------------------------------------------------------ frame
  /** The part of the address behind #, as text. */
  function place() {
    const raw = location.hash.slice(1);
    try {
      return decodeURIComponent(raw);
    } catch {
      return raw;
    }
  }

  /** Sets the heading, and the title of the window. @param {string} text */
  function title(text) {
    document.getElementById('title').textContent = text;
    document.title = api.info.project ? `${text} · ${api.info.project}` : text;
  }

  /** Says in the page what went wrong. @param {string} text */
  const fail = (text) => document.getElementById('content').replaceChildren(el('p', { class: 'fault', role: 'alert' }, text));

  /** A line for a page that has nothing to show. @param {...any} children */
  const empty = (...children) => el('div', { class: 'empty' }, ...children);

  /** Whether the page is dark: by the person's switch, or else by the system. */
  const dark = () => (document.documentElement.dataset.theme ?? (system.matches ? 'dark' : 'light')) === 'dark';
  const system = matchMedia('(prefers-color-scheme: dark)');
  const turned = () => window.dispatchEvent(new Event('themechange'));

  /** A colour of the style sheet as rgb(…). @param {string} name such as "--accent" */
  function color(name) {
    const probe = document.body.appendChild(el('span', { hidden: true }));
    probe.style.color = `var(${name})`;
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  }

  function theme() {
    const root = document.documentElement;
    const button = document.getElementById('theme');
    const say = () => {
      button.textContent = dark() ? 'Light' : 'Dark';
      button.setAttribute('aria-label', `${button.textContent} colours`);
    };
    const kept = recall('theme', '');
    if (kept === 'dark' || kept === 'light') root.dataset.theme = kept;
    button.hidden = false;
    button.addEventListener('click', () => {
      root.dataset.theme = dark() ? 'light' : 'dark';
      keep('theme', root.dataset.theme);
      say();
      turned();
    });
    system.addEventListener('change', () => { say(); turned(); });
    say();
  }

  function frame(info) {
    const { project, made, runner, count, of, since } = info;
    document.getElementById('project').textContent = project;
    title(document.getElementById('title').textContent);
    const part = `${words.number(count)}${count < of ? ` of ${words.number(of)}` : ''} run${Math.max(count, of) === 1 ? '' : 's'}`;
    document.getElementById('made').textContent = [
      part + (since ? ` since ${since}` : ''), `built ${words.when(made)}`, runner && `runner ${runner}`,
    ].filter(Boolean).join(' · ');
  }

  /**
   * Starts a page. What goes wrong is said in the page, as one line.
   * @param {(content: HTMLElement) => any} main fills the element; called again, with an empty one, when the place changes,
   *   unless it returned a function, which is then called instead
   */
  async function start(main) {
    let moved;
    const draw = async () => {
      const content = el('div', { id: 'content' });
      document.getElementById('content').replaceWith(content);
      moved = await main(content);
    };
    const guarded = async (step) => {
      try {
        await step();
      } catch (error) {
        fail(error instanceof Error ? error.message : String(error));
      }
    };
    theme();
    document.querySelector('.skip').addEventListener('click', (event) => {
      event.preventDefault(); // the place in the address says what the page shows
      document.getElementById('main').focus();
    });
    await guarded(async () => {
      api.info = await load('info');
      api.info.runs.forEach((rid) => runs.add(rid));
      api.info.datasets.forEach((rid) => datasets.add(rid));
      frame(api.info);
      await draw();
    });
    window.addEventListener('hashchange', () => guarded(async () => {
      if (typeof moved === 'function') return moved();
      window.scrollTo(0, 0);
      document.getElementById('main').focus({ preventScroll: true });
      return draw();
    }));
  }

  const api = {
    ...words, info: {}, take, load, recall, keep, el, known, run, dataset, web, listed, badge, grid, scrolling, facts, section,
    time, place, title, fail, empty, dark, color, start,
  };
  return api;
})();
