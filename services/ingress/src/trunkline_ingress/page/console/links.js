// @ts-check
/** Addresses in texts as links. */
import { el } from '../shared/dom.js';

const ADDRESS = /https?:\/\/[^\s<>"'`]+/gi;

/**
 * Split a text at its addresses; punctuation behind an address, and a bracket around it, do not belong to it. Pure.
 * @param {string} text
 * @returns {{text: string, isAddress: boolean}[]}
 */
export function splitAddresses(text) {
  const parts = [];
  let done = 0;
  for (const { 0: match, index } of text.matchAll(ADDRESS)) {
    let address = match.replace(/[.,;:!?*_~]+$/, '');
    while (/[)\]]$/.test(address) && !/[([]/.test(address)) address = address.slice(0, -1).replace(/[.,;:!?]+$/, '');
    if (index > done) parts.push({ text: text.slice(done, index), isAddress: false });
    parts.push({ text: address, isAddress: true });
    done = index + address.length;
  }
  if (done < text.length) parts.push({ text: text.slice(done), isAddress: false });
  return parts;
}

/**
 * Make the addresses in the text of an element clickable, except in its links and code.
 * @param {HTMLElement} root
 */
export function linkAddresses(root) {
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  /** @type {Text[]} */
  const texts = [];
  while (walker.nextNode()) texts.push(/** @type {Text} */ (walker.currentNode));
  for (const node of texts) {
    if (node.parentElement?.closest('a, code')) continue;
    const parts = splitAddresses(node.data);
    if (!parts.some((part) => part.isAddress)) continue;
    node.replaceWith(...parts.map(({ text, isAddress }) => (
      isAddress ? el('a', { href: text, target: '_blank', rel: 'noopener noreferrer' }, text) : text)));
  }
}
