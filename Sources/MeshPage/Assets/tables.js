// The map as tables, and tables of calls: all that the map says, for those who do not see it.

import { h } from './view.js';
import { healthIcon, healthWords, icon, securityIcon } from './icons.js';
import { bytes, count, kindWords, milliseconds, percent, rate } from './format.js';
import { nodeAddress } from './map.js';
import { emptyState } from './firststeps.js';
import { changed, shownMap, store } from './store.js';

/** @typedef {import('./types.js').MapNode} MapNode */
/** @typedef {import('./types.js').MapEdge} MapEdge */

const healthOrder = ['failing', 'degraded', 'healthy', 'idle'];
let sorting = { column: 'health', isDescending: false };

/** @type {Record<string, (node: MapNode) => string | number>} */
const values = {
  health: (node) => healthOrder.indexOf(node.health),
  name: (node) => `${node.name} ${node.namespace}`,
  success: (node) => node.traffic.successRate ?? 2,
  rate: (node) => node.traffic.requestsPerSecond,
  p50: (node) => node.traffic.latencyMilliseconds?.p50 ?? -1,
  p95: (node) => node.traffic.latencyMilliseconds?.p95 ?? -1,
  p99: (node) => node.traffic.latencyMilliseconds?.p99 ?? -1,
  proxies: (node) => node.proxies,
};

/** The list view. */
export function listView() {
  const { nodes, edges } = shownMap();
  if (nodes.length === 0) return emptyState();
  const of = values[sorting.column];
  const sorted = [...nodes].sort((a, b) => {
    const [left, right] = [of(a), of(b)];
    const way = left < right ? -1 : left > right ? 1 : a.id < b.id ? -0.5 : 0.5;
    return sorting.isDescending ? -way : way;
  });
  return h('section', { class: 'page list-view', key: 'list' },
    h('h2', null, 'Nodes'),
    h('div', { class: 'table-frame' }, h('table', { class: 'table' },
      h('thead', null, h('tr', null, heading('health', 'Health'), heading('name', 'Name'), heading('success', 'Success', true), heading('rate', 'Req/s', true),
        heading('p50', 'p50', true), heading('p95', 'p95', true), heading('p99', 'p99', true), heading('proxies', 'Proxies', true))),
      h('tbody', null, sorted.map(row)))),
    h('h2', null, 'Calls'),
    callsTable(edges, ['source', 'target']));
}

/** @param {string} column @param {string} title @param {boolean} [isNumber] */
function heading(column, title, isNumber = false) {
  const isSorted = sorting.column === column;
  return h('th', { scope: 'col', class: isNumber ? 'right' : '', 'aria-sort': isSorted ? (sorting.isDescending ? 'descending' : 'ascending') : null },
    h('button', { type: 'button', class: `sort ${isSorted ? 'sorted' : ''}`, onclick: () => {
      sorting = { column, isDescending: isSorted ? !sorting.isDescending : isNumber };
      changed();
    } }, title, isSorted && h('span', { class: 'sort-mark', 'aria-hidden': 'true' }, sorting.isDescending ? '↓' : '↑')));
}

/** @param {MapNode} node */
function row(node) {
  const { traffic } = node;
  const latency = traffic.latencyMilliseconds;
  return h('tr', { key: node.id, class: node.health },
    h('td', null, healthIcon(node.health), h('span', { class: 'wide-only' }, ` ${healthWords[node.health]}`)),
    h('th', { scope: 'row' }, nodeLink(node.id),
      h('span', { class: 'quiet block' }, [kindWords(node.kind), node.namespace].filter(Boolean).join(' · ')),
      node.problem && h('span', { class: 'problem block' }, node.problem)),
    h('td', { class: 'right' }, percent(traffic.successRate)), h('td', { class: 'right' }, rate(traffic.requestsPerSecond)),
    h('td', { class: 'right' }, milliseconds(latency?.p50)), h('td', { class: 'right' }, milliseconds(latency?.p95)), h('td', { class: 'right' }, milliseconds(latency?.p99)),
    h('td', { class: 'right' }, node.proxies > 0 ? `${node.readyProxies}/${node.proxies}` : '–'));
}

/** A link to a node's panel. @param {string} id */
export function nodeLink(id) {
  const node = store.map?.nodes.find((one) => one.id === id);
  const name = node?.name ?? id.split('/').slice(1).join('/');
  if (!node) return h('span', { class: 'node-name' }, name);
  return h('a', { class: 'node-name', href: nodeAddress(id) }, icon(node.kind), name);
}

/**
 * A table of calls.
 *
 * @param {MapEdge[]} edges
 * @param {('source' | 'target')[]} ends Which ends to name.
 */
export function callsTable(edges, ends) {
  if (edges.length === 0) return h('p', { class: 'quiet' }, 'No calls are declared or seen.');
  const titles = { source: 'Caller', target: 'Called' };
  return h('div', { class: 'table-frame' }, h('table', { class: 'table calls' },
    h('thead', null, h('tr', null, ends.map((end) => h('th', { scope: 'col' }, titles[end])), h('th', { scope: 'col' }, 'Over'),
      ['Success', 'Req/s', 'p50', 'p95', 'p99'].map((title) => h('th', { scope: 'col', class: 'right' }, title)))),
    h('tbody', null, edges.map((edge) => {
      const { traffic } = edge;
      const latency = traffic.latencyMilliseconds;
      return h('tr', { key: `${edge.source} ${edge.target} ${edge.port} ${edge.isHTTP}`, class: edge.health, title: edge.services.join(', ') },
        ends.map((end, index) => h(index === 0 ? 'th' : 'td', { scope: index === 0 ? 'row' : null }, nodeLink(edge[end]),
          index === ends.length - 1 && h('span', { class: 'quiet block' }, [edge.services.join(', '), edge.port && `port ${edge.port}`].filter(Boolean).join(' · ')))),
        h('td', null, securityIcon(edge.security)),
        edge.isHTTP
          ? [percent(traffic.successRate), rate(traffic.requestsPerSecond), milliseconds(latency?.p50), milliseconds(latency?.p95), milliseconds(latency?.p99)]
            .map((text) => h('td', { class: 'right' }, text))
          : h('td', { class: 'right', colspan: 5 }, `${count(traffic.activeConnections)} connections, ${bytes(traffic.bytesPerSecond)}/s`));
    }))));
}
