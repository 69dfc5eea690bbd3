// Numbers, times and durations as people read them.

/** Requests a second: `0`, `0.4`, `37`, `1.2k`. @param {number} value */
export function rate(value) {
  if (!(value > 0)) return '0';
  if (value < 0.1) return '<0.1';
  if (value < 9.95) return value.toFixed(1);
  return count(value);
}

/** `37`, `1.2k`, `3.4M`. @param {number} value */
export function count(value) {
  if (value < 999.5) return String(Math.round(value));
  if (value < 999_500) return `${(value / 1000).toFixed(value < 9950 ? 1 : 0)}k`;
  return `${(value / 1_000_000).toFixed(value < 9_950_000 ? 1 : 0)}M`;
}

/** A part of 1, never rounded to all or nothing. @param {number | null | undefined} value */
export function percent(value) {
  if (value === undefined || value === null) return '–';
  const number = value * 100;
  if (number === 0 || number === 100) return `${number} %`;
  if (number > 99.9) return '>99.9 %';
  if (number < 0.1) return '<0.1 %';
  return `${number.toFixed(number < 10 || number > 99 ? 1 : 0)} %`;
}

/** A share, to the whole percent. @param {number | null | undefined} value */
export function share(value) {
  return value === undefined || value === null ? '–' : `${Math.round(value * 100)} %`;
}

/** `0.8 ms`, `12 ms`, `1.24 s`. @param {number | null | undefined} value */
export function milliseconds(value) {
  if (value === undefined || value === null) return '–';
  if (value < 1) return `${value.toFixed(2)} ms`;
  if (value < 9.95) return `${value.toFixed(1)} ms`;
  if (value < 999.5) return `${Math.round(value)} ms`;
  return `${(value / 1000).toFixed(value < 9950 ? 2 : 1)} s`;
}

/** @param {number | null | undefined} value */
export function microseconds(value) {
  if (value === undefined || value === null) return '–';
  return value < 1000 ? `${Math.round(value)} µs` : milliseconds(value / 1000);
}

/** @param {number} value */
export function bytes(value) {
  if (value < 1000) return `${Math.round(value)} B`;
  const units = ['kB', 'MB', 'GB', 'TB'];
  let number = value;
  let unit = 'B';
  for (const next of units) {
    if (number < 999.5) break;
    number /= 1000;
    unit = next;
  }
  return `${number.toFixed(number < 9.95 ? 1 : 0)} ${unit}`;
}

/** How long: `12 s`, `3 min`, `5 h`, `12 d`. @param {number} seconds */
export function duration(seconds) {
  const value = Math.max(0, seconds);
  if (value < 60) return `${Math.floor(value)} s`;
  if (value < 3600) return `${Math.floor(value / 60)} min`;
  if (value < 2 * 86_400) return `${Math.floor(value / 3600)} h`;
  if (value < 2 * 365 * 86_400) return `${Math.floor(value / 86_400)} d`;
  return `${Math.floor(value / (365 * 86_400))} y`;
}

/** How long ago. @param {string | undefined} timestamp */
export function age(timestamp) {
  const time = timestamp ? Date.parse(timestamp) : NaN;
  return Number.isNaN(time) ? '–' : duration((Date.now() - time) / 1000);
}

/** How long until. @param {string | undefined} timestamp */
export function until(timestamp) {
  const time = timestamp ? Date.parse(timestamp) : NaN;
  if (Number.isNaN(time)) return '–';
  return time < Date.now() ? `ended ${duration((Date.now() - time) / 1000)} ago` : `in ${duration((time - Date.now()) / 1000)}`;
}

/** The time of day. @param {number} millisecondsSince1970 */
export function clock(millisecondsSince1970) {
  const time = new Date(millisecondsSince1970);
  const two = (/** @type {number} */ value) => String(value).padStart(2, '0');
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}

/** A kind in words: `Virtual node`. @param {string} kind */
export function kindWords(kind) {
  const words = kind.replace(/([a-z])([A-Z])/g, '$1 $2').split(' ');
  return words.map((word, index) => (index === 0 ? word : word.toLowerCase())).join(' ');
}

/**
 * A value as YAML, as its author would have written it.
 *
 * @param {any} value
 * @param {string} indentation
 * @returns {string}
 */
export function yaml(value, indentation = '') {
  if (Array.isArray(value)) {
    if (value.length === 0) return '[]';
    return value.map((item) => {
      const text = yaml(item, `${indentation}  `);
      return `\n${indentation}- ${text.startsWith('\n') ? text.trimStart() : text}`;
    }).join('');
  }
  if (value !== null && typeof value === 'object') {
    const entries = Object.entries(value);
    if (entries.length === 0) return '{}';
    return entries.map(([key, item]) => {
      const text = yaml(item, Array.isArray(item) ? indentation : `${indentation}  `);
      return `\n${indentation}${scalar(key)}:${text.startsWith('\n') ? text : ` ${text}`}`;
    }).join('');
  }
  return typeof value === 'string' ? scalar(value) : String(value);
}

/** @param {string} text */
function scalar(text) {
  const isPlain = /^[A-Za-z/_.][\w./@*-]*( [\w./@*-]+)*$/.test(text)
    && !/^(true|false|null|yes|no|on|off|~)$/i.test(text);
  return isPlain ? text : JSON.stringify(text);
}
