// Icons, drawn here. Each state has a shape of its own, so that colour is never all that tells.

import { h } from './view.js';

/** The paths in a square of 16. @type {Record<string, string[]>} */
const paths = {
  healthy: ['M8 1.5a6.5 6.5 0 1 0 0 13a6.5 6.5 0 0 0 0-13z', 'M5 8.2l2.1 2.1L11 6.2'],
  degraded: ['M8 1.8L15 14H1z', 'M8 6.2v3.6', 'M8 11.6v.3'],
  failing: ['M5.2 1.5h5.6l3.7 3.7v5.6l-3.7 3.7H5.2l-3.7-3.7V5.2z', 'M5.8 5.8l4.4 4.4', 'M10.2 5.8l-4.4 4.4'],
  idle: ['M8 1.5a6.5 6.5 0 1 0 0 13a6.5 6.5 0 0 0 0-13z', 'M5 8h6'],
  VirtualNode: ['M8 1.5l5.6 3.25v6.5L8 14.5l-5.6-3.25v-6.5z', 'M2.4 4.75L8 8l5.6-3.25', 'M8 8v6.5'],
  VirtualGateway: ['M2 14V5.5L8 2l6 3.5V14', 'M5.5 14V8.5h5V14'],
  External: ['M8 1.5a6.5 6.5 0 1 0 0 13a6.5 6.5 0 0 0 0-13z', 'M1.5 8h13', 'M8 1.5c2 1.8 2.9 4 2.9 6.5S10 12.7 8 14.5c-2-1.8-2.9-4-2.9-6.5S6 3.3 8 1.5z'],
  Client: ['M8 8.2a3.1 3.1 0 1 0 0-6.2a3.1 3.1 0 0 0 0 6.2z', 'M2.2 14.3c.5-2.8 2.7-4.3 5.8-4.3s5.3 1.5 5.8 4.3'],
  Missing: ['M8 1.5a6.5 6.5 0 1 0 0 13a6.5 6.5 0 0 0 0-13z', 'M6 6.2a2 2 0 1 1 2.8 1.9c-.6.3-.8.7-.8 1.4', 'M8 11.6v.2'],
  VirtualService: ['M3 8h10', 'M9 4l4 4l-4 4'],
  VirtualRouter: ['M2 8h4l4-4.5h4', 'M6 8l4 4.5h4'],
  Mesh: ['M3 3h10v10H3z', 'M3 8h10', 'M8 3v10'],
  Workload: ['M2.5 3.5h11v7h-11z', 'M5.5 13.5h5'],
  other: ['M4 1.8h5.5L13 5.3v8.9H4z', 'M9.5 1.8v3.5H13'],
  lock: ['M3.5 7.2h9v6.8h-9z', 'M5.3 7.2V5a2.7 2.7 0 0 1 5.4 0v2.2'],
  unlock: ['M3.5 7.2h9v6.8h-9z', 'M5.3 7.2V5a2.7 2.7 0 0 1 5.2-1'],
  search: ['M7 2a5 5 0 1 0 0 10a5 5 0 0 0 0-10z', 'M10.7 10.7L14 14'],
  close: ['M3.5 3.5l9 9', 'M12.5 3.5l-9 9'],
  plus: ['M8 3v10', 'M3 8h10'],
  minus: ['M3 8h10'],
  fit: ['M2 6V2h4', 'M10 2h4v4', 'M14 10v4h-4', 'M6 14H2v-4'],
  light: ['M8 5a3 3 0 1 0 0 6a3 3 0 0 0 0-6z', 'M8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1 1M12 12l1 1M13 3l-1 1M4 12l-1 1'],
  dark: ['M13.5 9.8A6 6 0 0 1 6.2 2.5a6 6 0 1 0 7.3 7.3z'],
  auto: ['M8 1.5a6.5 6.5 0 1 0 0 13a6.5 6.5 0 0 0 0-13z', 'M8 1.5v13', 'M8 5h4.5M8 8h6M8 11h4.5'],
  chevron: ['M6 3.5L10.5 8L6 12.5'],
};

/**
 * An icon; with a `title` it is told to screen readers.
 *
 * @param {string} name
 * @param {string} [title]
 */
export function icon(name, title) {
  const drawn = (paths[name] ?? paths.other).map((d, index) => h('path', { d, class: `stroke-${index}` }));
  const props = { class: `icon icon-${name}`, viewBox: '0 0 16 16' };
  return title
    ? h('svg', { ...props, role: 'img', 'aria-label': title }, drawn)
    : h('svg', { ...props, 'aria-hidden': 'true' }, drawn);
}

/** The words for a health. @type {Record<string, string>} */
export const healthWords = { healthy: 'Healthy', degraded: 'Degraded', failing: 'Failing', idle: 'Idle' };

/** @param {string} health */
export function healthIcon(health) {
  return h('span', { class: `health ${health}` }, icon(health, healthWords[health] ?? health));
}

/** The words for how an edge is protected. @type {Record<string, string>} */
export const securityWords = { mutualTLS: 'mutual TLS', tls: 'TLS', plaintext: 'plaintext' };

/** @param {string} security */
export function securityIcon(security) {
  const isSafe = security !== 'plaintext';
  return h('span', { class: `security ${security}`, title: securityWords[security] ?? security },
    icon(isSafe ? 'lock' : 'unlock', securityWords[security] ?? security));
}
