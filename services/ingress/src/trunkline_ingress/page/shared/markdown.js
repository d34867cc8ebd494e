// @ts-check
/**
 * A small Markdown renderer for articles and replies. It builds DOM nodes from
 * text, so whatever it does not know comes out as the text it was – never as
 * markup.
 */
import { el } from './dom.js';
import { parseBlocks } from './markdown-parser.js';

const INLINE = new RegExp([
  '`([^`]+)`', // 1 code
  '\\*\\*(?=\\S)(.+?)(?<=\\S)\\*\\*', // 2 bold
  '(?<!\\w)__(?=\\S)(.+?)(?<=\\S)__(?!\\w)', // 3 bold
  '(?<![\\w*])\\*(?=[^\\s*])([^*\\n]+?)(?<=\\S)\\*(?![\\w*])', // 4 emphasis
  '(?<!\\w)_(?=[^\\s_])([^_\\n]+?)(?<=\\S)_(?!\\w)', // 5 emphasis
  '!?\\[([^\\]]+)\\]\\(([^)\\s]+)(?:\\s+"[^"]*")?\\)', // 6, 7 link
  '\\\\([\\\\`*_{}\\[\\]()#+\\-.!|>])', // 8 escape
].join('|'), 'gs');

/** Append `text` with its bold, emphasis, code and links to `parent`. */
function renderInline(parent, text, options) {
  let done = 0;
  for (const match of text.matchAll(INLINE)) {
    if (match.index > done) parent.append(text.slice(done, match.index));
    done = match.index + match[0].length;
    const [, code, bold, bold2, emphasis, emphasis2, label, url, escaped] = match;
    if (code !== undefined) parent.append(el('code', {}, code));
    else if (bold ?? bold2) parent.append(nested('strong', bold ?? bold2, options));
    else if (emphasis ?? emphasis2) parent.append(nested('em', emphasis ?? emphasis2, options));
    else if (label !== undefined) parent.append(link(label, url, options));
    else parent.append(escaped);
  }
  if (done < text.length) parent.append(text.slice(done));
}

function nested(tag, text, options) {
  const node = el(tag);
  renderInline(node, text, options);
  return node;
}

function link(label, url, options) {
  const safe = /^https?:\/\//i.test(url) || /^mailto:/i.test(url);
  if (options.links && safe) {
    return el('a', { href: url, target: '_blank', rel: 'noopener noreferrer' }, label);
  }
  // In a reply the address is shown, not hidden behind a label: the text was
  // composed by a model and a reader must see where it would lead.
  const node = document.createDocumentFragment();
  node.append(options.links || label === url ? label : `${label} (${url})`);
  return node;
}

function renderBlock(block, options) {
  switch (block.type) {
    case 'heading': {
      // Articles sit below the panel's own heading, hence the shift.
      const level = Math.min(6, block.level + options.headingShift);
      return nested(`h${level}`, block.text, options);
    }
    case 'rule': return el('hr');
    case 'code': return el('pre', { tabindex: 0 }, el('code', {}, block.text));
    case 'quote': return el('blockquote', {}, ...block.blocks.map((inner) => renderBlock(inner, options)));
    case 'list': {
      const items = block.items.map((inner) => {
        const item = el('li');
        // A single line needs no paragraph of its own.
        inner.forEach((part, at) => {
          if (at === 0 && part.type === 'paragraph') renderInline(item, part.text, options);
          else item.append(renderBlock(part, options));
        });
        return item;
      });
      return block.ordered
        ? el('ol', { start: block.start === 1 ? null : block.start }, ...items)
        : el('ul', {}, ...items);
    }
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
 * Render Markdown below `parent`. Called again with grown text it replaces only
 * the blocks that changed – while a reply streams, that is the last one.
 * @param {Element} parent
 * @param {string} text
 * @param {{links?: boolean, headingShift?: number}} [options]
 */
export function renderMarkdown(parent, text, options = {}) {
  const settings = { links: false, headingShift: 2, ...options };
  const before = rendered.get(parent) ?? [];
  const sources = [];
  parseBlocks(text).forEach((block, at) => {
    const source = JSON.stringify(block);
    sources.push(source);
    if (before[at] === source) return;
    const node = renderBlock(block, settings);
    if (at < parent.children.length) parent.children[at].replaceWith(node);
    else parent.append(node);
  });
  while (parent.children.length > sources.length) parent.lastElementChild.remove();
  rendered.set(parent, sources);
}

const rendered = new WeakMap();
