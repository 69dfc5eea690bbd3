// The panel beside the view: all that is known of one object.

import { h } from './view.js';
import { healthIcon, healthWords, icon } from './icons.js';
import { age, bytes, clock, count, kindWords, milliseconds, percent, rate, until, yaml } from './format.js';
import { accessLog, leaveLog } from './accesslog.js';
import { address, go, route } from './route.js';
import { callsTable } from './tables.js';
import { eventRow } from './events.js';
import { proxyCards } from './proxies.js';
import { recentTraces } from './traces.js';
import { focusNode, splitView } from './map.js';
import { objectHealth, objectID, objectOf, store } from './store.js';

/** @typedef {import('./types.js').APIObject} APIObject */
/** @typedef {import('./types.js').MapNode} MapNode */

/** @type {Record<string, string>} */
const tabNames = { overview: 'Overview', proxies: 'Proxies', traces: 'Traces', log: 'Access log', config: 'Manifest' };

/** The panel; null when nothing is open. */
export function panelView() {
  const { open, tab } = route();
  if (!open || (tab !== 'log')) leaveLog();
  if (!open) return null;
  const node = store.map?.nodes.find((one) => one.id === open);
  const object = objectOf(open);
  const [kindID = '', namespace = '', name = open] = open.split('/');
  const kind = object?.kind ?? node?.kind ?? kindID;
  const isNode = kind === 'VirtualNode' || kind === 'VirtualGateway';
  const tabs = isNode ? Object.keys(tabNames) : ['overview', ...(kind === 'Workload' ? ['proxies'] : []), 'config'];
  const shown = tabs.includes(tab) ? tab : 'overview';
  const health = node?.health ?? (object ? objectHealth(object) : 'idle');
  return h('aside', { class: 'panel', key: `panel ${open}`, 'aria-label': `${kindWords(kind)} ${name}`, onkeydown: escape },
    h('header', { class: 'panel-head' },
      h('span', { class: `panel-kind ${health}` }, icon(kind)),
      h('div', { class: 'panel-title' },
        h('h2', { tabindex: -1, created: (/** @type {HTMLElement} */ element) => element.focus({ preventScroll: true }) }, node?.name ?? object?.metadata.name ?? name),
        h('p', { class: 'quiet' }, [kindWords(kind), object?.metadata.namespace ?? node?.namespace ?? namespace, node?.mesh].filter(Boolean).join(' · '))),
      h('span', { class: `pill ${health}` }, healthIcon(health), healthWords[health]),
      h('button', { type: 'button', class: 'icon-button', 'aria-label': 'Close', title: 'Close (Escape)', onclick: close }, icon('close'))),
    h('div', { class: 'tabs', role: 'tablist', 'aria-label': 'Parts', onkeydown: tabKey }, tabs.map((one) => h('button', {
      key: one, type: 'button', role: 'tab', id: `tab-${one}`, 'aria-selected': String(one === shown), 'aria-controls': 'panel-body', tabindex: one === shown ? 0 : -1,
      onclick: () => go({ tab: one === 'overview' ? null : one }),
    }, tabNames[one]))),
    h('div', { class: 'panel-body', id: 'panel-body', role: 'tabpanel', 'aria-labelledby': `tab-${shown}`, key: shown, tabindex: 0 },
      !object && !node
        ? h('p', { class: 'quiet' }, store.isLoaded ? 'There is no such object any more.' : 'Reading…')
        : body(shown, node, object, namespace, name)));
}

/** @param {string} tab @param {MapNode | undefined} node @param {APIObject | undefined} object @param {string} namespace @param {string} name */
function body(tab, node, object, namespace, name) {
  switch (tab) {
    case 'proxies': return proxyCards(object?.kind ?? node?.kind ?? '', namespace, name);
    case 'traces': return recentTraces(`${node?.mesh ?? ''}/${object?.spec?.awsName ?? name}`.replace(/^\//, ''));
    case 'log':
      if (object?.spec?.logging?.accessLog?.file) return accessLog(namespace, name);
      leaveLog();
      return h('p', { class: 'quiet' }, 'It has no access log; ', h('code', null, 'spec.logging.accessLog.file.path'), ' of its manifest gives it one.');
    case 'config': return object ? manifest(object) : h('p', { class: 'quiet' }, 'It has no manifest.');
    default: return overview(node, object);
  }
}

/** Closes the panel and goes back to the node that it was of. */
export function close() {
  const { open } = route();
  go({ open: null, tab: null });
  if (open) setTimeout(() => focusNode(open), 50);
}

/** @param {KeyboardEvent} event */
function escape(event) {
  if (event.key !== 'Escape') return;
  event.stopPropagation();
  close();
}

/** @param {KeyboardEvent} event */
function tabKey(event) {
  const step = event.key === 'ArrowRight' ? 1 : event.key === 'ArrowLeft' ? -1 : 0;
  const tabs = [.../** @type {HTMLElement} */ (event.currentTarget).querySelectorAll('button')];
  const index = tabs.indexOf(/** @type {any} */ (document.activeElement));
  if (step === 0 || index < 0) return;
  const next = tabs[(index + step + tabs.length) % tabs.length];
  next.focus();
  next.click();
}

// MARK: Overview

/** @param {MapNode | undefined} node @param {APIObject | undefined} object */
function overview(node, object) {
  const id = node?.id ?? (object ? objectID(object) : '');
  const conditions = object?.status?.conditions ?? [];
  const edges = store.map?.edges ?? [];
  const [callers, called] = [edges.filter((edge) => edge.target === id), edges.filter((edge) => edge.source === id)];
  const splits = splitsFor(id, object);
  const certificates = certificatesOf(object);
  const events = eventsOf(object);
  return [
    node?.problem && h('p', { key: 'problem', class: `notice ${node.health}`, role: 'alert' }, icon(node.health), h('span', null, node.problem)),
    node && h('div', { key: 'tiles', class: 'tiles' },
      tile(percent(node.traffic.successRate), 'success'), tile(rate(node.traffic.requestsPerSecond), 'requests/s'),
      tile(milliseconds(node.traffic.latencyMilliseconds?.p50), 'p50'), tile(milliseconds(node.traffic.latencyMilliseconds?.p95), 'p95'), tile(milliseconds(node.traffic.latencyMilliseconds?.p99), 'p99')),
    node && sparkline(id),
    node && totals(node),
    splits.length > 0 && section('Splits', splits.map((parts) => splitView(JSON.stringify([parts[0].service, parts[0].route]), parts))),
    node && section('Called by', callers.length > 0 ? callsTable(callers, ['source']) : h('p', { class: 'quiet' }, 'Nobody calls it.')),
    node && section('Calls', called.length > 0 ? callsTable(called, ['target']) : h('p', { class: 'quiet' }, 'It calls nobody.')),
    conditions.length > 0 && section('Conditions', h('ul', { class: 'conditions' }, conditions.map(conditionRow))),
    certificates.length > 0 && section('Certificates', certificates.map(certificateRow)),
    events.length > 0 && section('Events', h('ul', { class: 'events' }, events.slice(0, 12).map((event) => eventRow(event, false)))),
  ];
}

/** @param {string} title @param {...any} content */
const section = (title, ...content) => h('section', { key: title, class: 'part' }, h('h3', null, title), content);

/** @param {string} value @param {string} label */
const tile = (value, label) => h('div', { class: 'tile' }, h('b', null, value), h('span', null, label));

/** @param {MapNode} node */
function totals(node) {
  const { traffic } = node;
  const parts = [[count(traffic.requests), 'requests'], [count(traffic.failures), 'failures'], [count(traffic.retries), 'retries'],
    [count(traffic.activeConnections), 'open connections'], [`${bytes(traffic.bytesPerSecond)}/s`, 'both ways']];
  if (traffic.ejectedHosts > 0) parts.push([count(traffic.ejectedHosts), 'ejected hosts']);
  return h('p', { key: 'totals', class: 'totals quiet' }, parts.map(([value, label]) => h('span', null, h('b', null, value), ` ${label}`)));
}

/** The requests and failures of the last minutes. @param {string} id */
function sparkline(id) {
  const samples = store.history.get(id) ?? [];
  if (samples.length < 2) return null;
  const [width, height] = [400, 56];
  const first = samples[0].time;
  const span = Math.max(samples[samples.length - 1].time - first, 1);
  const top = Math.max(...samples.map((sample) => sample.rate));
  if (top === 0) return null;
  const line = (/** @type {(sample: any) => number} */ value) => samples
    .map((sample) => `${(((sample.time - first) / span) * width).toFixed(1)} ${(height - 2 - (value(sample) / top) * (height - 8)).toFixed(1)}`).join('L');
  const rates = line((sample) => sample.rate);
  return h('figure', { key: 'sparkline', class: 'sparkline' },
    h('svg', { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': `Requests a second since ${clock(first * 1000)}: now ${rate(samples[samples.length - 1].rate)}, at most ${rate(top)}` },
      h('path', { class: 'spark-area', d: `M0 ${height}L${rates}L${width} ${height}z` }), h('path', { class: 'spark-line', d: `M${rates}` }),
      samples.some((sample) => sample.failures > 0) && h('path', { class: 'spark-bad', d: `M0 ${height}L${line((sample) => sample.failures)}L${width} ${height}z` })),
    h('figcaption', { class: 'quiet' }, h('span', null, clock(first * 1000)), h('span', null, `at most ${rate(top)}/s`), h('span', null, 'now')));
}

/** @param {import('./types.js').Condition} condition */
function conditionRow(condition) {
  // Envoy's words come after a colon; they are what to act on.
  const health = condition.status === 'True' ? 'healthy' : condition.status === 'False' ? 'failing' : 'idle';
  return h('li', { key: condition.type, class: `condition ${health}` },
    h('span', { class: `health ${health}` }, icon(health, condition.status)),
    h('div', null, h('p', null, h('b', null, condition.type), h('span', { class: 'quiet' }, ` ${condition.reason}`)),
      h('p', { class: health === 'failing' ? 'words' : 'quiet' }, condition.message)),
    h('time', { class: 'quiet', datetime: condition.lastTransitionTime, title: condition.lastTransitionTime }, age(condition.lastTransitionTime)));
}

/** The splits that an object takes part in: as target, as the service, as its router. @param {string} id @param {APIObject | undefined} object */
function splitsFor(id, object) {
  /** @type {Map<string, import('./types.js').Split[]>} */
  const groups = new Map();
  for (const split of store.map?.splits ?? []) {
    const key = JSON.stringify([split.service, split.route ?? '']);
    groups.set(key, [...(groups.get(key) ?? []), split]);
  }
  const names = new Set();
  if (object?.kind === 'VirtualService') names.add(object.spec?.awsName ?? object.metadata.name);
  if (object?.kind === 'VirtualRouter') {
    for (const service of store.objects.get('VirtualService') ?? []) {
      const reference = service.spec?.provider?.virtualRouter?.virtualRouterRef;
      if (reference?.name === object.metadata.name && (reference.namespace ?? service.metadata.namespace) === object.metadata.namespace) names.add(service.spec?.awsName ?? service.metadata.name);
    }
  }
  return [...groups.values()].filter((parts) => names.has(parts[0].service) || (parts.length > 1 && parts.some((part) => part.target === id)));
}

/** @param {APIObject | undefined} object */
function certificatesOf(object) {
  if (!object) return [];
  if (object.kind === 'Mesh') return store.certificates.filter((one) => !one.metadata.namespace && (!one.spec.mesh || one.spec.mesh === object.metadata.name));
  return store.certificates.filter((one) => one.metadata.namespace === object.metadata.namespace && one.spec?.owner?.kind === object.kind && one.spec.owner.name === object.metadata.name);
}

/** @param {APIObject} certificate */
function certificateRow(certificate) {
  const { spec, status = {} } = certificate;
  const [begin, end] = [Date.parse(status.notBefore), Date.parse(status.notAfter)];
  const part = Number.isNaN(begin) || Number.isNaN(end) ? null : Math.min(1, Math.max(0, (Date.now() - begin) / (end - begin)));
  const isBad = Boolean(status.problem) || (!Number.isNaN(end) && end < Date.now());
  return h('div', { key: certificate.metadata.name, class: `certificate ${isBad ? 'bad' : ''}` },
    h('p', null, icon('lock'), h('b', null, certificate.metadata.name), h('span', { class: 'quiet' }, ` ${[spec.source, status.state].filter(Boolean).join(' · ')}`),
      status.notAfter && h('span', { class: 'right', title: status.notAfter }, `ends ${until(status.notAfter)}`.replace('ends ended', 'ended'))),
    h('p', { class: 'quiet breakable' }, spec.identity),
    part !== null && h('span', { class: 'lifetime' }, h('i', { style: { transform: `scaleX(${part})` } })),
    status.problem && h('p', { class: 'problem' }, status.problem));
}

/** The events of an object and of its workloads, the newest first. @param {APIObject | undefined} object */
function eventsOf(object) {
  if (!object) return [];
  const { name, namespace } = object.metadata;
  const owner = object.kind === 'VirtualGateway' ? 'virtualGateway' : 'virtualNode';
  const own = new Set((store.objects.get('Workload') ?? []).filter((one) => object.kind !== 'Workload' && one.metadata.namespace === namespace && one.status?.[owner] === name).map((one) => one.metadata.name));
  return store.events.filter(({ involvedObject: about }) => (about.namespace ?? '') === (namespace ?? '')
    && ((about.kind === object.kind && about.name === name) || (about.kind === 'Workload' && own.has(about.name)))).reverse();
}

/** @param {APIObject} object */
function manifest(object) {
  const { apiVersion, kind, metadata, spec } = object;
  const { name, namespace, labels, annotations } = metadata;
  const shown = { apiVersion, kind, metadata: { name, ...(namespace && { namespace }), ...(labels && { labels }), ...(annotations && { annotations }) }, spec };
  return [
    h('pre', { key: 'yaml', class: 'manifest', tabindex: 0 }, yaml(shown).trimStart()),
    h('p', { key: 'more', class: 'quiet' }, 'Status: ', h('a', { key: 'json', href: listPathOf(object), target: '_blank', rel: 'noreferrer' }, 'the whole object as JSON')),
  ];
}

/** @param {APIObject} object */
function listPathOf({ apiVersion, kind, metadata }) {
  const plural = { Mesh: 'meshes', GatewayRoute: 'gatewayroutes', TrafficPolicy: 'trafficpolicies' }[kind] ?? `${kind.toLowerCase()}s`;
  const place = metadata.namespace ? `namespaces/${encodeURIComponent(metadata.namespace)}/` : '';
  return `/apis/${apiVersion}/${place}${plural}/${encodeURIComponent(metadata.name)}`;
}

/** A link to an object's panel. @param {string} kind @param {string} namespace @param {string} name */
export const objectAddress = (kind, namespace, name) => address({ open: `${kind.toLowerCase()}/${namespace}/${name}`, tab: null });
