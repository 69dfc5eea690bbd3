// A layered layout: callers before those they call, few crossings, short edges. Equal input gives
// equal output, and what was placed before keeps its order.

/** @typedef {{x: number, y: number}} Point */
/** @typedef {{source: string, target: string}} Link */
/**
 * @typedef {Object} Layout
 * @property {Map<string, Point & {layer: number, order: number}>} nodes Centres.
 * @property {Map<string, Point[]>} edges From the source's side to the target's, by `edgeKey`.
 * @property {{x: number, y: number, width: number, height: number}} bounds
 * @property {boolean} isDownward
 */
/** @typedef {{id: string, size: number, isReal: boolean, at: number, layer: number}} Item */

/** @param {Link} link */
export const edgeKey = (link) => `${link.source} ${link.target}`;

/**
 * Places nodes in layers, from left to right or downward.
 *
 * @param {string[]} ids
 * @param {Link[]} links
 * @param {{width: number, height: number, layerGap: number, gap: number, isDownward: boolean}} options
 * @param {Layout | null} previous
 * @returns {Layout}
 */
export function layered(ids, links, options, previous) {
  const known = new Set(ids);
  const real = links.filter((link) => known.has(link.source) && known.has(link.target) && link.source !== link.target);
  const connected = new Set(real.flatMap((link) => [link.source, link.target]));
  const reversed = backLinks(ids.filter((id) => connected.has(id)), real);
  const forward = real.map((link) => (reversed.has(edgeKey(link)) ? { source: link.target, target: link.source } : link));
  const layerOf = layersOf([...connected].sort(), forward);
  const [length, breadth] = options.isDownward ? [options.height, options.width] : [options.width, options.height];
  const { layers, chains, neighbours } = withWaypoints(layerOf, forward, breadth);
  order(layers, neighbours, previous);
  spread(layers, neighbours, options.gap);
  const step = length + options.layerGap;
  /** @type {Layout} */
  const result = { nodes: new Map(), edges: new Map(), bounds: { x: 0, y: 0, width: 0, height: 0 }, isDownward: options.isDownward };
  const point = (/** @type {number} */ along, /** @type {number} */ across) =>
    (options.isDownward ? { x: across, y: along } : { x: along, y: across });
  for (const [index, layer] of layers.entries()) {
    for (const [place, item] of layer.filter((one) => one.isReal).entries()) {
      result.nodes.set(item.id, { ...point(index * step, item.at), layer: index, order: place });
    }
  }
  placeLonely(ids.filter((id) => !connected.has(id)), result, layers, options, step);
  const ports = portsOf(real, chains, reversed, breadth);
  for (const link of real) {
    const key = edgeKey(link);
    const isReversed = reversed.has(key);
    const chain = chains.get(isReversed ? edgeKey({ source: link.target, target: link.source }) : key) ?? [];
    const points = chain.flatMap((item, index) => {
      const along = item.layer * step;
      const across = item.at + (item.isReal ? ports.get(`${key} ${item.id}`) ?? 0 : 0);
      const before = point(along - length / 2, across);
      const after = point(along + length / 2, across);
      if (index === 0) return [after];
      return index === chain.length - 1 ? [before] : [before, after];
    });
    result.edges.set(key, isReversed ? points.reverse() : points);
  }
  result.bounds = boundsOf(result, options);
  return result;
}

/** The links to turn around so that no cycle is left. @param {string[]} ids @param {Link[]} links */
function backLinks(ids, links) {
  const next = new Map(ids.map((id) => [id, links.filter((link) => link.source === id)]));
  const called = new Set(links.map((link) => link.target));
  const roots = [...ids.filter((id) => !called.has(id)).sort(), ...[...ids].sort()];
  const open = new Set();
  const done = new Set();
  const back = new Set();
  const visit = (/** @type {string} */ id) => {
    open.add(id);
    for (const link of next.get(id) ?? []) {
      if (open.has(link.target)) back.add(edgeKey(link));
      else if (!done.has(link.target)) visit(link.target);
    }
    open.delete(id);
    done.add(id);
  };
  for (const id of roots) if (!done.has(id)) visit(id);
  // Both ways between two: turned around, the one lies on the other.
  return back;
}

/** The layer of each node: after all who call it. @param {string[]} ids @param {Link[]} links */
function layersOf(ids, links) {
  /** @type {Map<string, number>} */
  const layer = new Map(ids.map((id) => [id, 0]));
  for (let round = 0; round < ids.length; round += 1) {
    let isChanged = false;
    for (const { source, target } of links) {
      const least = (layer.get(source) ?? 0) + 1;
      if ((layer.get(target) ?? 0) < least) {
        layer.set(target, least);
        isChanged = true;
      }
    }
    if (!isChanged) break;
  }
  // Who is called by none stands right before the first that it calls.
  const called = new Set(links.map((link) => link.target));
  for (const id of ids) {
    if (called.has(id)) continue;
    const least = Math.min(...links.filter((link) => link.source === id).map((link) => layer.get(link.target) ?? 1));
    layer.set(id, Math.max(0, least - 1));
  }
  return layer;
}

/** Gives links over several layers a place in each. @param {Map<string, number>} layerOf @param {Link[]} links @param {number} size */
function withWaypoints(layerOf, links, size) {
  /** @type {Item[][]} */
  const layers = Array.from({ length: Math.max(0, ...[...layerOf.values()].map((value) => value + 1)) }, () => []);
  /** @type {Map<string, Item>} */
  const items = new Map();
  for (const [id, layer] of layerOf) {
    const item = { id, size, isReal: true, at: 0, layer };
    items.set(id, item);
    layers[layer].push(item);
  }
  /** @type {Map<string, Item[]>} */
  const chains = new Map();
  /** @type {Map<Item, Item[][]>} Those before and those after. */
  const neighbours = new Map([...items.values()].map((item) => [item, [[], []]]));
  for (const link of links) {
    const key = edgeKey(link);
    if (chains.has(key)) continue;
    const source = /** @type {Item} */ (items.get(link.source));
    const target = /** @type {Item} */ (items.get(link.target));
    const chain = [source];
    for (let layer = source.layer + 1; layer < target.layer; layer += 1) {
      const item = { id: `${key} ${layer}`, size: 28, isReal: false, at: 0, layer };
      layers[layer].push(item);
      neighbours.set(item, [[], []]);
      chain.push(item);
    }
    chain.push(target);
    for (let index = 1; index < chain.length; index += 1) {
      neighbours.get(chain[index - 1])?.[1].push(chain[index]);
      neighbours.get(chain[index])?.[0].push(chain[index - 1]);
    }
    chains.set(key, chain);
  }
  return { layers, chains, neighbours };
}

/** Sorts each layer so that few links cross. @param {Item[][]} layers @param {Map<Item, Item[][]>} neighbours @param {Layout | null} previous */
function order(layers, neighbours, previous) {
  const before = (/** @type {Item} */ item) => previous?.nodes.get(item.id)?.order ?? Number.MAX_SAFE_INTEGER;
  for (const layer of layers) layer.sort((a, b) => before(a) - before(b) || (a.id < b.id ? -1 : 1));
  let best = layers.map((layer) => [...layer]);
  let fewest = crossings(layers, neighbours);
  for (let round = 0; round < 12 && fewest > 0; round += 1) {
    const side = round % 2;
    const sequence = side === 0 ? layers : [...layers].reverse();
    for (const layer of sequence) {
      const place = placesOf(layers);
      const centre = new Map(layer.map((item, index) => {
        const others = neighbours.get(item)?.[side] ?? [];
        const sum = others.reduce((total, other) => total + (place.get(other) ?? 0), 0);
        return [item, others.length === 0 ? index : sum / others.length];
      }));
      layer.sort((a, b) => (centre.get(a) ?? 0) - (centre.get(b) ?? 0));
    }
    const found = crossings(layers, neighbours);
    if (found < fewest) {
      fewest = found;
      best = layers.map((layer) => [...layer]);
    }
  }
  for (const [index, layer] of best.entries()) layers[index].splice(0, layer.length, ...layer);
}

/** @param {Item[][]} layers */
function placesOf(layers) {
  return new Map(layers.flatMap((layer) => layer.map((item, index) => /** @type {[Item, number]} */ ([item, index]))));
}

/** @param {Item[][]} layers @param {Map<Item, Item[][]>} neighbours */
function crossings(layers, neighbours) {
  const place = placesOf(layers);
  let total = 0;
  for (const layer of layers) {
    const ends = layer.flatMap((item, index) => (neighbours.get(item)?.[1] ?? []).map((other) => [index, place.get(other) ?? 0]));
    for (let one = 0; one < ends.length; one += 1) {
      for (let two = one + 1; two < ends.length; two += 1) {
        if ((ends[one][0] - ends[two][0]) * (ends[one][1] - ends[two][1]) < 0) total += 1;
      }
    }
  }
  return total;
}

/** Places the items of each layer near their neighbours. @param {Item[][]} layers @param {Map<Item, Item[][]>} neighbours @param {number} gap */
function spread(layers, neighbours, gap) {
  const distance = (/** @type {Item} */ a, /** @type {Item} */ b) => (a.size + b.size) / 2 + gap;
  for (const layer of layers) apart(layer, layer.map(() => 0), distance);
  for (let round = 0; round < 16; round += 1) {
    for (const layer of round % 2 === 0 ? layers : [...layers].reverse()) {
      const wanted = layer.map((item) => {
        const others = (neighbours.get(item) ?? []).flat();
        if (others.length === 0) return item.at;
        return others.reduce((sum, other) => sum + other.at, 0) / others.length;
      });
      apart(layer, wanted, distance);
    }
  }
}

/**
 * Places items in their order, with a least distance, as near to what they want as can be: the pool
 * adjacent violators algorithm.
 *
 * @template {{at: number}} T
 * @param {T[]} items
 * @param {number[]} wanted
 * @param {(a: T, b: T) => number} distance
 */
export function apart(items, wanted, distance) {
  const offsets = [0];
  for (let index = 1; index < items.length; index += 1) {
    offsets.push(offsets[index - 1] + distance(items[index - 1], items[index]));
  }
  /** @type {{sum: number, count: number}[]} */
  const pools = [];
  for (let index = 0; index < items.length; index += 1) {
    let pool = { sum: wanted[index] - offsets[index], count: 1 };
    for (let last = pools.at(-1); last && last.sum / last.count > pool.sum / pool.count; last = pools.at(-1)) {
      pool = { sum: pool.sum + last.sum, count: pool.count + last.count };
      pools.pop();
    }
    pools.push(pool);
  }
  let index = 0;
  for (const pool of pools) {
    for (let one = 0; one < pool.count; one += 1, index += 1) items[index].at = pool.sum / pool.count + offsets[index];
  }
}

/** Where links leave and reach the sides of nodes, so that they do not lie on each other. @param {Link[]} links @param {Map<string, Item[]>} chains @param {Set<string>} reversed @param {number} breadth */
function portsOf(links, chains, reversed, breadth) {
  /** @type {Map<string, {key: string, id: string, towards: number}[]>} */
  const sides = new Map();
  for (const link of links) {
    const key = edgeKey(link);
    const chain = chains.get(reversed.has(key) ? edgeKey({ source: link.target, target: link.source }) : key);
    if (!chain) continue;
    const ends = [[chain[0], chain[1], 'after'], [chain[chain.length - 1], chain[chain.length - 2], 'before']];
    for (const [item, other, side] of /** @type {[Item, Item, string][]} */ (ends)) {
      const list = sides.get(`${side} ${item.id}`) ?? [];
      list.push({ key, id: item.id, towards: other.at + (reversed.has(key) ? 0.5 : 0) });
      sides.set(`${side} ${item.id}`, list);
    }
  }
  const ports = new Map();
  for (const list of sides.values()) {
    list.sort((a, b) => a.towards - b.towards);
    const step = Math.min(16, (breadth * 0.6) / list.length);
    for (const [index, port] of list.entries()) {
      ports.set(`${port.key} ${port.id}`, (index - (list.length - 1) / 2) * step);
    }
  }
  return ports;
}

/** Places those who call none and are called by none in rows after the others. @param {string[]} ids @param {Layout} result @param {Item[][]} layers @param {any} options @param {number} step */
function placeLonely(ids, result, layers, options, step) {
  if (ids.length === 0) return;
  const breadth = options.isDownward ? options.width : options.height;
  const all = layers.flat();
  const start = all.length === 0 ? 0 : Math.max(...all.map((item) => item.at + item.size / 2)) + breadth / 2 + 2 * options.gap;
  const first = layers.length === 0 ? 0 : Math.min(...all.map((item) => item.at));
  const tight = (options.isDownward ? options.height : options.width) + options.gap;
  const columns = options.isDownward
    ? 2
    : Math.max(Math.ceil(Math.sqrt(ids.length)), Math.floor((Math.max(0, layers.length - 1) * step) / tight) + 1);
  const bottom = layers.length * step;
  for (const [index, id] of [...ids].sort().entries()) {
    const [row, column] = [Math.floor(index / columns), index % columns];
    const place = options.isDownward
      ? { x: first + column * (breadth + options.gap), y: bottom + row * tight }
      : { x: column * tight, y: start + row * (breadth + options.gap) };
    result.nodes.set(id, { ...place, layer: layers.length + row, order: column });
  }
}

/** @param {Layout} layout @param {{width: number, height: number}} size */
function boundsOf(layout, size) {
  const xs = [];
  const ys = [];
  for (const { x, y } of layout.nodes.values()) {
    xs.push(x - size.width / 2, x + size.width / 2);
    ys.push(y - size.height / 2, y + size.height / 2);
  }
  for (const points of layout.edges.values()) for (const { x, y } of points) {
    xs.push(x);
    ys.push(y);
  }
  if (xs.length === 0) return { x: 0, y: 0, width: 0, height: 0 };
  const [x, y] = [Math.min(...xs), Math.min(...ys)];
  return { x, y, width: Math.max(...xs) - x, height: Math.max(...ys) - y };
}

/** The path of an edge: curves between layers, lines through them. @param {Point[]} points @param {boolean} isDownward */
export function pathOf(points, isDownward) {
  const text = (/** @type {Point} */ { x, y }) => `${x.toFixed(1)} ${y.toFixed(1)}`;
  let path = `M${text(points[0])}`;
  for (let index = 1; index < points.length; index += 1) {
    const [from, to] = [points[index - 1], points[index]];
    if (index % 2 === 0) path += `L${text(to)}`;
    else {
      const half = (isDownward ? to.y - from.y : to.x - from.x) / 2;
      const one = isDownward ? { x: from.x, y: from.y + half } : { x: from.x + half, y: from.y };
      const two = isDownward ? { x: to.x, y: to.y - half } : { x: to.x - half, y: to.y };
      path += `C${text(one)} ${text(two)} ${text(to)}`;
    }
  }
  return path;
}
