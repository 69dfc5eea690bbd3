// What the page shows is in its address, so that it can be linked to and gone back from.

/** @typedef {import('./types.js').Route} Route */

/** The views. @type {Record<string, string>} */
export const viewNames = { map: 'Map', list: 'List', traces: 'Traces', events: 'Events' };

/** @returns {Route} */
export function route() {
  const [path, query = ''] = location.hash.replace(/^#\/?/, '').split('?');
  const parameters = new URLSearchParams(query);
  return {
    view: path in viewNames ? path : 'map',
    open: parameters.get('open') ?? '',
    tab: parameters.get('tab') ?? 'overview',
    trace: parameters.get('trace') ?? '',
    query: parameters,
  };
}

/** The address with other values; null and empty ones are left out. @param {Record<string, string | null>} changes */
export function address(changes) {
  const { view, ...values } = changes;
  const now = route();
  const isOther = view !== undefined && view !== null && view !== now.view;
  const parameters = new URLSearchParams(isOther ? {} : now.query);
  if (isOther && now.open) parameters.set('open', now.open);
  for (const [name, value] of Object.entries(values)) {
    if (value === null || value === '') parameters.delete(name);
    else parameters.set(name, value);
  }
  const query = parameters.toString();
  return `#/${view ?? now.view}${query ? `?${query}` : ''}`;
}

/** Goes to the address with other values. @param {Record<string, string | null>} changes */
export function go(changes) {
  const next = address(changes);
  if (next !== location.hash) location.hash = next;
}

/** As `go`, without a step to go back to. @param {Record<string, string | null>} changes */
export function replace(changes) {
  history.replaceState(null, '', address(changes));
  dispatchEvent(new Event('hashchange'));
}
