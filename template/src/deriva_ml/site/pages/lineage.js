// The page of a lineage: what a record came from and what came of it, as a graph and as lists, step by step.
'use strict';
/* global site, charts */

{
  const STEPS = [1, 2, 3, 4, 6, 10, 30];
  /** Records of a level that are followed and drawn; of more there is a line. */
  const BESIDE = 20;
  /** Records that are listed at once. */
  const LISTED = 200;
  /** Records that a search names, at most. */
  const FOUND = 20;
  const KINDS = ['run', 'file', 'dataset'];
  const DIRECTIONS = [['What it came from', true, 'before'], ['What came of it', false, 'after']];

  /** The numbers in a version's name, which it sorts by. */
  const order = (version) => (version.match(/\d+/g) ?? []).map(Number);
  function compared(one, other) {
    const [a, b] = [order(one), order(other)];
    const place = a.findIndex((number, i) => number !== (b[i] ?? -1));
    return place < 0 ? a.length - b.length : a[place] - (b[place] ?? -1);
  }
  /** Whether what leads to a dataset's version (`up`), or from it, does so by way of another one. */
  const within = (version, limit, up) => version === limit || (compared(version, limit) < 0) === up;

  /** The edges at each record, in each direction: [the other, the edge's label]. */
  function joined({ nodes, edges }) {
    const [up, down] = [nodes.map(() => []), nodes.map(() => [])];
    for (const [from, to, label] of edges) {
      down[from].push([to, label]);
      up[to].push([from, label]);
    }
    return { up, down };
  }

  /**
   * Follow a record in one direction, level by level.
   * @returns {{levels: number[][], steps: Map<number, [number, string][]>, left: number, more: boolean}} the records of
   *   each level; from each that was followed to those beside it; how many were left out; whether there is more beyond.
   */
  function walk(graph, start, up, most) {
    const beside = up ? graph.joined.up : graph.joined.down;
    const [known, steps, limits] = [new Set([start]), new Map(), new Map()];
    const [levels, found] = [[], { left: 0, more: false }];
    const leads = (one) => beside[one].filter(([, version]) => {
      const limit = limits.get(one);
      return !limit || !version || within(version, limit, up);
    });
    for (let level = [start]; level.length;) {
      if (levels.length === most) {
        found.more = level.some((one) => leads(one).length > 0);
        break;
      }
      const next = [];
      for (const one of level) {
        steps.set(one, leads(one));
        for (const [other, version] of steps.get(one)) {
          if (known.has(other)) continue;
          known.add(other);
          next.push(other);
          if (version && graph.nodes[other][1] === 2) limits.set(other, version);
        }
      }
      found.left += Math.max(0, next.length - BESIDE);
      level = next.slice(0, BESIDE);
      if (level.length) levels.push(level);
    }
    return { levels, steps, ...found };
  }

  /** What is drawn: the records of both walks, and all arrows between them. */
  function drawn(graph, start, walks) {
    const sides = new Map([[start, 0]]);
    for (const { levels, up } of walks) {
      for (const one of levels.flat()) if (!sides.has(one)) sides.set(one, up ? -1 : 1);
    }
    const place = new Map([...sides.keys()].map((one, i) => [one, i]));
    const nodes = [...sides].map(([one, side]) => {
      const [rid, kind, label] = graph.nodes[one];
      return { rid, kind, label: label || rid, side };
    });
    const arrows = new Map();
    for (const one of place.keys()) {
      for (const [other, label] of graph.joined.down[one]) {
        if (!place.has(other)) continue;
        const key = `${one} ${other}`;
        arrows.set(key, [place.get(one), place.get(other), [arrows.get(key)?.[2], label].filter(Boolean).join(', ')]);
      }
    }
    return { nodes, edges: [...arrows.values()] };
  }

  const address = (rid) => `#${encodeURIComponent(rid)}`;

  function mention(graph, one, version) {
    const [rid, kind, label] = graph.nodes[one];
    return [
      site.el('span', { class: `shape shape-${KINDS[kind]}`, 'aria-hidden': 'true' }), `${KINDS[kind]} `,
      site.el('a', { href: address(rid) }, label || rid), label && label !== rid ? site.el('code', {}, ` ${rid}`) : '',
      version ? `, version ${version}` : '',
    ];
  }

  /** A list in which each record is followed where it comes first. */
  function tree(graph, found, one, seen) {
    const beside = found.steps.get(one) ?? [];
    if (!beside.length) return '';
    const list = site.el('ul', { class: 'tree' });
    const add = (from, count) => {
      for (const [other, version] of beside.slice(from, from + count)) {
        const again = seen.has(other);
        seen.add(other);
        list.append(site.el('li', {}, ...mention(graph, other, version), again && found.steps.get(other)?.length ? ' (above)' : '',
          again ? '' : tree(graph, found, other, seen)));
      }
      const left = beside.length - from - count;
      if (left <= 0) return;
      const more = site.el('button', { type: 'button', class: 'more' }, `Show ${Math.min(left, LISTED)} of ${left} more`);
      const item = list.appendChild(site.el('li', {}, more));
      more.addEventListener('click', () => {
        item.remove();
        add(from + count, LISTED);
        list.children[from + count]?.querySelector('a')?.focus();
      });
    };
    add(0, BESIDE);
    return list;
  }

  /** What is known of a record, with links to where there is more. */
  async function details(rid, kind, label) {
    if (kind === 0) {
      const runs = await site.load('runs');
      const i = runs.rid.indexOf(rid);
      return i < 0 ? [['run', site.run(rid, rid)]] : [
        ['run', site.run(rid, rid)], ['workflow', [runs.workflow[i], runs.version[i]].filter(Boolean).join(', version ')],
        ['description', runs.description[i]], ['status', site.badge(runs.status[i])], ['when', site.when(runs.when[i])],
        ['duration', site.seconds(runs.seconds[i])],
      ];
    }
    if (kind === 2) {
      const found = (await site.load('datasets')).find((one) => one.rid === rid);
      return [['dataset', site.dataset(rid, label || rid)], ['RID', rid], ['description', found?.description],
        ['types', found?.types.join(', ')], ['versions', found?.versions.map((one) => one.version).join(', ')]];
    }
    const files = await site.load('files');
    const i = files.rid.indexOf(rid);
    if (i < 0) return [['file', label], ['RID', rid]];
    return [['file', site.el('a', { href: `files.html#${encodeURIComponent(files.name[i])}` }, files.name[i])], ['RID', rid],
      ['table', files.table[i]], ['types', files.types[i].join(', ')], ['size', site.size(files.size[i])], ['MD5', files.md5[i]],
      ['made by', files.made_by[i] ? site.run(files.made_by[i], files.made_by[i]) : '']];
  }

  /** A field that finds records by RID or name. */
  function finder(graph) {
    const field = site.el('input', { type: 'search', id: 'find', autocomplete: 'off', spellcheck: 'false' });
    const found = site.el('ul', { class: 'found' });
    const count = site.el('p', { class: 'unseen', role: 'status' });
    const look = () => {
      const text = site.folded(field.value.trim());
      const hits = [];
      for (let i = 0; text && i < graph.nodes.length && hits.length < FOUND; i += 1) {
        const [rid, , label] = graph.nodes[i];
        if (site.folded(`${rid}\n${label}`).includes(text)) hits.push(i);
      }
      found.replaceChildren(...hits.map((one) => site.el('li', {}, ...mention(graph, one, ''))));
      count.textContent = text && `${hits.length === FOUND ? 'The first ' : ''}${hits.length} found`;
    };
    field.addEventListener('input', look);
    const form = site.el('form', { role: 'search' }, site.el('label', { for: 'find' }, 'Find a run, dataset or file '), field, count, found);
    form.addEventListener('submit', (event) => { event.preventDefault(); found.querySelector('a')?.click(); });
    return form;
  }

  function chooser(steps, then) {
    const select = site.el('select', { id: 'steps' }, ...STEPS.map((one) => site.el('option', { value: String(one) }, String(one))));
    select.value = String(steps);
    select.addEventListener('change', () => then(Number(select.value)));
    return site.el('p', { class: 'controls' }, site.el('label', { for: 'steps' }, 'Steps to follow '), select);
  }

  function said(walks) {
    const count = ({ levels }) => levels.reduce((sum, level) => sum + level.length, 0);
    const line = `Records within the steps: ${walks.map((one) => `${count(one)} ${one.where}`).join(', ')}.`;
    const left = walks.reduce((sum, one) => sum + one.left, 0);
    const more = walks.some((one) => one.more);
    return [line, left ? ` ${left} more stand beside these and are not drawn: each step shows ${BESIDE}.` : '',
      more ? ' There is more beyond: follow more steps.' : ''].join('');
  }

  let steps = 3;

  site.start(async (content) => {
    const graph = await site.load('graph');
    graph.joined = joined(graph);
    const places = new Map(graph.nodes.map(([rid], i) => [rid, i]));
    const place = site.el('div', { id: 'lineage' });
    const status = site.el('p', { id: 'said', role: 'status' });
    const form = finder(graph);

    async function show() {
      const rid = site.place();
      if (!place.isConnected) content.replaceChildren(form, status, place); // at first, and after a fault
      const start = places.get(rid);
      site.title(rid ? `Lineage of ${rid}` : 'Lineage');
      if (start === undefined) {
        place.replaceChildren();
        status.textContent = rid ? `${rid} is not in this site.` : 'Find a record, or follow “Lineage” from the page of one.';
        return;
      }
      const [, kind, label] = graph.nodes[start];
      const walks = DIRECTIONS.map(([title, up, where]) => ({ title, up, where, ...walk(graph, start, up, steps) }));
      status.textContent = said(walks);
      const picture = site.el('div', { id: 'graph' });
      const facts = site.el('div', { id: 'details' });
      const lists = walks.map((found) => site.section(found.title,
        tree(graph, found, start, new Set([start])) || site.el('p', {}, 'Nothing that is recorded.')));
      place.replaceChildren(chooser(steps, (chosen) => { steps = chosen; show().then(() => document.getElementById('steps').focus()); }),
        picture, facts, site.el('div', { class: 'columns' }, ...lists));
      facts.append(site.section(`${KINDS[kind]} ${label || rid}`, site.facts((await details(rid, kind, label)).filter(([, what]) => what))));
      charts.graph(picture, {
        title: `Lineage of ${KINDS[kind]} ${label || rid}`, focus: rid, ...drawn(graph, start, walks),
        select: (other) => { window.location.hash = address(other); },
      }).catch((error) => picture.replaceChildren(site.el('p', { class: 'fault' }, error.message)));
    }

    await show();
    return async () => {
      window.scrollTo(0, 0);
      document.getElementById('main').focus({ preventScroll: true });
      await show();
    };
  });
}
