// @ts-check
/** DOM helpers. Text is always inserted as text, never as markup. */

/**
 * @typedef {string|number|boolean|null|undefined} AttributeValue
 * @typedef {(event: Event) => unknown} Listener
 */

/**
 * Create an element.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, AttributeValue|Listener>} [attributes]  `null`, `undefined` and `false` omit
 *   the attribute; a function is a listener for the event after `on`
 * @param {...(Node|string|null)} children  `null` is skipped
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') node.addEventListener(name.slice('on'.length), value);
    else setAttribute(node, name, value === true ? '' : value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

/**
 * Return an element of the page by id.
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @param {new () => T} [type]  the element's class
 * @returns {T}
 * @throws {TypeError} if there is no such element, or if it has another class
 */
export function byId(id, type) {
  const node = document.getElementById(id);
  if (!(node instanceof (type ?? HTMLElement))) throw new TypeError(`no element #${id}`);
  return /** @type {T} */ (node);
}

/**
 * Return the first descendant that matches a selector.
 * @param {Element} parent
 * @param {string} selector
 * @returns {HTMLElement}
 * @throws {TypeError} if there is none
 */
export function query(parent, selector) {
  const node = parent.querySelector(selector);
  if (!(node instanceof HTMLElement)) throw new TypeError(`no element ${selector}`);
  return node;
}

/**
 * Set an attribute if it differs; remove it if the value is `null`, `undefined` or `false`.
 * @param {Element} node
 * @param {string} name
 * @param {AttributeValue} value
 */
export function setAttribute(node, name, value) {
  if (value === null || value === undefined || value === false) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, String(value));
}

/**
 * Set a node's text if it differs, so that unchanged text is neither announced nor deselected.
 * @param {Node} node
 * @param {string} text
 */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

const SVG = 'http://www.w3.org/2000/svg';
const ICONS = {
  tick: 'M3 8.5 6.5 12 13 4.5',
  clock: 'M8 4.5V8l2.2 1.6M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8',
  warning: 'M8 5v4m0 2.2v.1M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8',
  up: 'M8 13V3.2M3.5 7.5 8 3l4.5 4.5',
  down: 'M8 3v10M3.5 8.5 8 13l4.5-4.5',
};

/**
 * Create a decorative icon; the text beside it must carry the meaning.
 * @param {keyof typeof ICONS} name
 */
export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 16 16');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', ICONS[name]);
  svg.append(path);
  return svg;
}

/**
 * Create text for screen readers only.
 * @param {string} text
 */
export function hiddenText(text) {
  return el('span', { class: 'visually-hidden' }, text);
}

/**
 * Reconcile the children of `parent` with a list: each key keeps its node, and so its focus and scroll position.
 * @template Item
 * @template {HTMLElement} Child
 * @param {Element} parent
 * @param {readonly Item[]} items
 * @param {(item: Item) => string} keyOf
 * @param {(item: Item) => Child} create
 * @param {(node: Child, item: Item) => void} [update]  called for new and for retained nodes
 */
export function keyed(parent, items, keyOf, create, update = () => {}) {
  const keys = new Set(items.map(keyOf));
  /** @type {Map<string, Child>} */
  const retained = new Map();
  for (const child of [...parent.children]) {
    const node = /** @type {Child} */ (child);
    const { key } = node.dataset;
    if (key !== undefined && keys.has(key)) retained.set(key, node);
    else node.remove();
  }
  const focused = document.activeElement;
  let position = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    const node = retained.get(key) ?? create(item);
    node.dataset.key = key;
    update(node, item);
    if (node === position) position = position.nextElementSibling;
    else parent.insertBefore(node, position);
  }
  // Moving a node takes the focus from it.
  if (focused !== document.activeElement && focused instanceof HTMLElement && parent.contains(focused)) focused.focus();
}

/** Distance from the end of a scrolled area, in pixels, within which new content keeps the end in view. */
const NEAR_END_PX = 96;

/**
 * Return whether an area is scrolled to its end, or nearly so.
 * @param {Element} scroller
 */
export function isScrolledToEnd({ scrollHeight, scrollTop, clientHeight }) {
  return scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
}

const BLOCKS = 'p, li, h1, h2, h3, h4, h5, h6, th, td, pre, blockquote, div';

/**
 * Return the text below a node and its text nodes, each with its offset and length; blocks are on lines of their own.
 * @param {Node} root
 * @returns {{text: string, nodes: {node: Text, from: number, size: number}[]}}
 */
export function textNodes(root) {
  /** @type {{node: Text, from: number, size: number}[]} */
  const nodes = [];
  let text = '';
  /** @type {Element|null|undefined} */
  let block;
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = /** @type {Text} */ (walker.currentNode);
    const itsBlock = node.parentElement?.closest(BLOCKS);
    if (text && itsBlock !== block) text += '\n';
    block = itsBlock;
    nodes.push({ node, from: text.length, size: node.data.length });
    text += node.data;
  }
  return { text, nodes };
}
