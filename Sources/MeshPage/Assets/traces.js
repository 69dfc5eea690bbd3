// Traces: a list with filters, and one trace as a waterfall.

import { h } from './view.js';
import { icon } from './icons.js';
import { age, clock, microseconds } from './format.js';
import { getJSON } from './connection.js';
import { address, go, replace, route } from './route.js';
import { changed, store } from './store.js';

/** @typedef {import('./types.js').TraceSummary} TraceSummary */
/** @typedef {import('./types.js').Span} Span */

/** Answers by their path, of which few are kept. @type {Map<string, {value: any, problem: string, readAt: number, isReading: boolean}>} */
const answers = new Map();
/** The spans whose attributes are shown. @type {Set<string>} */
const opened = new Set();

/** The answer of a path, read again when it is older than `milliseconds`. @param {string} path @param {number} milliseconds */
function answer(path, milliseconds) {
  let known = answers.get(path);
  if (!known) {
    known = { value: null, problem: '', readAt: 0, isReading: false };
    answers.set(path, known);
    if (answers.size > 20) answers.delete(/** @type {string} */ (answers.keys().next().value));
  }
  const own = known;
  if (!own.isReading && Date.now() - own.readAt > milliseconds && store.connection !== 'lost') {
    own.isReading = true;
    getJSON(path).then((value) => { own.value = value; own.problem = ''; }, (error) => { own.problem = String(error.message ?? error); }).finally(() => {
      own.isReading = false;
      own.readAt = Date.now();
      changed();
    });
  }
  return own;
}

/** The traces' view. */
export function tracesView() {
  const { trace, query } = route();
  if (trace) return h('section', { class: 'page', key: 'trace' }, waterfall(trace));
  const filter = new URLSearchParams({ limit: '100' });
  const [service, least, errors] = [query.get('service') ?? '', query.get('least') ?? '', query.get('errors') ?? ''];
  if (service) filter.set('service', service);
  if (Number(least) > 0) filter.set('minimumDurationMicroseconds', String(Math.round(Number(least) * 1000)));
  if (errors) filter.set('errorsOnly', 'true');
  const found = answer(`/traces?${filter}`, 4000);
  return h('section', { class: 'page', key: 'traces' },
    h('form', { class: 'filters', role: 'search', 'aria-label': 'Filter traces', onsubmit: (/** @type {Event} */ event) => event.preventDefault() },
      h('label', null, 'Service', h('select', { value: service, onchange: (/** @type {any} */ event) => replace({ service: event.target.value }) },
        h('option', { value: '', key: '' }, 'All services'),
        serviceNames(found.value ?? [], service).map((name) => h('option', { value: name, key: name, selected: name === service }, name)))),
      h('label', null, 'At least', h('span', { class: 'with-unit' }, h('input', { type: 'number', min: 0, step: 'any', value: least, placeholder: '0', inputmode: 'decimal',
        onchange: (/** @type {any} */ event) => replace({ least: event.target.value }) }), 'ms')),
      h('label', { class: 'check' }, h('input', { type: 'checkbox', checked: Boolean(errors), onchange: (/** @type {any} */ event) => replace({ errors: event.target.checked ? '1' : '' }) }), 'Errors only')),
    found.problem && h('p', { class: 'problem' }, found.problem),
    traceTable(found.value, service || least || errors ? 'No trace matches.' : null));
}

/** @param {TraceSummary[]} traces @param {string} chosen */
function serviceNames(traces, chosen) {
  const names = new Set(traces.flatMap((trace) => trace.services));
  for (const node of (store.objects.get('VirtualNode') ?? []).concat(store.objects.get('VirtualGateway') ?? [])) {
    const mesh = store.map?.nodes.find((one) => one.id === `${node.kind.toLowerCase()}/${node.metadata.namespace}/${node.metadata.name}`)?.mesh;
    if (mesh) names.add(`${mesh}/${node.spec?.awsName ?? node.metadata.name}`);
  }
  if (chosen) names.add(chosen);
  return [...names].sort();
}

/** @param {TraceSummary[] | null} traces @param {string | null} none */
function traceTable(traces, none) {
  if (!traces) return h('p', { class: 'quiet' }, 'Reading traces…');
  if (traces.length === 0) {
    return h('div', { class: 'nothing' }, h('p', null, none ?? 'No trace was received yet.'),
      !none && h('p', { class: 'quiet' }, 'Tracing is off unless a Mesh has the annotation ', h('code', null, 'heddle.dev/tracing: x-ray'), ' (or otlp); ',
        h('code', null, 'heddle.dev/trace-sampling: "1"'), ' traces every request.'));
  }
  const longest = Math.max(...traces.map((trace) => trace.durationMicroseconds), 1);
  return h('ul', { class: 'traces' }, traces.map((trace) => h('li', { key: trace.traceID }, traceRow(trace, longest))));
}

/** @param {TraceSummary} trace @param {number} longest */
function traceRow(trace, longest) {
  return h('a', { class: `trace ${trace.isError ? 'bad' : ''}`, href: address({ view: 'traces', trace: trace.traceID }) },
    h('span', { class: `health ${trace.isError ? 'failing' : 'healthy'}` }, icon(trace.isError ? 'failing' : 'healthy', trace.isError ? 'Failed' : 'Succeeded')),
    h('span', { class: 'trace-name' }, h('b', null, trace.name), h('span', { class: 'quiet' }, trace.service)),
    h('span', { class: 'trace-status' }, trace.status ?? ''),
    h('span', { class: 'trace-bar' }, h('i', { style: { transform: `scaleX(${trace.durationMicroseconds / longest})` } })),
    h('span', { class: 'trace-time' }, microseconds(trace.durationMicroseconds)),
    h('span', { class: 'trace-more quiet' }, `${trace.spanCount} ${trace.spanCount === 1 ? 'span' : 'spans'} · ${trace.services.length} ${trace.services.length === 1 ? 'service' : 'services'}`),
    h('span', { class: 'trace-age quiet', title: new Date(trace.startMicroseconds / 1000).toISOString() }, `${age(new Date(trace.startMicroseconds / 1000).toISOString())} ago`));
}

/** The newest traces of a service, for a node's panel. @param {string} service */
export function recentTraces(service) {
  const found = answer(`/traces?${new URLSearchParams({ service, limit: '12' })}`, 4000);
  return [
    found.problem && h('p', { class: 'problem' }, found.problem),
    found.value?.length > 0 && h('div', { key: 'first', class: 'newest-trace' }, h('h3', null, 'Newest'), waterfall(found.value[0].traceID, true)),
    found.value?.length > 0 && h('h3', null, 'Recent'),
    traceTable(found.value, null),
    found.value?.length > 0 && h('p', null, h('a', { href: address({ view: 'traces', trace: null, service }) }, 'All traces of this node')),
  ];
}

// MARK: One trace

/** @param {string} id @param {boolean} [isSmall] */
function waterfall(id, isSmall = false) {
  const found = answer(`/traces/${encodeURIComponent(id)}`, isSmall ? 20_000 : 5000);
  /** @type {Span[]} */
  const spans = found.value ?? [];
  const back = !isSmall && h('a', { class: 'back', href: address({ trace: null }) }, '← All traces');
  if (spans.length === 0) {
    return h('div', null, back, h('p', { class: found.problem ? 'problem' : 'quiet' }, found.problem || (found.value ? 'No span of this trace is kept any more.' : 'Reading the trace…')));
  }
  const start = Math.min(...spans.map((span) => span.startMicroseconds));
  const end = Math.max(...spans.map((span) => span.startMicroseconds + (span.durationMicroseconds ?? 0)));
  const whole = Math.max(end - start, 1);
  const services = [...new Set(spans.map((span) => span.service))];
  const rows = inTree(spans);
  return h('div', { class: `waterfall ${isSmall ? 'small' : ''}`, key: `waterfall ${id}` },
    back,
    !isSmall && h('header', { class: 'trace-head' },
      h('h2', null, rows[0].span.name),
      h('p', { class: 'quiet' }, `${microseconds(end - start)} · ${spans.length} spans · ${services.length} services · began ${clock(start / 1000)} · `, h('code', null, id))),
    !isSmall && h('div', { class: 'ticks', 'aria-hidden': 'true' }, [0, 0.25, 0.5, 0.75, 1].map((part) => h('span', { style: { left: `${part * 100}%` } }, microseconds(whole * part)))),
    h('ol', { class: 'spans', 'aria-label': 'Spans in the order of calls' }, rows.map(({ span, depth }) => spanRow(span, depth, start, whole, services.indexOf(span.service), isSmall))));
}

/** Spans below those they happened in; one whose parent is unknown stands at the top. @param {Span[]} spans */
function inTree(spans) {
  const known = new Set(spans.map((span) => span.spanID));
  /** @type {Map<string, Span[]>} */
  const children = new Map();
  for (const span of spans) {
    const parent = span.parentID && known.has(span.parentID) && span.parentID !== span.spanID ? span.parentID : '';
    children.set(parent, [...(children.get(parent) ?? []), span]);
  }
  /** @type {{span: Span, depth: number}[]} */
  const rows = [];
  const seen = new Set();
  const add = (/** @type {string} */ parent, /** @type {number} */ depth) => {
    for (const span of (children.get(parent) ?? []).sort((a, b) => a.startMicroseconds - b.startMicroseconds)) {
      if (seen.has(span)) continue;
      seen.add(span);
      rows.push({ span, depth });
      if (depth < 60) add(span.spanID, depth + 1);
    }
  };
  add('', 0);
  // Spans that name each other as parents hang on none.
  for (const span of spans) if (!seen.has(span)) rows.push({ span, depth: 0 });
  return rows;
}

/** @param {Span} span @param {number} depth @param {number} start @param {number} whole @param {number} series @param {boolean} isSmall */
function spanRow(span, depth, start, whole, series, isSmall) {
  const key = `${span.traceID} ${span.spanID} ${span.startMicroseconds}`;
  const isOpen = opened.has(key) && !isSmall;
  const length = span.durationMicroseconds ?? 0;
  const left = ((span.startMicroseconds - start) / whole) * 100;
  const bar = h('span', { class: `span-bar series-${series % 8} ${span.kind} ${span.isError ? 'bad' : ''}`, style: { left: `${left}%`, width: `max(3px, ${(length / whole) * 100}%)` } });
  const toggle = () => {
    if (!opened.delete(key)) opened.add(key);
    changed();
  };
  return h('li', { key, class: `span ${span.isError ? 'bad' : ''} ${isOpen ? 'open' : ''}` },
    h('button', { type: 'button', class: 'span-row', 'aria-expanded': isSmall ? null : String(isOpen), onclick: isSmall ? () => go({ view: 'traces', trace: span.traceID }) : toggle },
      h('span', { class: 'span-name', style: { 'padding-inline-start': `${Math.min(depth, 12) * (isSmall ? 8 : 14)}px` } },
        span.isError && icon('failing', 'Failed'),
        h('b', null, span.service.split('/').at(-1) ?? span.service), h('span', { class: 'quiet' }, span.name)),
      h('span', { class: 'span-track' }, bar),
      h('span', { class: 'span-time' }, span.durationMicroseconds === undefined ? 'open' : microseconds(length), span.status ? h('i', null, span.status) : null)),
    isOpen && h('dl', { class: 'attributes' }, attributeRows(span)));
}

/** @param {Span} span */
function attributeRows(span) {
  const all = [['service', span.service], ['kind', span.kind], ['span', span.spanID], ['parent', span.parentID ?? 'none'], ...Object.entries(span.attributes ?? {}).sort()];
  return all.map(([name, value], index) => h('div', { key: `${name} ${index}` }, h('dt', null, name), h('dd', null, value)));
}
