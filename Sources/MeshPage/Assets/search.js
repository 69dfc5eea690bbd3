// Finds any object by its name, from anywhere: the key / opens it.

import { h } from './view.js';
import { healthIcon, icon } from './icons.js';
import { kindWords } from './format.js';
import { go } from './route.js';
import { allObjects, changed, objectHealth, objectID, put, store } from './store.js';

let text = '';
let chosen = 0;
const resultLimit = 50;

/** The names that are searched for come first where they begin with the text. */
function results() {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return allObjects().map((object) => {
    const name = object.metadata.name.toLowerCase();
    const whole = `${name} ${object.metadata.namespace ?? ''} ${kindWords(object.kind)} ${object.kind}`.toLowerCase();
    if (!words.every((word) => whole.includes(word))) return { object, rank: -1 };
    const rank = words.length === 0 ? 0 : words.some((word) => name === word) ? 3 : words.some((word) => name.startsWith(word)) ? 2 : words.some((word) => name.includes(word)) ? 1 : 0;
    return { object, rank };
  }).filter(({ rank }) => rank >= 0).sort((a, b) => b.rank - a.rank || (objectID(a.object) < objectID(b.object) ? -1 : 1)).slice(0, resultLimit).map(({ object }) => object);
}

/** Opens the search. */
export function openSearch() {
  text = '';
  chosen = 0;
  put({ isSearching: true });
}

/** Closes the search, as when the page goes elsewhere. */
export const closeSearch = () => put({ isSearching: false });

/** The dialog; null while it is closed. */
export function searchView() {
  if (!store.isSearching) return null;
  const found = results();
  chosen = Math.max(0, Math.min(chosen, found.length - 1));
  return h('dialog', { class: 'search', key: 'search', 'aria-label': 'Search objects', created: (/** @type {HTMLDialogElement} */ element) => element.showModal(),
    onclose: closeSearch, onclick: (/** @type {MouseEvent} */ event) => { if (event.target === event.currentTarget) /** @type {any} */ (event.currentTarget).close(); } },
  h('div', { class: 'search-box' },
    h('div', { class: 'search-field' }, icon('search'),
      h('input', { type: 'text', placeholder: 'Find a node, service, route, policy…', value: text, autocomplete: 'off', spellcheck: 'false', role: 'combobox', 'aria-expanded': 'true', 'aria-controls': 'found',
        'aria-label': 'Find an object', 'aria-activedescendant': found.length > 0 ? `found-${chosen}` : null, oninput: (/** @type {any} */ event) => { text = event.target.value; chosen = 0; changed(); },
        onkeydown: (/** @type {KeyboardEvent} */ event) => key(event, found) }),
      h('kbd', null, 'esc')),
    h('ul', { id: 'found', role: 'listbox', 'aria-label': 'Objects' }, found.map((object, index) => h('li', {
      key: objectID(object), id: `found-${index}`, role: 'option', 'aria-selected': String(index === chosen), class: index === chosen ? 'chosen' : '',
      onclick: () => choose(objectID(object)), onmousemove: () => { if (chosen !== index) { chosen = index; changed(); } },
    }, icon(object.kind), h('b', null, object.metadata.name), h('span', { class: 'quiet' }, [kindWords(object.kind), object.metadata.namespace].filter(Boolean).join(' · ')), healthIcon(objectHealth(object))))),
    found.length === 0 && h('p', { class: 'quiet search-none' }, 'No object has such a name.')));
}

/** @param {KeyboardEvent} event @param {any[]} found */
function key(event, found) {
  if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
    event.preventDefault();
    chosen = (chosen + (event.key === 'ArrowDown' ? 1 : -1) + found.length) % Math.max(found.length, 1);
    changed();
    requestAnimationFrame(() => document.getElementById(`found-${chosen}`)?.scrollIntoView({ block: 'nearest' }));
  } else if (event.key === 'Enter' && found[chosen]) {
    event.preventDefault();
    choose(objectID(found[chosen]));
  }
}

/** @param {string} id */
function choose(id) {
  closeSearch();
  go({ open: id, tab: null });
}
