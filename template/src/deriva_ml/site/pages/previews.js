'use strict';
/** Files of a run: a list of them, and what is in those that can be shown. */
/* global site */
const previews = (() => {
  const { el } = site;
  /** Rows of a list, and previews, that are there at first. */
  const ROWS = 50;
  const SHOWN = 12;
  /** Characters of a value that stand in a row. */
  const LONG = 300;

  /**
   * Puts what is made of each item into a list, the first ones at once and the others on request.
   * @param {Element} list @param {any[]} items @param {number} step @param {(item: any) => Element} make @param {string} what
   * @returns {Element[]} the list, and the button that brings more
   */
  function inSteps(list, items, step, make, what) {
    let at = 0;
    const button = el('button', { type: 'button', class: 'more', onclick: () => more(true) });
    const more = (moved) => {
      const made = items.slice(at, at + step).map(make);
      at += made.length;
      list.append(...made);
      const left = items.length - at;
      button.textContent = `Show ${site.number(Math.min(step, left))} more of ${site.number(items.length)} ${what}`;
      button.hidden = !left;
      if (!moved) return;
      made[0].tabIndex = -1;
      made[0].focus();
    };
    more(false);
    return [list, button];
  }

  /** A text that may be long: then its beginning, which opens. @param {string} text */
  function long(text) {
    if (text.length <= LONG) return text;
    return el('details', {}, el('summary', {}, `${text.slice(0, 80)}…`), el('pre', { class: 'code' }, text));
  }

  /** A block of text that scrolls. @param {string} label @param {string|Node[]} text */
  function block(label, text) {
    const node = site.scrolling(label, el('pre', {}, text));
    node.classList.add('code');
    return node;
  }

  /**
   * A page that was made by a run, or of it, in a frame that may do nothing.
   * @param {{src: string, height: number}} page in this site, with about what it needs @param {string} title
   */
  function framed({ src, height }, title) {
    const inside = el('iframe', { sandbox: '', src, title, loading: 'lazy' });
    const frame = el('div', { class: 'frame' }, inside);
    turn(inside);
    frame.style.setProperty('--needed', `${height + 2}px`);
    return el('div', { class: 'framed' }, frame,
      el('p', { class: 'note' }, el('a', { href: src, target: '_blank', rel: 'noopener', 'aria-label': `Open ${title} by itself` }, 'Open it by itself')));
  }

  /** Makes a frame dark or light, as this page is: what is sandboxed does not know. @param {HTMLIFrameElement} inside */
  function turn(inside) {
    inside.src = `${inside.getAttribute('src').split('#')[0]}#${site.dark() ? 'dark' : 'light'}`;
  }
  addEventListener('themechange', () => document.querySelectorAll('.frame iframe').forEach(turn));

  /** @param {{name: string, description: string, preview: any}} file */
  function shown({ name, description, preview }) {
    if (preview.kind === 'picture') return picture(name, description, preview);
    if (preview.kind === 'table') return table(name, preview);
    if (preview.kind === 'page') return framed(preview, name);
    return [block(name, preview.text), preview.more ? el('p', { class: 'note' }, 'The file goes on.') : null];
  }

  function picture(name, description, { src, width, height }) {
    const image = el('img', { src, width, height, alt: description ? `${name}: ${description}` : name, loading: 'lazy' });
    image.addEventListener('error', () => image.replaceWith(el('p', { class: 'note' }, 'No browser shows this picture: it is damaged, or missing in the site.')));
    const link = el('a', { href: src, target: '_blank', rel: 'noopener', class: 'picture' }, image);
    link.style.width = `min(100%, ${width}px, ${28 * width / height}rem)`; // its place is there before it is
    return link;
  }

  function table(name, { headings, rows, more, more_columns: columns }) {
    const numeric = headings.map((_, at) => at).filter((at) => at && rows.some((row) => row[at]) && rows.every((row) => !row[at] || Number.isFinite(Number(row[at]))));
    const left = [
      more === null ? 'more rows' : more ? site.counted(more, 'more rows') : '',
      columns ? site.counted(columns, 'more columns') : '',
    ].filter(Boolean).join(' and ');
    return [
      site.grid({ caption: `The first rows of ${name}`, hideCaption: true, headings, rows, numeric }),
      left ? el('p', { class: 'note' }, `${left} in the file.`) : null,
    ];
  }

  /** Says in a chart's place why it cannot be drawn. @param {Element} node @param {Promise<any>} drawn */
  const charted = (node, drawn) => drawn.catch((error) => node.replaceChildren(el('p', { class: 'note' }, error.message)));

  /** A figure with what is in a file. */
  function figure(file) {
    return el('figure', { class: `preview ${file.preview.kind}` },
      el('figcaption', {}, named(file), file.description ? ` ${file.description}` : null), shown(file));
  }

  /** A file's name, which leads to who made and read it. */
  const named = ({ name }) => el('a', { href: `files.html#${encodeURIComponent(name)}` }, name);

  /**
   * Files in a table, and below it what is in them.
   * @param {string} caption @param {any[]} list @param {(file: any) => boolean} [elsewhere] what is shown elsewhere
   */
  function files(caption, list, elsewhere = () => false) {
    if (!list.length) return el('p', { class: 'muted' }, 'None.');
    const row = (file) => el('tr', {},
      el('th', { scope: 'row' }, named(file)),
      el('td', {}, file.types.map((type) => el('span', { class: 'chip' }, type))),
      el('td', { class: 'number' }, site.size(file.size)),
      el('td', {}, el('code', { class: 'rid' }, file.rid)),
      el('td', {}, el('code', { class: 'digest' }, file.md5)));
    const body = el('tbody');
    const [, button] = inSteps(body, list, ROWS, row, 'files');
    const known = list.filter((file) => file.preview && !elsewhere(file));
    return [
      site.scrolling(caption, el('table', { class: 'grid files' },
        el('caption', { class: 'unseen' }, caption),
        el('thead', {}, el('tr', {}, ['File', 'Types', 'Size', 'RID', 'MD5'].map((one) => el('th', { scope: 'col', class: one === 'Size' ? 'number' : null }, one)))),
        body)),
      button,
      known.length ? inSteps(el('div', { class: 'previews' }), known, SHOWN, figure, 'previews') : null,
    ];
  }

  return { files, framed, block, long, inSteps, charted };
})();
