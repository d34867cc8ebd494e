// @ts-check
/**
 * Numbers of the sources in a rendered answer. They are no text: what a reader copies or searches is the answer alone.
 *
 * @import {Source} from './sources.js'
 */
import { el, textNodes } from './dom.js';
import { renderMarkdown } from './markdown.js';
import { findMarks, locateReferences } from './sources.js';

/**
 * Return the text of a Markdown source without its markup.
 * @param {string} source
 */
export function plainText(source) {
  const node = el('div');
  renderMarkdown(node, source, { links: true });
  return node.textContent ?? '';
}

/**
 * Put the number of its source behind each supported statement of a rendered answer, and hide the marks of a model.
 * @param {HTMLElement} root  changed: it must not be rendered again
 * @param {Source[]} sources
 * @param {(source: Source, quote: string) => Node} create  returns the node of a number
 */
export function addReferences(root, sources, create) {
  const { text, nodes } = textNodes(root);
  /** @type {{at: number, apply: (node: Text, offset: number) => void}[]} */
  const changes = [
    ...findMarks(text, sources).map(({ start, end }) => ({
      at: end, apply: (/** @type {Text} */ node, /** @type {number} */ offset) => hide(node, offset - (end - start), offset),
    })),
    ...locateReferences(text, sources, plainText).map(({ at, source, quote }) => ({
      at, apply: (/** @type {Text} */ node, /** @type {number} */ offset) => insert(node, offset, create(source, quote)),
    })),
  ].sort((one, other) => one.at - other.at);
  // Backwards: a change splits its node and keeps earlier offsets valid.
  for (const { at, apply } of changes.toReversed()) {
    const found = nodes.find(({ node, from, size }) => from < at && at <= from + size);
    if (found && !found.node.parentElement?.closest('code')) apply(found.node, at - found.from);
  }
}

/**
 * Insert a node behind the first characters of a text.
 * @param {Text} text
 * @param {number} offset
 * @param {Node} node
 */
function insert(text, offset, node) {
  if (offset < text.data.length) text.splitText(offset);
  /** @type {Text|HTMLElement} */
  let place = text;
  while (!place.nextSibling && place.parentElement?.matches('strong, em, a')) place = place.parentElement;
  place.after(node);
}

/**
 * Hide a part of a text from readers; it is still copied.
 * @param {Text} text
 * @param {number} start
 * @param {number} end
 */
function hide(text, start, end) {
  const from = Math.max(start, 0);
  if (end < text.data.length) text.splitText(end);
  const part = from > 0 ? text.splitText(from) : text;
  const hidden = el('span', { class: 'visually-hidden', 'aria-hidden': 'true' });
  part.replaceWith(hidden);
  hidden.append(part);
}
