'use strict';
/** Which rows are meant: words that are looked for, conditions as `deriva-ml-catalog results --where` takes them, an order. */
const query = (() => {
  /** @typedef {{name: string, label: string, values: any[]}} Column `name` is unique; null in values: has none */
  const TOKEN = new RegExp([
    /(?<operator>==|!=|<>|<=|>=|=|<|>)/, /`(?<quoted>(?:[^`]|``)+)`/,
    /(?<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')/, /(?<word>[^\s`'"=<>!]+)/,
  ].map(({ source }) => `\\s*${source}`).join('|'), 'sy');
  const collator = new Intl.Collator('en', { numeric: true, sensitivity: 'base' });
  const JOINED = 'a condition is NAME > VALUE, or with another of = != < <= >=; conditions are joined by and';

  function tokens(text) {
    const found = [];
    TOKEN.lastIndex = 0;
    while (text.slice(TOKEN.lastIndex).trim()) {
      const at = TOKEN.lastIndex;
      const match = TOKEN.exec(text);
      if (!match) throw new Error(`there is no sense in ${text.slice(at).trim().slice(0, 20)}`);
      const [kind, said] = Object.entries(match.groups).find(([, group]) => group !== undefined);
      found.push({ kind, said });
    }
    return found;
  }

  /** A value of a condition: a number, none, or a text, which words stand for themselves. */
  function literal({ kind, said }) {
    if (kind === 'operator') throw new Error(`there is no value after ${said}`);
    if (kind === 'text') return said.slice(1, -1).replace(/\\(.)/gs, '$1');
    const word = said.toLowerCase();
    if (word === 'none' || word === 'null') return null;
    return kind === 'word' && (word === 'nan' || !Number.isNaN(Number(said))) ? Number(said) : said;
  }

  /** The column that a name means, which may leave out what comes before its last parts. @param {Column[]} columns */
  function meant(name, columns) {
    const low = site.folded(name);
    const exact = columns.find((column) => column.name === name)
      ?? columns.find((column) => site.folded(column.name) === low || site.folded(column.label) === low);
    if (exact) return exact;
    const ends = columns.filter((column) => site.folded(column.name).endsWith(`.${low}`));
    if (ends.length === 1) return ends[0];
    if (!ends.length) throw new Error(`no column is called ${name}`);
    throw new Error(`${name} may be ${ends.map((column) => column.name).join(' or ')}`);
  }

  /**
   * Reads conditions such as `accuracy > 0.9 and l2 < 1`.
   * @param {string} text @param {Column[]} columns @returns {((row: number) => boolean)[]} @throws {Error} what is wrong with it
   */
  function conditions(text, columns) {
    const found = [];
    const left = tokens(text);
    while (left.length) {
      const [name, operator, value] = left;
      if (name.kind === 'operator' || name.kind === 'text' || operator?.kind !== 'operator' || !value) throw new Error(JOINED);
      const { values } = meant(name.kind === 'quoted' ? name.said.replaceAll('``', '`') : name.said, columns);
      const wanted = literal(value);
      found.push((row) => holds(values[row], operator.said, wanted));
      left.splice(0, 3);
      if (left.length && (left.shift().said.toLowerCase() !== 'and' || !left.length)) throw new Error(JOINED);
    }
    return found;
  }

  /**
   * Whether a value meets a condition. What a row does not have meets `= none` only; a number equals also what is
   * shown of it.
   */
  function holds(value, operator, wanted) {
    const has = value !== null && value !== undefined;
    if (wanted === null) return operator === '=' || operator === '==' ? !has : has && (operator === '!=' || operator === '<>');
    if (!has) return false;
    const own = typeof value === 'number' ? value : typeof value === 'object' ? JSON.stringify(value) : String(value);
    const same = Object.is(own, wanted) || own === wanted || (typeof own === 'number' && Number(own.toPrecision(6)) === wanted);
    if (operator === '=' || operator === '==') return same;
    if (operator === '!=' || operator === '<>') return !same;
    if (typeof own !== typeof wanted) return false;
    if (operator === '<') return own < wanted;
    if (operator === '<=') return own <= wanted;
    return operator === '>' ? own > wanted : own >= wanted;
  }

  /** Makes a test whether a row has all words. @param {string} text @param {(row: number) => string} words folded */
  function search(text, words) {
    const wanted = site.folded(text).split(/\s+/).filter(Boolean);
    return wanted.length ? [(row) => { const has = words(row); return wanted.every((word) => has.includes(word)); }] : [];
  }

  const rank = (value) => {
    if (value === null || value === undefined || value === '') return 4;
    if (typeof value === 'number') return Number.isNaN(value) ? 3 : 0;
    return typeof value === 'boolean' ? 1 : 2;
  };

  /** Sorts rows by a column; what has no value comes last, either way. @param {number[]} rows @param {any[]} values */
  function sort(rows, values, descending) {
    const sign = descending ? -1 : 1;
    return rows.sort((a, b) => {
      const [one, other] = [values[a], values[b]];
      const [first, second] = [rank(one), rank(other)];
      if (first !== second) return first > 2 || second > 2 ? first - second : sign * (first - second);
      if (first > 2) return a - b;
      return sign * (first === 2 ? collator.compare(site.value(one), site.value(other)) : one - other) || a - b;
    });
  }

  return { conditions, search, sort };
})();
