/** Small helpers to build DOM nodes; text always goes in as text, never as markup. */

/**
 * Make an element.
 * @param {string} tag
 * @param {Record<string, unknown>} [attributes] `null`/`false` leaves one out, `on…` is a listener
 * @param {...(Node|string|null)} children
 */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? '' : String(value));
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

/** Set an attribute, or take it away when the value is null or false. */
export function setAttribute(node, name, value) {
  if (value === null || value === undefined || value === false) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, String(value));
}

const SVG = 'http://www.w3.org/2000/svg';
const ICONS = {
  tick: 'M3 8.5 6.5 12 13 4.5',
  clock: 'M8 4.5V8l2.2 1.6M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8',
  warning: 'M8 5v4m0 2.2v.1M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8',
  up: 'M8 13V3.2M3.5 7.5 8 3l4.5 4.5',
  down: 'M8 3v10M3.5 8.5 8 13l4.5-4.5',
};

/** A decorative icon; its meaning must be in text beside it. */
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

/** Text for screen readers only. */
export function hiddenText(text) {
  return el('span', { class: 'visually-hidden' }, text);
}

/** Change a node's text only where it differs, so that nothing is read out or selected anew. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * Bring a list's children in line with `items`: each keeps its node, and with it focus and scroll position.
 * @param {Element} parent
 * @param {object[]} items
 * @param {(item: object) => string} keyOf
 * @param {(item: object) => Element} make
 * @param {(node: Element, item: object) => void} draw
 */
export function keyed(parent, items, keyOf, make, draw) {
  const wanted = new Set(items.map(keyOf));
  const known = new Map();
  for (const node of [...parent.children]) {
    if (wanted.has(node.dataset.key)) known.set(node.dataset.key, node);
    else node.remove();
  }
  const focus = document.activeElement;
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    const node = known.get(key) ?? make(item);
    node.dataset.key = key;
    draw(node, item);
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
  }
  // Moving a node takes the focus from it.
  if (focus !== document.activeElement && parent.contains(focus)) focus.focus();
}
