'use strict';
/** The table of files by name: which run made each, and which read it. */
site.start(async (content) => {
  const { el } = site;
  const data = await site.load('files');
  const count = data.name.length;
  if (!count) {
    content.append(site.empty(el('p', {}, 'No run in this site has made or read a file.')));
    return undefined;
  }
  const kinds = data.types.map((types) => types.join(', '));
  const lineage = (row) => el('a', {
    href: `lineage.html#${encodeURIComponent(data.rid[row])}`, 'aria-label': `Lineage of ${data.name[row].slice(0, 80)}`,
  }, 'Lineage');
  const columns = [
    { name: 'name', label: 'Name', values: data.name, cell: (row) => el('div', { class: 'clamp' }, data.name[row]) },
    {
      name: 'made_by', label: 'Made by', values: data.made_by,
      cell: (row) => (data.made_by[row] ? site.run(data.made_by[row]) : ''),
    },
    {
      name: 'read_by', label: 'Read by', values: data.read_by.map((rids) => rids.length),
      cell: (row) => (data.read_by[row].length ? site.listed(data.read_by[row], 2) : ''),
    },
    { name: 'size', label: 'Size', values: data.size, numeric: true, cell: (row) => site.size(data.size[row]) },
    { name: 'types', label: 'Types', values: kinds },
    { name: 'table', label: 'Table', values: data.table },
    { name: 'RID', label: 'RID', values: data.rid, cell: (row) => el('code', { class: 'rid' }, data.rid[row]) },
    { name: 'md5', label: 'MD5', values: data.md5, cell: (row) => (data.md5[row] ? el('code', {}, data.md5[row]) : '') },
    { name: 'lineage', label: 'Lineage', values: data.rid, cell: lineage },
  ];
  const texts = [];
  const text = (row) => {
    texts[row] ??= site.folded([
      data.name[row], data.rid[row], kinds[row], data.md5[row], data.made_by[row], ...data.read_by[row],
    ].join('\n'));
    return texts[row];
  };
  const draw = table.make(content, {
    noun: 'files',
    count,
    columns,
    words: text,
    facets: [{ name: 'table', label: 'Table', values: data.table }, { name: 'types', label: 'Types', values: kinds }],
  });
  draw();
  return draw;
});
