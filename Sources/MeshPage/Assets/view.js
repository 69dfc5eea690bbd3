// Declares what the document shall be and changes it to that. All text becomes text nodes: nothing
// that a manifest, a header or a span says is ever read as markup.

/** @typedef {{tag: string, props: Record<string, any>, children: Child[]}} View */
/** @typedef {View | string} Child */

const svgNamespace = 'http://www.w3.org/2000/svg';
/** What each element was made from. @type {WeakMap<Node, View>} */
const views = new WeakMap();

/**
 * Describes an element. Children that are null, false or undefined are left out, lists are opened.
 *
 * `key` tells children of one parent apart; `style` is an object of properties; `on...` are
 * listeners; `created` is called with the element once it is in the document.
 *
 * @param {string} tag
 * @param {Record<string, any> | null} props
 * @param {...any} children
 * @returns {View}
 */
export function h(tag, props, ...children) {
  return { tag, props: props ?? {}, children: flatten(children, []) };
}

/** @param {any[]} list @param {Child[]} into @returns {Child[]} */
function flatten(list, into) {
  for (const child of list) {
    if (Array.isArray(child)) flatten(child, into);
    else if (child !== null && child !== undefined && child !== false) {
      into.push(typeof child === 'object' ? child : String(child));
    }
  }
  return into;
}

/**
 * Makes the children of `parent` what `children` describe. Elements stay themselves where they can,
 * so that focus, selection and scroll positions do too.
 *
 * @param {Element} parent
 * @param {Child[]} children
 */
export function render(parent, children) {
  /** @type {Map<string, Element>} */
  const keyed = new Map();
  const rest = [];
  for (const node of parent.childNodes) {
    const key = views.get(node)?.props.key;
    if (key === undefined) rest.push(node);
    else keyed.set(key, /** @type {Element} */ (node));
  }
  const wanted = new Set(children.map((child) => (typeof child === 'object' ? child.props.key : undefined)));
  const isGone = (/** @type {Node} */ node) => {
    const key = views.get(node)?.props.key;
    return key !== undefined && !wanted.has(key);
  };
  let place = parent.firstChild;
  const kept = new Set();
  for (const child of children) {
    const node = matching(child, keyed, rest, parent);
    kept.add(node);
    // What is in the way and goes anyway shall not make what stays move, and so lose the focus.
    while (place && place !== node && isGone(place)) {
      const gone = place;
      place = place.nextSibling;
      gone.remove();
    }
    if (node === place) place = place.nextSibling;
    else parent.insertBefore(node, place);
    if (typeof child === 'object' && node instanceof Element) update(node, child);
  }
  for (const node of [...parent.childNodes]) if (!kept.has(node)) node.remove();
}

/**
 * The node that `child` describes: one that is there, or a new one.
 *
 * @param {Child} child
 * @param {Map<string, Element>} keyed
 * @param {Node[]} rest
 * @param {Element} parent
 * @returns {Node}
 */
function matching(child, keyed, rest, parent) {
  if (typeof child === 'string') {
    const index = rest.findIndex((node) => node.nodeType === Node.TEXT_NODE);
    if (index < 0) return document.createTextNode(child);
    const [text] = rest.splice(index, 1);
    if (text.nodeValue !== child) text.nodeValue = child;
    return text;
  }
  const { key } = child.props;
  if (key !== undefined) {
    const found = keyed.get(key);
    return found && views.get(found)?.tag === child.tag ? found : make(child, parent);
  }
  const index = rest.findIndex((node) => views.get(node)?.tag === child.tag);
  return index < 0 ? make(child, parent) : rest.splice(index, 1)[0];
}

/** @param {View} view @param {Element} parent */
function make(view, parent) {
  const isSVG = view.tag === 'svg' || (parent.namespaceURI === svgNamespace && parent.tagName !== 'foreignObject');
  const element = isSVG ? document.createElementNS(svgNamespace, view.tag) : document.createElement(view.tag);
  views.set(element, { tag: view.tag, props: { key: view.props.key }, children: [] });
  if (view.props.created) queueMicrotask(() => view.props.created(element));
  return element;
}

/** @param {Element} element @param {View} view */
function update(element, view) {
  const old = views.get(element)?.props ?? {};
  views.set(element, view);
  for (const name of Object.keys(old)) if (!(name in view.props)) set(element, name, undefined, old[name]);
  for (const [name, value] of Object.entries(view.props)) {
    if (name === 'style' || old[name] !== value) set(element, name, value, old[name]);
  }
  render(element, view.children);
}

/** @param {any} element @param {string} name @param {any} value @param {any} old */
function set(element, name, value, old) {
  if (name === 'key' || name === 'created') return;
  if (name === 'style') {
    for (const property of Object.keys(old ?? {})) {
      if (!value || !(property in value)) element.style.removeProperty(property);
    }
    for (const [property, text] of Object.entries(value ?? {})) {
      if (old?.[property] !== text) element.style.setProperty(property, String(text));
    }
  } else if (name.startsWith('on')) element[name] = value ?? null;
  else if (name === 'value' || name === 'checked') {
    if (element[name] !== value) element[name] = value ?? '';
  } else if (value === undefined || value === null || value === false) element.removeAttribute(name);
  else element.setAttribute(name, value === true ? '' : String(value));
}
