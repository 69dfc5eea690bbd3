// What to do when there is nothing to show yet.

import { h } from './view.js';
import { icon } from './icons.js';
import { changed, store } from './store.js';

/** @typedef {import('./types.js').MapNode} MapNode */
/** @typedef {import('./types.js').MapEdge} MapEdge */

let isDismissed = false;

/** Stands where the map would be. */
export function emptyState() {
  if (!store.map || !store.isLoaded) {
    const isLost = store.connection === 'lost';
    return h('section', { class: 'empty', key: 'empty' },
      h('div', { class: `loom ${isLost ? 'still' : ''}`, 'aria-hidden': 'true' }, [0, 1, 2, 3, 4].map(() => h('i', null))),
      h('p', null, isLost ? 'Heddle does not answer.' : 'Reading the mesh…'));
  }
  const isFiltered = store.mesh || store.namespace;
  const hasObjects = [...store.objects.values()].some((list) => list.length > 0);
  return h('section', { class: 'empty', key: 'empty' },
    h('div', { class: 'empty-icon' }, icon('Mesh')),
    h('h2', null, isFiltered ? 'Nothing here' : hasObjects ? 'No virtual nodes yet' : 'No mesh yet'),
    isFiltered
      ? h('p', null, 'No virtual node is in the mesh and namespace that are chosen above.')
      : h('p', null, 'Save App Mesh manifests to the folder that ', h('code', null, 'heddle run'), ' watches: a Mesh, a Namespace with its label, VirtualNodes, and a Workload for each application. They appear here as soon as they are saved.'),
    !isFiltered && command('heddle validate -f DIR', 'tells what a folder lacks.'));
}

/** Says how to send a first request. @param {MapNode[]} nodes @param {MapEdge[]} edges */
export function trafficHint(nodes, edges) {
  const isQuiet = nodes.every((node) => !(node.traffic.requests > 0)) && edges.every((edge) => !(edge.traffic.requests > 0 || edge.traffic.connections > 0));
  if (!isQuiet || isDismissed || store.connection !== 'live') return null;
  const example = firstRequest();
  return h('div', { key: 'hint', class: 'hint', role: 'note' },
    h('div', { class: 'hint-title' }, h('b', null, 'No requests yet'),
      h('button', { type: 'button', class: 'icon-button', 'aria-label': 'Close the hint', onclick: () => { isDismissed = true; changed(); } }, icon('close'))),
    h('p', null, example
      ? 'Calls through the proxies appear within seconds. An application calls its backends through its proxy; this does what it would:'
      : 'Calls through the proxies appear within seconds. Declare a backend on a virtual node, and call it through the proxy\u2019s egress address.'),
    example && command(example));
}

/** A request from some proxy to its first backend. @returns {string | null} */
function firstRequest() {
  for (const node of store.objects.get('VirtualNode') ?? []) {
    const reference = node.spec?.backends?.[0]?.virtualService?.virtualServiceRef;
    const proxy = store.proxies.find((one) => one.spec?.owner?.kind === 'VirtualNode' && one.spec.owner.name === node.metadata.name && one.metadata.namespace === node.metadata.namespace);
    if (!reference || !proxy) continue;
    const namespace = reference.namespace ?? node.metadata.namespace;
    const service = (store.objects.get('VirtualService') ?? []).find((one) => one.metadata.name === reference.name && one.metadata.namespace === namespace);
    const host = service?.spec?.awsName ?? `${reference.name}.${namespace}`;
    return `curl -x http://${proxy.spec.egressAddress}:15001 http://${host}/`;
  }
  return null;
}

/** A command that can be copied. @param {string} text @param {string} [explanation] */
export function command(text, explanation) {
  return h('p', { class: 'command' },
    h('code', null, text),
    navigator.clipboard && h('button', { type: 'button', class: 'copy', 'aria-label': `Copy ${text}`, onclick: (/** @type {any} */ event) => copy(text, event.currentTarget) }, 'Copy'),
    explanation && h('span', { class: 'quiet' }, explanation));
}

/** @param {string} text @param {HTMLElement} button */
async function copy(text, button) {
  await navigator.clipboard.writeText(text).catch(() => undefined);
  button.classList.add('done');
  setTimeout(() => button.classList.remove('done'), 1200);
}
