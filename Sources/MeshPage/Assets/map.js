// The live map: cards and the calls between them, which can be moved and zoomed.

import { h } from './view.js';
import { healthIcon, healthWords, icon, securityIcon, securityWords } from './icons.js';
import { bytes, count, kindWords, milliseconds, percent, rate, share } from './format.js';
import { apart, edgeKey, layered, pathOf } from './layout.js';
import { address, go, route } from './route.js';
import { changed, mergedEdges, shownMap, store } from './store.js';
import { emptyState, trafficHint } from './firststeps.js';

/** @typedef {import('./types.js').MapNode} MapNode */
/** @typedef {import('./types.js').MapEdge} MapEdge */
/** @typedef {import('./types.js').Split} Split */

const cards = {
  right: { width: 216, height: 96, layerGap: 176, gap: 28, isDownward: false },
  down: { width: 168, height: 96, layerGap: 76, gap: 16, isDownward: true },
};

/** @type {import('./layout.js').Layout | null} */
let layout = null;
let structure = '';
/** Where the map lies in its frame, and how large it is. */
const viewport = { x: 0, y: 0, scale: 1, isFitted: true };
/** @type {HTMLElement | null} */
let frame = null;
/** @type {HTMLElement | null} */
let world = null;
/** The node that the pointer is on. */
let hovered = '';
/** Pointers that are down, by their id. @type {Map<number, {x: number, y: number}>} */
const pointers = new Map();
let isDragged = false;

/** The map's view. */
export function mapView() {
  const shown = shownMap();
  const map = { ...shown, edges: mergedEdges(shown.edges) };
  if (map.nodes.length === 0) return emptyState();
  place(map.nodes, map.edges);
  const { open } = route();
  const near = hovered || (map.nodes.some((node) => node.id === open) ? open : '');
  const classes = `map-world ${hovered ? 'has-hover' : near ? 'has-open' : ''} ${map.edges.length > 80 ? 'crowded' : ''}`;
  const isNear = (/** @type {MapEdge} */ edge) => !near || edge.source === near || edge.target === near;
  const neighbours = new Set(map.edges.filter(isNear).flatMap((edge) => [edge.source, edge.target]).concat(near));
  const inOrder = [...map.nodes].sort((a, b) => position(a.id).layer - position(b.id).layer || position(a.id).order - position(b.id).order);
  return h('section', { class: 'map-view', key: 'map', 'aria-label': 'Map of the mesh' },
    h('div', {
      class: 'map-frame', role: 'group', 'aria-label': 'Nodes, in the order of calls. Arrow keys go to the next in a direction; the list view has the same as a table.',
      created: adopt, onpointerdown: pointerDown, onpointermove: pointerMove, onpointerup: pointerUp, onpointercancel: pointerUp, onkeydown: arrowKey,
    },
    h('div', { class: classes, created: (/** @type {HTMLElement} */ element) => { world = element; settle(); } },
      edgesView(map.edges, isNear),
      labels(map.edges, map.splits, isNear),
      inOrder.map((node) => card(node, node.id === open, neighbours.has(node.id))))),
    h('div', { class: 'map-controls', role: 'group', 'aria-label': 'Zoom' },
      control('plus', 'Zoom in', () => zoom(1.25)), control('minus', 'Zoom out', () => zoom(0.8)), control('fit', 'Show all', fit)),
    h('div', { class: 'map-notes' }, splitsView(map.splits), trafficHint(map.nodes, map.edges)));
}

/** @param {string} name @param {string} title @param {() => void} onclick */
function control(name, title, onclick) {
  return h('button', { type: 'button', class: 'icon-button', title, 'aria-label': title, onclick }, icon(name));
}

/** Lays the map out when nodes or calls came or went. @param {MapNode[]} nodes @param {MapEdge[]} edges */
function place(nodes, edges) {
  const isDownward = innerWidth < 640;
  const found = JSON.stringify([isDownward, nodes.map((node) => node.id), edges.map(edgeKey)]);
  if (found === structure) return;
  structure = found;
  layout = layered(nodes.map((node) => node.id), edges, isDownward ? cards.down : cards.right, layout);
  if (viewport.isFitted) queueMicrotask(settle);
}

/** @param {string} id */
const position = (id) => layout?.nodes.get(id) ?? { x: 0, y: 0, layer: 0, order: 0 };

// MARK: Cards

/** @param {MapNode} node @param {boolean} isOpen @param {boolean} isNear */
function card(node, isOpen, isNear) {
  const { x, y } = position(node.id);
  const isOutside = !isInside(node);
  const { traffic } = node;
  return h('button', {
    key: node.id, type: 'button', 'data-id': node.id, 'aria-expanded': String(isOpen),
    class: `card ${node.health} ${isOpen ? 'open' : ''} ${isNear ? 'near' : ''} ${isOutside ? 'outside' : ''}`,
    style: { transform: `translate(-50%, -50%) translate(${x.toFixed(1)}px, ${y.toFixed(1)}px)` },
    title: node.problem ?? '', 'aria-label': spoken(node),
    onclick: () => { if (!isDragged) go({ open: isOpen ? null : node.id, tab: null }); },
    onmouseenter: () => hover(node.id), onmouseleave: () => hover(''), onfocus: () => reveal(node.id),
  },
  h('span', { class: 'card-head' },
    h('span', { class: 'card-kind' }, icon(node.kind)),
    h('span', { class: 'card-name' }, node.name),
    healthIcon(node.health)),
  h('span', { class: 'card-place' }, isOutside ? kindPhrase(node) : node.namespace,
    node.proxies > 0 && h('span', { class: `card-proxies ${node.readyProxies < node.proxies ? 'short' : ''}` },
      `${node.readyProxies}/${node.proxies} ${node.proxies === 1 ? 'proxy' : 'proxies'}`)),
  h('span', { class: 'card-numbers' },
    node.problem && node.health === 'failing' && traffic.requestsPerSecond === 0
      ? h('span', { class: 'card-problem' }, node.problem)
      : numbersOf(node)));
}

/** What a card counts: requests, or connections where no requests are seen. @param {MapNode} node */
function numbersOf(node) {
  const { traffic } = node;
  if (node.kind === 'Client') {
    const called = (store.map?.edges ?? []).filter((edge) => edge.source === node.id);
    return number(rate(called.reduce((sum, edge) => sum + edge.traffic.requestsPerSecond, 0)), 'req/s sent');
  }
  if (traffic.requests === 0 && traffic.requestsPerSecond === 0 && traffic.activeConnections > 0) {
    return [number(count(traffic.activeConnections), 'open'), number(`${bytes(traffic.bytesPerSecond)}/s`, 'both ways')];
  }
  return [number(percent(traffic.successRate), 'success'), number(rate(traffic.requestsPerSecond), 'req/s'), number(milliseconds(traffic.latencyMilliseconds?.p99), 'p99')];
}

/** @param {string} value @param {string} label */
const number = (value, label) => h('span', { class: 'number' }, h('b', null, value), h('i', null, label));

/** Whether a node is an object. @param {MapNode} node */
const isInside = (node) => node.kind === 'VirtualNode' || node.kind === 'VirtualGateway';

/** @param {MapNode} node */
const kindPhrase = (node) => ({ Client: 'callers of gateways', Missing: 'does not exist' }[node.kind] ?? 'outside the mesh');

/** @param {MapNode} node */
function spoken(node) {
  const { traffic } = node;
  const parts = [node.name, `${kindWords(node.kind)}${node.namespace ? ` in ${node.namespace}` : ''}`, healthWords[node.health]];
  if (node.problem) parts.push(node.problem);
  if (traffic.requestsPerSecond > 0) {
    parts.push(`${rate(traffic.requestsPerSecond)} requests a second, ${percent(traffic.successRate)} succeed, p99 ${milliseconds(traffic.latencyMilliseconds?.p99)}`);
  } else parts.push('no requests');
  if (node.proxies > 0) parts.push(`${node.readyProxies} of ${node.proxies} proxies ready`);
  return parts.join(', ');
}

/** @param {string} id */
function hover(id) {
  hovered = id;
  changed();
}

// MARK: Edges

/** @param {MapEdge[]} edges @param {(edge: MapEdge) => boolean} isNear */
function edgesView(edges, isNear) {
  const { x, y, width, height } = layout?.bounds ?? { x: 0, y: 0, width: 0, height: 0 };
  const margin = 60;
  return h('svg', {
    class: 'edges', 'aria-hidden': 'true', width: width + 2 * margin, height: height + 2 * margin,
    viewBox: `${x - margin} ${y - margin} ${width + 2 * margin} ${height + 2 * margin}`,
    style: { left: `${x - margin}px`, top: `${y - margin}px` },
  }, edges.map((edge) => {
    const points = edge.source === edge.target ? null : layout?.edges.get(edgeKey(edge));
    const d = points ? pathOf(points, layout?.isDownward ?? false) : loop(edge.source);
    const perSecond = edge.traffic.requestsPerSecond;
    const isIdle = perSecond === 0 && edge.traffic.bytesPerSecond === 0 && edge.traffic.activeConnections === 0;
    // Ten times the requests, a step more; dots are quicker the more there are.
    const width = isIdle ? 1.2 : Math.min(7, 1.6 + 1.1 * Math.log10(1 + perSecond));
    const seconds = Math.max(0.5, 2.6 - 0.6 * Math.log10(1 + perSecond));
    return h('g', { key: edgeKey(edge), class: `edge ${edge.health} ${isIdle ? 'idle' : ''} ${isNear(edge) ? 'near' : ''}`, 'data-edge': edgeKey(edge) },
      h('path', { key: 'line', class: 'edge-line', d, style: { 'stroke-width': `${width.toFixed(1)}px` } }),
      arrow(points),
      !isIdle && h('path', { key: 'dots', class: 'edge-dots', d, style: { 'stroke-width': `${(width + 1.6).toFixed(1)}px`, 'animation-duration': `${seconds.toFixed(1)}s` } }));
  }));
}

/** The head of an edge. @param {import('./layout.js').Point[] | null | undefined} points */
function arrow(points) {
  if (!points || points.length < 2) return null;
  const [from, to] = points.slice(-2);
  const isDown = layout?.isDownward;
  const sign = Math.sign(isDown ? to.y - from.y : to.x - from.x) || 1;
  const [x, y] = [to.x, to.y];
  const d = isDown
    ? `M${x} ${y}l-5 ${-9 * sign}h10z`
    : `M${x} ${y}l${-9 * sign} -5v10z`;
  return h('path', { key: 'head', class: 'edge-head', d });
}

/** The path of calls to oneself. @param {string} id */
function loop(id) {
  const { x, y } = position(id);
  const { width, height } = layout?.isDownward ? cards.down : cards.right;
  const [right, top] = [x + width / 2, y - height / 2];
  return `M${right} ${y - 12}C${right + 44} ${y - 12} ${right + 30} ${top - 34} ${right - 40} ${top}`;
}

/** What edges carry, each beside the middle of its own. @param {MapEdge[]} edges @param {Split[]} splits @param {(edge: MapEdge) => boolean} isNear */
function labels(edges, splits, isNear) {
  const isDownward = layout?.isDownward ?? false;
  const placed = edges.flatMap((edge) => {
    const points = layout?.edges.get(edgeKey(edge));
    if (!points || points.length < 2) return [];
    const [from, to] = points.slice(-2);
    // Nearer to who is called, where edges of one caller are apart.
    const between = (/** @type {number} */ start, /** @type {number} */ end, /** @type {number} */ part) => start + (end - start) * part;
    const along = isDownward ? between(from.y, to.y, 0.55) : between(from.x, to.x, 0.58);
    const wanted = isDownward ? between(from.x, to.x, 0.57) : between(from.y, to.y, 0.66);
    const parts = splitsOf(edge, splits);
    const size = isDownward ? 92 : 24 + 18 * parts.length;
    return [{ edge, parts, along, wanted, at: wanted, size }];
  });
  // Those between the same two layers shall not hide each other.
  for (const along of new Set(placed.map((label) => Math.round(label.along)))) {
    const together = placed.filter((label) => Math.round(label.along) === along).sort((a, b) => a.wanted - b.wanted);
    apart(together, together.map((label) => label.wanted), (a, b) => (a.size + b.size) / 2 + 2);
  }
  return placed.map(({ edge, parts, along, at }) => {
    const [x, y] = isDownward ? [at, along] : [along, at];
    const perSecond = edge.traffic.requestsPerSecond;
    const failures = 1 - (edge.traffic.successRate ?? 1);
    const isIdle = perSecond === 0 && edge.traffic.bytesPerSecond === 0;
    return h('span', {
      key: `label ${edgeKey(edge)}`, 'aria-hidden': 'true',
      class: `edge-label ${edge.health} ${isIdle ? 'idle' : ''} ${isNear(edge) ? 'near' : ''}`,
      style: { transform: `translate(-50%, -50%) translate(${x.toFixed(1)}px, ${y.toFixed(1)}px)` },
    },
    h('span', { class: 'edge-rate' }, securityIcon(edge.security),
      isIdle ? 'idle' : edge.isHTTP ? `${rate(perSecond)}/s` : `${count(edge.traffic.activeConnections)} conn`,
      failures >= 0.001 && perSecond > 0 && h('em', null, `${percent(failures)} fail`)),
    parts.map((split) => h('span', { key: `${split.service} ${split.route}`, class: `edge-split series-${placeOf(split, splits) % 4}` }, meter(split), h('b', null, share(split.observedShare ?? split.share)))));
  });
}

/** The splits among several targets that send this way, each service once. @param {MapEdge} edge @param {Split[]} splits */
function splitsOf(edge, splits) {
  const found = new Map();
  for (const split of splits) {
    const isShared = splits.some((other) => other.service === split.service && other.route === split.route && other.target !== split.target);
    if (isShared && split.target === edge.target && edge.services.includes(split.service) && !found.has(split.service)) found.set(split.service, split);
  }
  return [...found.values()];
}

/** The place of a split among those of its service and route, which gives it its colour. @param {Split} split @param {Split[]} splits */
const placeOf = (split, splits) => splits.filter((other) => other.service === split.service && other.route === split.route).indexOf(split);

/** A share that is seen, with a mark at the one that is declared. @param {Split} split */
function meter(split) {
  const seen = split.observedShare;
  return h('span', { class: 'meter', title: `${split.service}: ${share(split.share)} declared, ${share(seen)} seen` },
    h('span', { class: 'meter-fill', style: { transform: `scaleX(${seen ?? 0})` } }),
    h('span', { class: 'meter-mark', style: { left: `${split.share * 100}%` } }));
}

/** The services whose requests are split, declared and seen side by side. @param {Split[]} splits */
function splitsView(splits) {
  /** @type {Map<string, Split[]>} */
  const groups = new Map();
  for (const split of splits) {
    const key = JSON.stringify([split.service, split.route ?? '']);
    groups.set(key, [...(groups.get(key) ?? []), split]);
  }
  const shared = [...groups].filter(([, parts]) => parts.length > 1);
  if (shared.length === 0) return null;
  return h('details', { key: 'splits', class: 'splits', created: (/** @type {any} */ element) => { element.open = innerWidth >= 640; } },
    h('summary', null, 'Traffic splits', h('span', { class: 'badge' }, shared.length)),
    h('div', { class: 'splits-body' }, shared.map(([key, parts]) => splitView(key, parts))));
}

/** @param {string} key @param {Split[]} parts */
export function splitView(key, parts) {
  return h('div', { key, class: 'split' },
    h('div', { class: 'split-title' }, h('b', null, parts[0].service), parts[0].route && h('span', { class: 'quiet' }, parts[0].route)),
    parts.map((part, index) => h('div', { key: `${part.target} ${index}`, class: `split-row series-${index % 4}` },
      h('span', { class: 'split-name' }, part.target ? nameOf(part.target) : 'missing target'),
      meter(part),
      h('span', { class: 'split-numbers' }, h('b', null, share(part.observedShare)), h('span', { class: 'quiet' }, ` of ${share(part.share)}`)))));
}

/** @param {string} id */
const nameOf = (id) => store.map?.nodes.find((node) => node.id === id)?.name ?? id.split('/').at(-1) ?? id;

// MARK: Moving and zooming

/** @param {HTMLElement} element */
function adopt(element) {
  frame = element;
  element.addEventListener('wheel', wheel, { passive: false });
  new ResizeObserver(() => {
    if (viewport.isFitted) settle();
    changed();
  }).observe(element);
}

function apply() {
  if (!world) return;
  world.style.transform = `translate(${viewport.x}px, ${viewport.y}px) scale(${viewport.scale})`;
  frame?.classList.toggle('far', viewport.scale < 0.5);
}

/** Shows all that is there, as large as fits; on a small screen as small as can be read. */
export function fit() {
  if (!frame || !layout) return;
  const { x, y, width, height } = layout.bounds;
  const margin = innerWidth < 640 ? 16 : 48;
  // What lies over the map's foot shall not hide a node.
  const foot = innerWidth < 640 ? 70 : 40;
  const [wide, high] = [frame.clientWidth - 2 * margin, frame.clientHeight - margin - foot];
  const wanted = Math.min(wide / Math.max(width, 1), high / Math.max(height, 1), innerWidth > 2000 ? 2 : 1.25);
  const least = layout.isDownward ? Math.min(wide / Math.max(width, 1), 0.85) : 0.12;
  viewport.scale = Math.max(wanted, Math.max(least, 0.12));
  viewport.x = (frame.clientWidth - width * viewport.scale) / 2 - x * viewport.scale;
  const free = frame.clientHeight - foot - height * viewport.scale;
  viewport.y = Math.max(margin, (free + margin / 2) / 2) - y * viewport.scale;
  viewport.isFitted = true;
  apply();
}

/** Shows all; beside an open panel its node, and the others at a size that can be read. */
function settle() {
  fit();
  const { open } = route();
  const [least, at] = [0.8, layout?.nodes.get(open)];
  if (!frame || !at || viewport.scale >= least) return;
  viewport.scale = least;
  viewport.x = frame.clientWidth / 2 - at.x * least;
  viewport.y = frame.clientHeight / 2 - at.y * least;
  apply();
}

/** @param {number} factor @param {number} [x] @param {number} [y] The point that stays. */
function zoom(factor, x = (frame?.clientWidth ?? 0) / 2, y = (frame?.clientHeight ?? 0) / 2) {
  const scale = Math.min(3, Math.max(0.12, viewport.scale * factor));
  const change = scale / viewport.scale;
  viewport.x = x - (x - viewport.x) * change;
  viewport.y = y - (y - viewport.y) * change;
  viewport.scale = scale;
  viewport.isFitted = false;
  apply();
}

/** @param {number} x @param {number} y */
function move(x, y) {
  viewport.x += x;
  viewport.y += y;
  viewport.isFitted = false;
  apply();
}

/** @param {WheelEvent} event */
function wheel(event) {
  event.preventDefault();
  const box = /** @type {HTMLElement} */ (frame).getBoundingClientRect();
  if (event.shiftKey) move(-event.deltaY - event.deltaX, 0);
  else zoom(Math.exp(-Math.max(-60, Math.min(60, event.deltaY)) * 0.006), event.clientX - box.x, event.clientY - box.y);
}

/** @param {PointerEvent} event */
function pointerDown(event) {
  if (event.button !== 0) return;
  pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  if (pointers.size === 1) isDragged = false;
}

/** @param {PointerEvent} event */
function pointerMove(event) {
  const before = pointers.get(event.pointerId);
  if (!before) return;
  const now = { x: event.clientX, y: event.clientY };
  const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
  if (!isDragged && !other && Math.hypot(now.x - before.x, now.y - before.y) < 5) return;
  if (!isDragged) {
    isDragged = true;
    // Only now: a captured pointer clicks on nothing.
    for (const id of pointers.keys()) frame?.setPointerCapture(id);
  }
  pointers.set(event.pointerId, now);
  if (!other) return move(now.x - before.x, now.y - before.y);
  const box = /** @type {HTMLElement} */ (frame).getBoundingClientRect();
  const distance = (/** @type {{x: number, y: number}} */ from) => Math.hypot(from.x - other.x, from.y - other.y) || 1;
  zoom(distance(now) / distance(before), (now.x + other.x) / 2 - box.x, (now.y + other.y) / 2 - box.y);
}

/** @param {PointerEvent} event */
function pointerUp(event) {
  pointers.delete(event.pointerId);
  // A click follows the end of a drag, and shall open nothing.
  if (pointers.size === 0 && isDragged) setTimeout(() => { isDragged = false; }, 0);
}

/** Moves the map so that a node can be seen. @param {string} id */
function reveal(id) {
  if (!frame || isDragged || pointers.size > 0) return;
  const { x, y } = position(id);
  const [left, top] = [x * viewport.scale + viewport.x, y * viewport.scale + viewport.y];
  const margin = 80 * Math.min(1, viewport.scale) + 20;
  const past = (/** @type {number} */ at, /** @type {number} */ size) => (at < margin ? margin - at : at > size - margin ? size - margin - at : 0);
  const [right, down] = [past(left, frame.clientWidth), past(top, frame.clientHeight)];
  // The browser may have scrolled the frame itself.
  frame.scrollTo(0, 0);
  if (right || down) move(right, down);
}

/** Goes to the nearest node in the direction of an arrow key. @param {KeyboardEvent} event */
function arrowKey(event) {
  const directions = /** @type {Record<string, [number, number]>} */ ({ ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] });
  const direction = directions[event.key];
  const id = /** @type {HTMLElement} */ (event.target).dataset?.id;
  if (!direction || !id || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  const from = position(id);
  let [best, least] = ['', Infinity];
  for (const [other, to] of layout?.nodes ?? []) {
    const along = (to.x - from.x) * direction[0] + (to.y - from.y) * direction[1];
    const across = Math.abs((to.x - from.x) * direction[1]) + Math.abs((to.y - from.y) * direction[0]);
    if (other === id || along < 20) continue;
    const distance = along + 2 * across;
    if (distance < least) [best, least] = [other, distance];
  }
  if (best) focusNode(best);
}

/** @param {string} id */
export function focusNode(id) {
  /** @type {HTMLElement | null | undefined} */ (world?.querySelector(`[data-id="${CSS.escape(id)}"]`))?.focus({ preventScroll: true });
}

/** Says what edges are, for the list view. @param {MapEdge} edge */
export const securityText = (edge) => securityWords[edge.security] ?? edge.security;

/** Where a node's panel is. @param {string} id */
export const nodeAddress = (id) => address({ open: id, tab: null });
