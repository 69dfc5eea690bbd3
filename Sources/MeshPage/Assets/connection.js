// Keeps what is known fresh: two streams of the daemon, read again after each end, and lists that are
// read when the daemon tells that they changed.

import { changed, listPaths, put, putMap, store } from './store.js';

/** How long nothing may be heard before a stream counts as lost. */
const silenceMilliseconds = 20_000;
/** A browser has six connections to a host, for all its tabs: a hidden one gives its own back. */
const hiddenMilliseconds = 30_000;

/** What the streams of this page end by. */
let stop = new AbortController();
/** @type {ReturnType<typeof setTimeout> | undefined} */
let hiding;
/** The versions of lists that were read. @type {Record<string, unknown>} */
let versions = {};
/** @type {Promise<void>} */
let reading = Promise.resolve();

/** Begins, and goes on as long as the page is seen. */
export function connect() {
  start();
  document.addEventListener('visibilitychange', () => {
    clearTimeout(hiding);
    if (document.hidden) hiding = setTimeout(() => stop.abort(), hiddenMilliseconds);
    else if (stop.signal.aborted) start();
  });
  // The back-forward cache keeps a page without its connections.
  addEventListener('pagehide', () => stop.abort());
  addEventListener('pageshow', () => { if (stop.signal.aborted) start(); });
}

function start() {
  stop = new AbortController();
  follow('/map?watch=true', stop.signal, (text) => putMap(JSON.parse(text)));
  follow('/page/changes', stop.signal, (text) => takeVersions(JSON.parse(text)));
}

/**
 * Reads server-sent events until `signal`, from the start again after each end.
 *
 * @param {string} path
 * @param {AbortSignal} signal
 * @param {(data: string) => void} take
 */
async function follow(path, signal, take) {
  let wait = 500;
  while (!signal.aborted) {
    const attempt = new AbortController();
    const end = () => attempt.abort();
    signal.addEventListener('abort', end);
    /** @type {ReturnType<typeof setTimeout>} */
    let silence = setTimeout(end, silenceMilliseconds);
    try {
      await readEvents(path, attempt.signal, () => {
        clearTimeout(silence);
        silence = setTimeout(end, silenceMilliseconds);
        wait = 500;
        if (store.connection !== 'live') versions = {};
        store.heardAt = Date.now();
        if (store.connection !== 'live') put({ connection: 'live' });
      }, take);
    } catch {
      // The daemon is away, which the page says until it answers again.
    }
    clearTimeout(silence);
    signal.removeEventListener('abort', end);
    if (signal.aborted) return;
    put({ connection: 'lost' });
    await new Promise((resolve) => { setTimeout(resolve, wait * (0.75 + Math.random() / 2)); });
    wait = Math.min(wait * 1.6, 5000);
  }
}

/** @param {string} path @param {AbortSignal} signal @param {() => void} heard @param {(data: string) => void} take */
async function readEvents(path, signal, heard, take) {
  const response = await fetch(path, { signal, headers: { Accept: 'text/event-stream' }, cache: 'no-store' });
  if (!response.ok || !response.body) throw new Error(`${response.status}`);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    heard();
    text += value;
    const parts = text.split('\n\n');
    text = parts.pop() ?? '';
    for (const part of parts) {
      const data = part.split('\n').filter((line) => line.startsWith('data:')).map((line) => line.slice(5).trimStart()).join('\n');
      if (data) take(data);
    }
  }
}

/** @param {string} path */
export async function getJSON(path) {
  const response = await fetch(path, { headers: { Accept: 'application/json' }, cache: 'no-store' });
  if (!response.ok) {
    const body = await response.json().catch(() => ({}));
    throw new Error(body.message ?? `the daemon answered ${response.status}`);
  }
  return response.json();
}

/** Reads the lists whose versions are others than before, one after the other. @param {Record<string, unknown>} newest */
function takeVersions(newest) {
  const mark = 'heddle.page';
  const page = String(newest.page ?? '');
  const own = document.querySelector('meta[name="heddle-page"]')?.getAttribute('content') ?? '';
  // The daemon was replaced by one with another page; once, lest something between goes on serving the old.
  if (page && own && page !== own && sessionStorage.getItem(mark) !== page) {
    sessionStorage.setItem(mark, page);
    location.reload();
    return;
  }
  const due = Object.keys(newest).filter((name) => newest[name] !== versions[name]);
  versions = newest;
  reading = reading.then(() => Promise.all(due.map(read))).then(changed, () => { versions = {}; });
}

/** @param {string} name */
async function read(name) {
  if (name === 'objects') {
    const lists = await Promise.all(Object.entries(listPaths).map(async ([kind, path]) => {
      const list = await getJSON(path);
      return /** @type {[string, any[]]} */ ([kind, list.items.map((/** @type {any} */ item) => ({ ...item, kind }))]);
    }));
    put({ objects: new Map(lists), isLoaded: true });
  } else if (name === 'proxies') await readProxies();
  else if (name === 'certificates') put({ certificates: (await getJSON('/apis/heddle.dev/v1alpha1/certificates')).items });
  else if (name === 'events') put({ events: (await getJSON('/api/v1/events')).items });
  else if (name === 'problems') put({ problems: await getJSON('/problems') });
}

/** Reads the proxies, whose use of CPU and memory changes all the time. */
export async function readProxies() {
  put({ proxies: (await getJSON('/apis/heddle.dev/v1alpha1/proxies')).items });
}
