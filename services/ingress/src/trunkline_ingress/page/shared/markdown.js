// @ts-check
/**
 * A small Markdown renderer for articles and replies. It builds DOM nodes from text, so unknown markup is shown as
 * text and never interpreted.
 *
 * @import {Block, List} from './markdown-parser.js'
 *
 * @typedef {object} RenderOptions
 * @property {boolean} links  create links; otherwise addresses are shown as text
 * @property {boolean} addresses  with `links`: create links of bare addresses too
 * @property {number} headingLevel  level of the highest headings, one below the heading that the text belongs to
 */
import { ADDRESS, isSafe, withoutPunctuation } from './addresses.js';
import { el } from './dom.js';
import { headingLevels, parseBlocks } from './markdown-parser.js';

const INLINE = new RegExp([
  '`([^`]+)`', // 1 code
  '\\*\\*(?=\\S)(.+?)(?<=\\S)\\*\\*', // 2 bold
  '(?<!\\w)__(?=\\S)(.+?)(?<=\\S)__(?!\\w)', // 3 bold
  '(?<![\\w*])\\*(?=[^\\s*])([^*\\n]+?)(?<=\\S)\\*(?![\\w*])', // 4 emphasis
  '(?<!\\w)_(?=[^\\s_])([^_\\n]+?)(?<=\\S)_(?!\\w)', // 5 emphasis
  '!?\\[([^\\]]+)\\]\\(([^)\\s]+)(?:\\s+"[^"]*")?\\)', // 6, 7 link
  '\\\\([\\\\`*_{}\\[\\]()#+\\-.!|>])', // 8 escape
  `(${ADDRESS})`, // 9 bare address
].join('|'), 'gs');

/**
 * Append text with its bold, emphasis, code and links to `parent`.
 * @param {Node & ParentNode} parent
 * @param {string} text
 * @param {RenderOptions} options
 */
function renderInline(parent, text, options) {
  let done = 0;
  for (const match of text.matchAll(INLINE)) {
    if (match.index > done) parent.append(text.slice(done, match.index));
    done = match.index + match[0].length;
    const [, code, bold, bold2, emphasis, emphasis2, label, url, escaped, address] = match;
    if (code !== undefined) parent.append(el('code', {}, code));
    else if (bold ?? bold2) parent.append(nested('strong', bold ?? bold2, options));
    else if (emphasis ?? emphasis2) parent.append(nested('em', emphasis ?? emphasis2, options));
    else if (label !== undefined) parent.append(link(label, url, options));
    else if (address !== undefined) parent.append(...bareLink(address, options));
    else parent.append(escaped);
  }
  if (done < text.length) parent.append(text.slice(done));
}

/**
 * Create an element with inline content.
 * @param {keyof HTMLElementTagNameMap} tag
 * @param {string} text
 * @param {RenderOptions} options
 * @returns {HTMLElement}
 */
function nested(tag, text, options) {
  const node = el(tag);
  renderInline(node, text, options);
  return node;
}

/**
 * Create a link, or its text if links are off or its scheme is not safe.
 * @param {string} label
 * @param {string} url
 * @param {RenderOptions} options
 * @returns {Node|string}
 */
function link(label, url, options) {
  if (options.links && isSafe(url)) {
    return el('a', { href: url, target: '_blank', rel: 'noopener noreferrer' }, label);
  }
  // A model wrote the reply: its reader must see the address, not only a label.
  return options.links || label === url ? label : `${label} (${url})`;
}

/**
 * Return the nodes of an address in a text: a link and the punctuation behind it.
 * @param {string} text
 * @param {RenderOptions} options
 * @returns {(Node|string)[]}
 */
function bareLink(text, options) {
  if (!options.links || !options.addresses) return [text];
  const address = withoutPunctuation(text);
  const url = /^(?:https?|mailto):/i.test(address) ? address : `mailto:${address}`;
  return [link(address, url, options), text.slice(address.length)];
}

/**
 * Create the node of a block.
 * @param {Block} block
 * @param {RenderOptions} options
 * @returns {HTMLElement}
 */
function renderBlock(block, options) {
  switch (block.type) {
    case 'heading': {
      const level = /** @type {1|2|3|4|5|6} */ (Math.min(6, options.headingLevel));
      return nested(`h${level}`, block.text, options);
    }
    case 'rule': return el('hr');
    case 'code': return el('pre', { tabindex: 0 }, el('code', {}, block.text));
    case 'quote': return el('blockquote', {}, ...block.blocks.map((inner) => renderBlock(inner, options)));
    case 'list': return renderList(block, options);
    case 'table': {
      const [head, ...rows] = block.rows;
      return el('div', { class: 'table', tabindex: 0 }, el('table', {},
        el('thead', {}, el('tr', {}, ...head.map((cell) => nested('th', cell, options)))),
        el('tbody', {}, ...rows.map((row) => el('tr', {}, ...row.map((cell) => nested('td', cell, options)))))));
    }
    default: return nested('p', block.text, options);
  }
}

/**
 * Create the node of a list.
 * @param {List} list
 * @param {RenderOptions} options
 */
function renderList({ ordered, start, items }, options) {
  const nodes = items.map((blocks) => {
    const node = el('li');
    blocks.forEach((block, at) => {
      // The first paragraph needs no element of its own.
      if (at === 0 && block.type === 'paragraph') renderInline(node, block.text, options);
      else node.append(renderBlock(block, options));
    });
    return node;
  });
  return ordered ? el('ol', { start: start === 1 ? null : start }, ...nodes) : el('ul', {}, ...nodes);
}

/**
 * Sources of the rendered blocks, by parent.
 * @type {WeakMap<Element, string[]>}
 */
const rendered = new WeakMap();

/**
 * Render Markdown below `parent`. A repeated call replaces only the blocks that have changed: while a reply streams,
 * that is the last one.
 * @param {Element} parent
 * @param {string} text
 * @param {Partial<RenderOptions>} [options]  default: no links and addresses, headings from level 3 on
 */
export function renderMarkdown(parent, text, options = {}) {
  const settings = { links: false, addresses: false, headingLevel: 3, ...options };
  const before = rendered.get(parent) ?? [];
  /** @type {string[]} */
  const sources = [];
  const blocks = parseBlocks(text);
  const levels = headingLevels(blocks, settings.headingLevel);
  blocks.forEach((block, at) => {
    const source = JSON.stringify([block, levels[at]]);
    sources.push(source);
    if (before[at] === source) return;
    const node = renderBlock(block, { ...settings, headingLevel: levels[at] });
    // The direction of its own language, whatever that of the page; code is written from left to right.
    if (block.type !== 'code') node.dir = 'auto';
    if (at < parent.children.length) parent.children[at].replaceWith(node);
    else parent.append(node);
  });
  while (parent.children.length > sources.length) parent.lastElementChild?.remove();
  rendered.set(parent, sources);
}
