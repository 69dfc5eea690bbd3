// What happened, the newest first.

import { h } from './view.js';
import { icon } from './icons.js';
import { age } from './format.js';
import { address, replace, route } from './route.js';
import { idOf, isShown, store } from './store.js';

const rowLimit = 300;

/** The events' view. */
export function eventsView() {
  const { query } = route();
  const [text, only] = [query.get('text') ?? '', query.get('warnings') ?? ''];
  const wanted = text.toLowerCase();
  const found = store.events.filter((event) => (!only || event.type === 'Warning') && isShown(event.involvedObject.namespace)
    && (!wanted || `${event.involvedObject.kind} ${event.involvedObject.name} ${event.reason} ${event.message}`.toLowerCase().includes(wanted))).reverse();
  return h('section', { class: 'page', key: 'events' },
    h('form', { class: 'filters', role: 'search', 'aria-label': 'Filter events', onsubmit: (/** @type {Event} */ event) => event.preventDefault() },
      h('label', null, 'Containing', h('input', { type: 'search', value: text, placeholder: 'Any text', oninput: (/** @type {any} */ event) => replace({ text: event.target.value }) })),
      h('label', { class: 'check' }, h('input', { type: 'checkbox', checked: Boolean(only), onchange: (/** @type {any} */ event) => replace({ warnings: event.target.checked ? '1' : '' }) }), 'Warnings only')),
    found.length === 0
      ? h('div', { class: 'nothing' }, h('p', null, store.isLoaded ? (text || only ? 'No event matches.' : 'Nothing has happened yet.') : 'Reading events…'))
      : h('ul', { class: 'events large' }, found.slice(0, rowLimit).map((event) => eventRow(event, true))),
    found.length > rowLimit && h('p', { class: 'quiet' }, `${found.length - rowLimit} older events are not shown; heddle events shows all.`));
}

/** @param {any} event @param {boolean} withObject */
export function eventRow(event, withObject) {
  const about = event.involvedObject;
  const isWarning = event.type === 'Warning';
  return h('li', { key: event.metadata.uid ?? event.metadata.name, class: `event ${isWarning ? 'warning' : ''}` },
    h('span', { class: `health ${isWarning ? 'degraded' : 'idle'}` }, icon(isWarning ? 'degraded' : 'idle', event.type)),
    h('div', null,
      h('p', null, h('b', null, event.reason), withObject && h('a', { href: address({ open: idOf(about.kind, about.namespace ?? '', about.name), tab: null }) }, `${about.kind} ${about.namespace ? `${about.namespace}/` : ''}${about.name}`),
        event.count > 1 && h('span', { class: 'badge' }, `×${event.count}`)),
      h('p', { class: isWarning ? 'words' : 'quiet' }, event.message)),
    h('time', { class: 'quiet', datetime: event.lastTimestamp, title: event.lastTimestamp }, `${age(event.lastTimestamp)} ago`));
}
