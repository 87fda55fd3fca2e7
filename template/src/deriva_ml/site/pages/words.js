'use strict';
/** Words for values: numbers, times, sizes, durations. */
const words = (() => {
  // Made once: to ask for one for each number takes most of the time of drawing a table.
  const grouped = new Intl.NumberFormat('en');
  const plain = new Intl.NumberFormat('en', { useGrouping: false });

  /** A number that was measured: up to six digits that count. @param {number|string|null} x */
  function number(x) {
    if (x === null || x === undefined) return '';
    const value = Number(x);
    if (Number.isNaN(value)) return 'NaN';
    if (!Number.isFinite(value)) return String(value);
    const size = Math.abs(value);
    if (Number.isInteger(value) && size < 1e15) return (size >= 1e4 ? grouped : plain).format(value);
    if (size < 1e7 && size >= 1e-4) return String(Number(value.toPrecision(6)));
    return value.toExponential(5).replace(/\.?0+e/, 'e').replace('e+', 'e');
  }

  /** How many there are of what. @param {number} count @param {string} noun in the plural, which ends in s */
  const counted = (count, noun) => `${number(count)} ${count === 1 ? noun.slice(0, -1) : noun}`;

  /** A value that was given, exactly as it was. @param {any} json */
  function value(json) {
    if (json === undefined) return '';
    if (json === null) return 'none';
    return typeof json === 'object' ? JSON.stringify(json) : String(json);
  }

  /** A text as it is searched: whichever case, and whether an accent is a character of its own or part of its letter. */
  const folded = (text) => String(text).normalize('NFC').toLowerCase();

  /** A time, in UTC. @param {string} iso */
  const when = (iso) => (iso ? `${iso.slice(0, 10)} ${iso.slice(11, 16)} UTC` : '');

  /** @param {number|null} bytes */
  function size(bytes) {
    if (bytes === null || bytes === undefined) return '';
    const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
    let at = 0;
    let left = bytes;
    while (left >= 999.5 && at < units.length - 1) [left, at] = [left / 1000, at + 1];
    return `${at ? left.toPrecision(3) : left} ${units[at]}`;
  }

  /** A duration. @param {number|null} n seconds */
  function seconds(n) {
    if (n === null || n === undefined) return '';
    if (n < 99.95) return `${n < 9.995 ? n.toFixed(2) : n.toFixed(1)} s`;
    const minutes = Math.round(n / 60);
    if (minutes < 60) return `${Math.floor(n / 60)} min ${Math.floor(n % 60)} s`;
    return minutes < 2880 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${Math.round(minutes / 1440)} days`;
  }

  return { number, counted, value, folded, when, size, seconds };
})();
