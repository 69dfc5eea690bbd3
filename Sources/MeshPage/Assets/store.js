// What is known of the mesh, and who is told when that changes.

/** @typedef {import('./types.js').ServiceMap} ServiceMap */
/** @typedef {import('./types.js').APIObject} APIObject */
/** @typedef {import('./types.js').Sample} Sample */

/** The kinds of objects, and where lists of them are. @type {Record<string, string>} */
export const listPaths = {
  Mesh: '/apis/appmesh.k8s.aws/v1beta2/meshes',
  VirtualNode: '/apis/appmesh.k8s.aws/v1beta2/virtualnodes',
  VirtualService: '/apis/appmesh.k8s.aws/v1beta2/virtualservices',
  VirtualRouter: '/apis/appmesh.k8s.aws/v1beta2/virtualrouters',
  VirtualGateway: '/apis/appmesh.k8s.aws/v1beta2/virtualgateways',
  GatewayRoute: '/apis/appmesh.k8s.aws/v1beta2/gatewayroutes',
  BackendGroup: '/apis/appmesh.k8s.aws/v1beta2/backendgroups',
  Workload: '/apis/heddle.dev/v1alpha1/workloads',
  TrafficPolicy: '/apis/heddle.dev/v1alpha1/trafficpolicies',
  CertificateMapping: '/apis/heddle.dev/v1alpha1/certificatemappings',
};

/** How many samples of a node are kept: ten minutes of them. */
const sampleLimit = 240;

export const store = {
  /** `connecting`, `live` or `lost`. */
  connection: 'connecting',
  /** When something was heard last, in milliseconds since 1970. */
  heardAt: 0,
  /** @type {ServiceMap | null} */
  map: null,
  /** Objects by kind. @type {Map<string, APIObject[]>} */
  objects: new Map(),
  /** @type {APIObject[]} */
  proxies: [],
  /** @type {APIObject[]} */
  certificates: [],
  /** The oldest first. @type {any[]} */
  events: [],
  /** @type {string[]} */
  problems: [],
  /** Whether objects were read once. */
  isLoaded: false,
  /** By the node's id. @type {Map<string, Sample[]>} */
  history: new Map(),
  /** The mesh and namespace that are shown; empty is all. */
  mesh: '',
  namespace: '',
  isSearching: false,
};

/** @type {Set<() => void>} */
const listeners = new Set();
let isScheduled = false;

/** Calls `listener` after changes, at most once a frame. @param {() => void} listener */
export function subscribe(listener) {
  listeners.add(listener);
}

/** Tells that something changed. */
export function changed() {
  if (isScheduled) return;
  isScheduled = true;
  const tell = () => {
    isScheduled = false;
    for (const listener of listeners) listener();
  };
  // A hidden page has no frames.
  if (document.hidden) setTimeout(tell, 0);
  else requestAnimationFrame(tell);
}

/** @param {Partial<typeof store>} values */
export function put(values) {
  Object.assign(store, values);
  changed();
}

/** Takes a new map and keeps its samples. @param {ServiceMap} map */
export function putMap(map) {
  const present = new Set(map.nodes.map((node) => node.id));
  for (const id of store.history.keys()) if (!present.has(id)) store.history.delete(id);
  if (map.timeSeconds !== store.map?.timeSeconds) {
    for (const node of map.nodes) {
      const samples = store.history.get(node.id) ?? [];
      samples.push({
        time: map.timeSeconds,
        rate: node.traffic.requestsPerSecond,
        failures: node.traffic.failuresPerSecond,
        p99: node.traffic.latencyMilliseconds?.p99 ?? null,
      });
      if (samples.length > sampleLimit) samples.shift();
      store.history.set(node.id, samples);
    }
  }
  put({ map });
}

/** The id of an object: a map's node has the same. @param {string} kind @param {string} namespace @param {string} name */
export const idOf = (kind, namespace, name) => `${kind.toLowerCase()}/${namespace}/${name}`;

/** @param {APIObject} object */
export const objectID = (object) => idOf(object.kind, object.metadata.namespace ?? '', object.metadata.name);

/** The object with an id. @param {string} id @returns {APIObject | undefined} */
export function objectOf(id) {
  for (const list of store.objects.values()) {
    const found = list.find((object) => objectID(object) === id);
    if (found) return found;
  }
  return undefined;
}

/** All objects. @returns {APIObject[]} */
export const allObjects = () => [...store.objects.values()].flat();

/** The condition that says whether an object is in effect. @param {APIObject} object */
export function mainCondition(object) {
  const conditions = object.status?.conditions ?? [];
  const own = object.kind === 'Workload' ? 'WorkloadReady' : `${object.kind}Active`;
  return conditions.find((/** @type {any} */ one) => one.type === own) ?? conditions[0];
}

/** How an object is, by its conditions. @param {APIObject} object @returns {import('./types.js').Health} */
export function objectHealth(object) {
  const conditions = object.status?.conditions ?? [];
  if (conditions.length === 0) return 'idle';
  return conditions.some((/** @type {any} */ one) => one.status === 'False') ? 'failing' : 'healthy';
}

/** The nodes and edges of the mesh and namespace that are shown, with those next to them. */
export function shownMap() {
  const map = store.map;
  if (!map) return { nodes: [], edges: [], splits: [] };
  if (!store.mesh && !store.namespace) return map;
  const own = new Set(map.nodes.filter((node) => (!store.mesh || node.mesh === store.mesh)
    && (!store.namespace || node.namespace === store.namespace)
    && (node.mesh || node.namespace)).map((node) => node.id));
  const edges = map.edges.filter((edge) => own.has(edge.source) || own.has(edge.target));
  const shown = new Set([...own, ...edges.flatMap((edge) => [edge.source, edge.target])]);
  const nodes = map.nodes.filter((node) => shown.has(node.id));
  return { nodes, edges, splits: map.splits.filter((split) => split.target && own.has(split.target)) };
}

const healthOrder = ['idle', 'healthy', 'degraded', 'failing'];
const securityOrder = ['plaintext', 'tls', 'mutualTLS'];

/** The calls of one node to another as one, over all ports. @param {import('./types.js').MapEdge[]} edges */
export function mergedEdges(edges) {
  /** @type {Map<string, import('./types.js').MapEdge>} */
  const merged = new Map();
  for (const edge of edges) {
    const key = `${edge.source} ${edge.target}`;
    const known = merged.get(key);
    if (!known) {
      merged.set(key, edge);
      continue;
    }
    const traffic = { ...known.traffic };
    for (const name of /** @type {const} */ (['requests', 'failures', 'connections', 'activeConnections', 'requestsPerSecond', 'failuresPerSecond', 'bytesPerSecond'])) {
      traffic[name] += edge.traffic[name];
    }
    traffic.successRate = traffic.requestsPerSecond > 0 ? 1 - traffic.failuresPerSecond / traffic.requestsPerSecond : undefined;
    merged.set(key, {
      ...known, traffic, isHTTP: known.isHTTP || edge.isHTTP, services: [...new Set([...known.services, ...edge.services])].sort(),
      health: healthOrder.indexOf(edge.health) > healthOrder.indexOf(known.health) ? edge.health : known.health,
      security: securityOrder.indexOf(edge.security) < securityOrder.indexOf(known.security) ? edge.security : known.security,
    });
  }
  return [...merged.values()];
}

/** Whether an object is in the namespace that is shown. @param {string | undefined} namespace */
export const isShown = (namespace) => !store.namespace || !namespace || namespace === store.namespace;
