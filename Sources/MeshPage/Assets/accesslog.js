// The end of a node's access log, followed while it is seen.

import { h } from './view.js';
import { changed } from './store.js';

const lineLimit = 400;

/** What is read. @type {{path: string, lines: {number: number, text: string}[], problem: string, isFollowing: boolean, stop: AbortController} | null} */
let tail = null;
let isPaused = false;
let lineCount = 0;

/** Stops reading; the panel was closed or shows something else. */
export function leaveLog() {
  tail?.stop.abort();
  tail = null;
}

/** @param {string} namespace @param {string} name */
export function accessLog(namespace, name) {
  const path = `/accesslog/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`;
  if (tail?.path !== path) {
    leaveLog();
    isPaused = false;
    begin(path);
  }
  const { lines, problem, isFollowing } = /** @type {NonNullable<typeof tail>} */ (tail);
  return h('div', { class: 'log', key: path },
    h('div', { class: 'log-bar' },
      h('span', { class: 'quiet' }, problem ? 'Not followed' : isPaused ? 'Paused' : isFollowing ? 'Following' : 'Opening…'),
      h('button', { type: 'button', class: 'button small', onclick: () => pause(path) }, isPaused || problem ? 'Follow' : 'Pause')),
    problem && h('p', { class: 'problem' }, problem),
    h('div', { class: 'log-lines', role: 'log', 'aria-label': `Access log of ${name}`, tabindex: 0, created: keepAtEnd },
      lines.length === 0 && !problem && h('p', { class: 'quiet' }, 'No request was logged yet.'),
      lines.map(({ number, text }) => h('div', { key: number, class: `log-line ${statusClass(text)}` }, text))));
}

/** @param {string} path */
function pause(path) {
  if (isPaused || tail?.problem) {
    isPaused = false;
    leaveLog();
    begin(path);
  } else {
    isPaused = true;
    tail?.stop.abort();
  }
  changed();
}

/** @param {string} path */
async function begin(path) {
  const own = { path, lines: /** @type {{number: number, text: string}[]} */ ([]), problem: '', isFollowing: false, stop: new AbortController() };
  tail = own;
  try {
    const response = await fetch(`${path}?tailLines=100&follow=true`, { signal: own.stop.signal, cache: 'no-store' });
    if (!response.ok || !response.body) {
      const body = await response.json().catch(() => ({}));
      throw new Error(body.message ?? `the daemon answered ${response.status}`);
    }
    own.isFollowing = true;
    changed();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const parts = (rest + value).split('\n');
      // A line without an end shall not grow for ever.
      rest = (parts.pop() ?? '').slice(0, 65_536);
      for (const text of parts) if (text) own.lines.push({ number: lineCount += 1, text: text.slice(0, 4000) });
      own.lines.splice(0, own.lines.length - lineLimit);
      changed();
    }
    own.problem = 'The log ended.';
  } catch (error) {
    if (own.stop.signal.aborted) return;
    own.problem = `The access log cannot be read: ${error instanceof Error ? error.message : error}`;
  }
  changed();
}

/** Scrolls down with new lines unless the reader has scrolled up. @param {HTMLElement} element */
function keepAtEnd(element) {
  let isAtEnd = true;
  element.addEventListener('scroll', () => { isAtEnd = element.scrollHeight - element.scrollTop - element.clientHeight < 24; });
  new MutationObserver(() => { if (isAtEnd) element.scrollTop = element.scrollHeight; }).observe(element, { childList: true });
  element.scrollTop = element.scrollHeight;
}

/** Colours a line by the status in it, as App Mesh's default format and JSON have it. @param {string} line */
function statusClass(line) {
  const status = line.match(/" (\d{3}) /)?.[1] ?? line.match(/"(?:response_code|status)":\s*"?(\d{3})/)?.[1] ?? '';
  return status.startsWith('5') || status === '000' ? 'bad' : status.startsWith('4') ? 'warned' : '';
}
