'use strict';
/** Datasets with their versions: what each holds, which run made it, and which read it. */
site.start(async (content) => {
  const { el } = site;
  const STEP = 20;
  const PAUSE = 120;
  const datasets = await site.load('datasets');
  if (!datasets.length) {
    content.append(site.empty(el('p', {}, 'No dataset is recorded. The files of a folder become one by:'),
      el('pre', { class: 'code' }, 'uv run deriva-ml-dataset create NAME FOLDER')));
    return undefined;
  }
  const texts = datasets.map(({ rid, name, description, types, versions }) => site.folded([
    rid, name, description, ...types,
    ...versions.flatMap((one) => [one.version, one.description, one.digest, one.made_by, ...one.read_by]),
  ].join('\n')));
  let most = STEP;
  let timer = 0;

  const search = el('input', {
    type: 'search', id: 'search', autocomplete: 'off', spellcheck: 'false', placeholder: 'words that all occur', oninput: typed,
  });
  const found = el('p', { class: 'found', role: 'status', id: 'found' });
  const more = el('button', { type: 'button', id: 'more', onclick: () => { most += STEP; list(); } }, 'Show more');
  const cards = el('div');
  const tools = el('search', { class: 'tools no-print', 'aria-label': 'Find datasets' },
    el('div', { class: 'field field-search' }, el('label', { for: 'search' }, 'Search'), search));
  show();
  return show;

  /** Shows what the address says: one dataset, or those that have its words. */
  function show() {
    const one = datasets.find(({ rid }) => rid === site.place());
    site.title(one ? one.name || 'Dataset' : 'Datasets');
    if (one) {
      content.replaceChildren(el('p', {}, el('a', { href: 'datasets.html' }, 'All datasets')), card(one, false));
      window.scrollTo(0, 0);
      document.getElementById('main').focus({ preventScroll: true }); // the link that led here is gone
      return;
    }
    if (!tools.isConnected) content.replaceChildren(tools, el('div', { class: 'above' }, found), cards, more);
    if (!timer) search.value = site.place();
    list();
  }

  function typed() {
    clearTimeout(timer);
    timer = setTimeout(() => {
      timer = 0;
      most = STEP;
      location.replace(`#${encodeURIComponent(search.value)}`);
    }, PAUSE);
  }

  function list() {
    const tests = query.search(search.value, (at) => texts[at]);
    const meant = datasets.filter((_, at) => tests.every((test) => test(at)));
    cards.replaceChildren(...meant.slice(0, most).map((dataset) => card(dataset, true)));
    const rest = meant.length < datasets.length ? `, of ${site.number(datasets.length)} in all` : '';
    found.textContent = `${site.counted(meant.length, 'datasets')}${rest}`;
    more.hidden = meant.length <= most;
  }

  /** One dataset. @param {boolean} among whether others stand beside it */
  function card({ rid, name, description, types, deleted, versions }, among) {
    const text = name || 'Dataset';
    return el('section', { 'aria-label': `${text}, ${rid}`, class: 'dataset' },
      among ? el('h2', {}, site.dataset(rid, text)) : null,
      el('div', { class: 'about' }, el('code', { class: 'rid' }, rid), types.map((type) => el('span', { class: 'chip' }, type)),
        deleted ? el('span', { class: 'badge warn' }, el('span', { 'aria-hidden': 'true' }, '! '), 'deleted') : null,
        el('a', { href: `lineage.html#${encodeURIComponent(rid)}`, 'aria-label': `Lineage of ${text}, ${rid}` }, 'Lineage')),
      description ? el('p', {}, description) : null,
      versions.length ? site.grid({
        caption: `Versions of ${text}, ${rid}`,
        hideCaption: true,
        cards: true,
        headings: ['Version', 'When', 'Description', 'Files', 'Size', 'Made by', 'Read by', 'Digest'],
        numeric: [3, 4],
        rows: versions.map((version) => [
          version.version, site.time(version.when), version.description, site.number(version.files), site.size(version.bytes),
          version.made_by ? site.run(version.made_by) : '', version.read_by.length ? site.listed(version.read_by) : '',
          version.digest ? el('code', { class: 'digest' }, version.digest) : '',
        ]),
      }) : el('p', { class: 'muted' }, 'No version is released, and no run has read it.'));
  }
});
