// The page: its head, the view that the address names, and the panel beside it.

import { h, render } from './view.js';
import { icon } from './icons.js';
import { clock, count, percent, rate } from './format.js';
import { connect, readProxies } from './connection.js';
import { eventsView } from './events.js';
import { listView } from './tables.js';
import { mapView } from './map.js';
import { close, panelView } from './panel.js';
import { address, route, viewNames } from './route.js';
import { closeSearch, openSearch, searchView } from './search.js';
import { changed, put, shownMap, store, subscribe } from './store.js';
import { tracesView } from './traces.js';

const views = { map: mapView, list: listView, traces: tracesView, events: eventsView };
const themes = ['auto', 'light', 'dark'];

function page() {
  const { view, open } = route();
  document.body.className = `${store.connection} ${open ? 'has-panel' : ''} view-${view}`;
  document.title = title();
  render(document.body, [
    h('a', { class: 'skip', href: '#main', key: 'skip', onclick: skip }, 'Skip to the content'),
    head(view),
    banner(),
    h('main', { id: 'main', key: 'main', tabindex: -1 }, views[/** @type {keyof typeof views} */ (view)](), panelView()),
    searchView(),
    h('div', { key: 'told', class: 'unseen', 'aria-live': 'polite' }, told()),
  ].filter((one) => one !== null));
}

/** @param {Event} event */
function skip(event) {
  event.preventDefault();
  document.getElementById('main')?.focus();
}

function title() {
  const failing = (store.map?.nodes ?? []).filter((node) => node.health === 'failing').length;
  return failing > 0 ? `(${failing} failing) Heddle` : 'Heddle';
}

// MARK: Head

/** @param {string} view */
function head(view) {
  return h('header', { class: 'head', key: 'head' },
    h('a', { class: 'brand', href: '#/map', 'aria-label': 'Heddle, the map' }, h('svg', { viewBox: '0 0 24 24', 'aria-hidden': 'true' }, ['M5 3v18', 'M10 3v18', 'M14 3v18', 'M19 3v18'].map((d) => h('path', { d })),
      h('path', { class: 'weft', d: 'M2 8c4 0 4 4 8 4s4-4 8-4M2 16c4 0 4-4 8-4s4 4 8 4h4' })), h('span', null, 'Heddle')),
    h('nav', { 'aria-label': 'Views' }, Object.entries(viewNames).map(([name, text]) => h('a', { key: name, href: address({ view: name, trace: null }), 'aria-current': name === view ? 'page' : null }, text))),
    summary(),
    h('div', { class: 'head-tools' },
      scope(),
      h('button', { type: 'button', class: 'search-button', onclick: openSearch, 'aria-label': 'Search objects', 'aria-keyshortcuts': '/' }, icon('search'), h('span', null, 'Search'), h('kbd', null, '/')),
      themeButton(),
      connectionMark()));
}

/** The mesh at a glance. */
function summary() {
  const { nodes, edges } = shownMap();
  const inside = nodes.filter((node) => node.kind === 'VirtualNode' || node.kind === 'VirtualGateway');
  if (inside.length === 0) return h('div', { class: 'summary' });
  const http = edges.filter((edge) => edge.isHTTP);
  const perSecond = http.reduce((sum, edge) => sum + edge.traffic.requestsPerSecond, 0);
  const failures = http.reduce((sum, edge) => sum + edge.traffic.failuresPerSecond, 0);
  const [ready, proxies] = [inside.reduce((sum, node) => sum + node.readyProxies, 0), inside.reduce((sum, node) => sum + node.proxies, 0)];
  const bad = inside.filter((node) => node.health === 'failing').length;
  return h('div', { class: 'summary', 'aria-label': 'Summary' },
    figure(count(inside.length), inside.length === 1 ? 'node' : 'nodes'), figure(`${rate(perSecond)}/s`, 'calls'),
    figure(perSecond > 0 ? percent(1 - failures / perSecond) : '–', 'success'), figure(`${ready}/${proxies}`, 'proxies', ready < proxies ? 'warned' : ''),
    bad > 0 && figure(String(bad), 'failing', 'bad'));
}

/** @param {string} value @param {string} label @param {string} [kind] */
const figure = (value, label, kind = '') => h('span', { key: label, class: `figure ${kind}` }, h('b', null, value), ` ${label}`);

/** Chooses a mesh and a namespace. */
function scope() {
  const nodes = store.map?.nodes ?? [];
  const meshes = [...new Set(nodes.map((node) => node.mesh).filter(Boolean))].sort();
  const namespaces = [...new Set([...nodes.map((node) => node.namespace), ...(store.objects.get('VirtualNode') ?? []).map((one) => one.metadata.namespace)].filter(Boolean))].sort();
  const choice = (/** @type {string} */ label, /** @type {'mesh' | 'namespace'} */ name, /** @type {string[]} */ options) => (options.length > 1 || store[name]) && h('select', {
    key: name, 'aria-label': label, value: store[name], onchange: (/** @type {any} */ event) => put({ [name]: event.target.value }),
  }, h('option', { key: '', value: '' }, name === 'mesh' ? 'All meshes' : 'All namespaces'), options.map((option) => h('option', { key: option, value: option, selected: option === store[name] }, option)));
  return h('div', { class: 'scope' }, choice('Mesh', 'mesh', meshes), choice('Namespace', 'namespace', namespaces));
}

function theme() {
  try { return localStorage.getItem('heddle.theme') ?? 'auto'; } catch { return 'auto'; }
}

/** @param {string} name */
function setTheme(name) {
  try { localStorage.setItem('heddle.theme', name); } catch { /* It is forgotten with the page. */ }
  document.documentElement.dataset.theme = name;
  changed();
}

function themeButton() {
  const now = document.documentElement.dataset.theme ?? 'auto';
  const next = themes[(themes.indexOf(now) + 1) % themes.length];
  return h('button', { type: 'button', class: 'icon-button theme', onclick: () => setTheme(next), title: `Colours: ${now}`, 'aria-label': `Colours: ${now}. Change to ${next}` }, icon(now));
}

function connectionMark() {
  const words = { live: 'Live', connecting: 'Connecting', lost: 'Away' }[store.connection];
  const seen = store.map ? `The map is of ${clock(store.map.timeSeconds * 1000)}` : '';
  return h('span', { class: `connection ${store.connection}`, title: seen }, h('i', { 'aria-hidden': 'true' }), h('span', null, words));
}

function banner() {
  if (store.connection === 'lost') {
    return h('div', { key: 'lost', class: 'banner lost', role: 'alert' }, icon('failing'),
      h('span', null, h('b', null, 'Heddle does not answer.'), store.heardAt > 0 ? ` What you see is of ${clock(store.heardAt)}; the proxies go on with what they have. ` : ' ', 'This page connects again by itself.'));
  }
  if (store.problems.length === 0) return null;
  return h('details', { key: 'problems', class: 'banner problems' },
    h('summary', null, icon('degraded'), h('span', null, store.problems.length === 1 ? store.problems[0] : `${store.problems.length} problems`)),
    store.problems.length > 1 && h('ul', null, store.problems.map((problem) => h('li', null, problem))));
}

// MARK: What is told to those who do not see

/** @type {Map<string, string>} */
let knownHealth = new Map();
let lastTold = '';

/** Tells of nodes that fail, and that do so no more. */
function told() {
  const nodes = store.map?.nodes ?? [];
  const news = nodes.flatMap((node) => {
    const before = knownHealth.get(node.id);
    if (!before || (before === 'failing') === (node.health === 'failing')) return [];
    return [node.health === 'failing' ? `${node.name} is failing: ${node.problem ?? ''}` : `${node.name} is no longer failing`];
  });
  knownHealth = new Map(nodes.map((node) => [node.id, node.health]));
  if (news.length > 0) lastTold = news.join('. ');
  return store.connection === 'lost' ? 'Heddle does not answer' : lastTold;
}

/** @param {KeyboardEvent} event */
function shortcut(event) {
  const element = /** @type {HTMLElement} */ (event.target);
  const isTyping = /^(INPUT|SELECT|TEXTAREA)$/.test(element.tagName);
  if (event.ctrlKey || event.metaKey ? event.key.toLowerCase() === 'k' : event.key === '/' && !isTyping && !event.altKey) {
    event.preventDefault();
    if (!store.isSearching) openSearch();
  } else if (event.key === 'Escape' && !isTyping && !store.isSearching && route().open) close();
}

document.documentElement.dataset.theme = theme();
subscribe(page);
addEventListener('hashchange', closeSearch);
addEventListener('keydown', shortcut);
addEventListener('resize', changed);
// Ages grow, and proxies' use of CPU and memory changes, without being told.
setInterval(() => {
  changed();
  if (route().tab === 'proxies' && store.connection === 'live' && !document.hidden) readProxies().catch(() => undefined);
}, 2500);
page();
connect();
