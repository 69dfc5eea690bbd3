// The shapes of what Heddle serves, as JSDoc types for editors; nothing here runs.

/** @typedef {'healthy' | 'degraded' | 'failing' | 'idle'} Health */
/** @typedef {{p50: number, p95: number, p99: number}} Quantiles Milliseconds. */
/**
 * @typedef {Object} Traffic
 * @property {number} requests Since the daemon began to count, as all totals.
 * @property {number} failures
 * @property {number} retries
 * @property {number} connections
 * @property {number} activeConnections
 * @property {number} ejectedHosts
 * @property {number} requestsPerSecond In the window, as all rates.
 * @property {number} failuresPerSecond
 * @property {number} retriesPerSecond
 * @property {number} bytesPerSecond
 * @property {number=} successRate From 0 to 1; absent without requests.
 * @property {Quantiles=} latencyMilliseconds
 */
/**
 * @typedef {Object} MapNode
 * @property {string} id `<kind>/<namespace>/<name>` in lower case.
 * @property {string} kind `VirtualNode`, `VirtualGateway`, `External`, `Missing` or `Client`.
 * @property {string} mesh
 * @property {string} namespace
 * @property {string} name
 * @property {Health} health
 * @property {string=} problem
 * @property {number} proxies
 * @property {number} readyProxies
 * @property {Traffic} traffic
 */
/**
 * @typedef {Object} MapEdge
 * @property {string} source
 * @property {string} target
 * @property {string[]} services
 * @property {number=} port
 * @property {boolean} isHTTP
 * @property {'plaintext' | 'tls' | 'mutualTLS'} security
 * @property {Health} health
 * @property {Traffic} traffic
 */
/** @typedef {{service: string, route?: string, target?: string, share: number, observedShare?: number}} Split */
/** @typedef {{timeSeconds: number, windowSeconds: number, nodes: MapNode[], edges: MapEdge[], splits: Split[]}} ServiceMap */
/** @typedef {{type: string, status: string, reason: string, message: string, lastTransitionTime?: string}} Condition */
/** @typedef {{apiVersion: string, kind: string, metadata: any, spec?: any, status?: any}} APIObject */
/**
 * @typedef {Object} TraceSummary
 * @property {string} traceID
 * @property {string} name
 * @property {string} service
 * @property {number} startMicroseconds
 * @property {number} durationMicroseconds
 * @property {number} spanCount
 * @property {string[]} services
 * @property {number=} status
 * @property {boolean} isError
 */
/**
 * @typedef {Object} Span
 * @property {string} traceID
 * @property {string} spanID
 * @property {string=} parentID
 * @property {string} name
 * @property {string} service
 * @property {'server' | 'client' | 'other'} kind
 * @property {number} startMicroseconds
 * @property {number=} durationMicroseconds
 * @property {number=} status
 * @property {boolean} isError
 * @property {Record<string, string>} attributes
 */
/** @typedef {{view: string, open: string, tab: string, trace: string, query: URLSearchParams}} Route */
/** @typedef {{time: number, rate: number, failures: number, p99: number | null}} Sample */

export {};
