// The proxies of a node: how they are, what they use, and what they should ask for.

import { h } from './view.js';
import { icon } from './icons.js';
import { age, rate } from './format.js';
import { store } from './store.js';

/** @typedef {import('./types.js').APIObject} APIObject */

/** @param {string} kind @param {string} namespace @param {string} name */
export function proxyCards(kind, namespace, name) {
  const own = store.proxies.filter((proxy) => proxy.metadata.namespace === namespace
    && (kind === 'Workload' ? proxy.metadata.name === name : proxy.spec.owner.kind === kind && proxy.spec.owner.name === name));
  if (own.length === 0) return h('p', { class: 'quiet' }, 'No Workload of its namespace has labels that its podSelector matches: it has no proxy here.');
  return own.map(proxyCard);
}

/** @param {APIObject} proxy */
function proxyCard(proxy) {
  const { metadata, spec, status } = proxy;
  const health = status.ready ? 'healthy' : ['Pending', 'ProxyStarting', 'Syncing'].includes(status.state) ? 'degraded' : 'failing';
  const workload = (store.objects.get('Workload') ?? []).find((one) => one.metadata.name === metadata.name && one.metadata.namespace === metadata.namespace);
  /** @type {any[]} */
  const refusals = workload?.status?.sidecar?.refusals ?? [];
  return h('article', { key: metadata.name, class: `proxy ${health}` },
    h('header', null, h('span', { class: `health ${health}` }, icon(health, status.state)), h('h3', null, metadata.name), h('span', { class: 'quiet' }, status.state),
      status.outdated && h('span', { class: 'badge' }, 'outdated')),
    refusals.map((refusal, index) => h('div', { key: `refusal ${index}`, class: 'refusal', role: 'alert' },
      h('p', null, h('b', null, `Envoy refused ${refusal.type} ${refusal.resource}`)), h('p', { class: 'words' }, refusal.message),
      h('p', { class: 'quiet' }, refusal.keptVersion ? `It keeps ${refusal.keptVersion}; ${refusal.version} is not in force.` : `It has none; ${refusal.version} is not in force.`))),
    status.lastError && h('p', { class: 'problem' }, status.lastError),
    h('dl', { class: 'facts' },
      fact('CPU', status.usage?.cpu), fact('Memory', status.usage?.memory), fact('Requests', status.usage && `${rate(status.usage.requestsPerSecond)}/s`), fact('Connections', status.usage?.connections),
      fact('Envoy', status.envoyVersion), fact('Restarts', status.restarts), fact('Up', status.startTime && age(status.startTime)), fact('Process', status.pid),
      fact('Ingress', spec.ingressAddress), fact('Egress', `${spec.egressAddress}:15001`)),
    sizing(status.recommendation, status.history));
}

/** @param {string} title @param {any} value */
const fact = (title, value) => h('div', { key: title }, h('dt', null, title), h('dd', null, value ?? '–'));

/** @type {Record<string, string>} */
const verdictWords = { Fitting: 'fits', Oversized: 'asks for more than it needs', Undersized: 'asks for less than it needs' };

/** @param {any} advice @param {any} history */
function sizing(advice, history) {
  if (!advice) return null;
  const [asked, better] = [advice.requested?.requests ?? {}, advice.resources?.requests ?? {}];
  return h('div', { class: `sizing ${advice.verdict === 'Fitting' ? '' : 'advice'}` },
    h('p', null, h('b', null, 'Sizing '), verdictWords[advice.verdict] ?? advice.verdict, advice.forecast && h('span', { class: 'badge' }, 'forecast')),
    h('table', { class: 'table small' },
      h('thead', null, h('tr', null, ['', 'Asks for', 'Used (p95)', 'Advice'].map((title) => h('th', { scope: 'col' }, title)))),
      h('tbody', null, ['cpu', 'memory'].map((name) => h('tr', { key: name }, h('th', { scope: 'row' }, name === 'cpu' ? 'CPU' : 'Memory'),
        h('td', null, asked[name] ?? '–'), h('td', null, history?.[name]?.p95 ?? '–'), h('td', null, better[name] ?? '–'))))),
    h('ul', { class: 'quiet' }, (advice.reasons ?? []).map((/** @type {string} */ reason) => h('li', null, reason))));
}
