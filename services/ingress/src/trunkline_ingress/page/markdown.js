/**
 * A small Markdown renderer for articles and replies. It builds DOM nodes from
 * text, so whatever it does not know comes out as the text it was – never as
 * markup.
 */
import { el } from './dom.js';

const FENCE = /^\s*(```|~~~)/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const QUOTE = /^ {0,3}>\s?/;
const LIST = /^(\s*)([-*+]|\d{1,3}[.)])\s+(.*)$/;
const TABLE_RULE = /^\s*\|?\s*:?-{2,}:?\s*(\|\s*:?-{2,}:?\s*)*\|?\s*$/;

/**
 * Split Markdown into blocks. Pure, so it can be checked without a browser.
 * @param {string} text
 */
export function parseBlocks(text) {
  const lines = text.replace(/\r\n?/g, '\n').split('\n');
  const blocks = [];
  let at = 0;
  while (at < lines.length) {
    const line = lines[at];
    let match;
    if (!line.trim()) {
      at += 1;
    } else if ((match = FENCE.exec(line))) {
      const body = [];
      for (at += 1; at < lines.length && !lines[at].trim().startsWith(match[1]); at += 1) body.push(lines[at]);
      at += 1;
      blocks.push({ type: 'code', text: body.join('\n') });
    } else if ((match = HEADING.exec(line))) {
      blocks.push({ type: 'heading', level: match[1].length, text: match[2] });
      at += 1;
    } else if (RULE.test(line)) {
      blocks.push({ type: 'rule' });
      at += 1;
    } else if (QUOTE.test(line)) {
      const body = [];
      for (; at < lines.length && QUOTE.test(lines[at]); at += 1) body.push(lines[at].replace(QUOTE, ''));
      blocks.push({ type: 'quote', blocks: parseBlocks(body.join('\n')) });
    } else if (isTable(lines, at)) {
      const rows = [cells(line)];
      for (at += 2; at < lines.length && lines[at].includes('|'); at += 1) rows.push(cells(lines[at]));
      blocks.push({ type: 'table', rows });
    } else if (LIST.test(line)) {
      at = parseList(lines, at, blocks);
    } else {
      const body = [line.trim()];
      for (at += 1; at < lines.length && lines[at].trim() && !startsBlock(lines, at); at += 1) {
        body.push(lines[at].trim());
      }
      blocks.push({ type: 'paragraph', text: body.join('\n') });
    }
  }
  return blocks;
}

function startsBlock(lines, at) {
  const line = lines[at];
  return FENCE.test(line) || HEADING.test(line) || RULE.test(line) || QUOTE.test(line)
    || LIST.test(line) || isTable(lines, at);
}

function isTable(lines, at) {
  return lines[at].includes('|') && at + 1 < lines.length && lines[at + 1].includes('|')
    && TABLE_RULE.test(lines[at + 1]);
}

function cells(line) {
  return line.trim().replace(/^\||\|$/g, '').split('|').map((cell) => cell.trim());
}

function parseList(lines, from, blocks) {
  const [, indent, firstMarker] = LIST.exec(lines[from]);
  const ordered = /\d/.test(firstMarker);
  const items = [];
  let at = from;
  while (at < lines.length) {
    const match = LIST.exec(lines[at]);
    if (match && match[1].length <= indent.length) {
      if (/\d/.test(match[2]) !== ordered || match[1].length < indent.length) break;
      items.push([match[3]]);
    } else if (items.length === 0) {
      break;
    } else if (!lines[at].trim()) {
      // A blank line ends the list unless the next line belongs to it.
      const next = lines[at + 1] ?? '';
      const nextItem = LIST.exec(next);
      const goesOn = /^\s{2,}\S/.test(next)
        || (nextItem && nextItem[1].length === indent.length && /\d/.test(nextItem[2]) === ordered);
      if (!goesOn) break;
      items.at(-1).push('');
    } else if (match || /^\s{2,}/.test(lines[at])) {
      items.at(-1).push(lines[at].slice(Math.min(indent.length + 2, lines[at].search(/\S/))));
    } else if (startsBlock(lines, at) || !lines[at - 1].trim()) {
      break;
    } else {
      items.at(-1).push(lines[at].trim());
    }
    at += 1;
  }
  blocks.push({
    type: 'list', ordered, start: ordered ? Number.parseInt(firstMarker, 10) : 1,
    items: items.map((body) => parseBlocks(body.join('\n'))),
  });
  return at;
}

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
