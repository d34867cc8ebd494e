// @ts-check
/**
 * Markdown parser: splits a text into blocks. Pure.
 *
 * @typedef {{type: 'heading', level: number, text: string}} Heading
 * @typedef {{type: 'paragraph'|'code', text: string}} TextBlock
 * @typedef {{type: 'rule'}} Rule
 * @typedef {{type: 'quote', blocks: Block[]}} Quote
 * @typedef {{type: 'table', rows: string[][]}} Table  the first row is the head
 * @typedef {{type: 'list', ordered: boolean, start: number, items: Block[][]}} List
 * @typedef {Heading|TextBlock|Rule|Quote|Table|List} Block
 */

const FENCE = /^\s*(```|~~~)/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const QUOTE = /^ {0,3}>\s?/;
const LIST = /^(\s*)([-*+]|\d{1,3}[.)])\s+(.*)$/;
const TABLE_RULE = /^\s*\|?\s*:?-{2,}:?\s*(\|\s*:?-{2,}:?\s*)*\|?\s*$/;

/**
 * Split Markdown into blocks.
 * @param {string} text
 * @returns {Block[]}
 */
export function parseBlocks(text) {
  const lines = text.replace(/\r\n?/g, '\n').split('\n');
  /** @type {Block[]} */
  const blocks = [];
  let at = 0;
  while (at < lines.length) {
    const line = lines[at];
    /** @type {RegExpExecArray|null} */
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

/**
 * Return the level of each block's heading in the outline of the page: no level is skipped, whatever the text skips.
 * @param {Block[]} blocks
 * @param {number} highest  level of the highest headings
 * @returns {number[]} `highest` for other blocks
 */
export function headingLevels(blocks, highest) {
  const used = [...new Set(blocks.flatMap((block) => (block.type === 'heading' ? [block.level] : [])))].sort();
  let above = highest - 1;
  return blocks.map((block) => {
    if (block.type !== 'heading') return highest;
    above = Math.min(above + 1, highest + used.indexOf(block.level));
    return above;
  });
}

/**
 * Return whether a line starts a block other than a paragraph.
 * @param {string[]} lines
 * @param {number} at
 */
function startsBlock(lines, at) {
  const line = lines[at];
  return FENCE.test(line) || HEADING.test(line) || RULE.test(line) || QUOTE.test(line)
    || LIST.test(line) || isTable(lines, at);
}

/**
 * Return whether a line is the head of a table.
 * @param {string[]} lines
 * @param {number} at
 */
function isTable(lines, at) {
  return lines[at].includes('|') && at + 1 < lines.length && lines[at + 1].includes('|')
    && TABLE_RULE.test(lines[at + 1]);
}

/**
 * Split a row of a table into its cells.
 * @param {string} line
 */
function cells(line) {
  return line.trim().replace(/^\||\|$/g, '').split('|').map((cell) => cell.trim());
}

/**
 * Parse a list with its nested blocks.
 * @param {string[]} lines
 * @param {number} from  the line of its first item
 * @param {Block[]} blocks  receives the list
 * @returns {number} the line after the list
 */
function parseList(lines, from, blocks) {
  const [, indent, firstMarker] = /** @type {RegExpExecArray} */ (LIST.exec(lines[from]));
  const ordered = /\d/.test(firstMarker);
  /** @type {string[]} */
  let item = [];
  const items = [];
  let at = from;
  while (at < lines.length) {
    const match = LIST.exec(lines[at]);
    if (match && match[1].length <= indent.length) {
      if (/\d/.test(match[2]) !== ordered || match[1].length < indent.length) break;
      item = [match[3]];
      items.push(item);
    } else if (items.length === 0) {
      break;
    } else if (!lines[at].trim()) {
      // A blank line ends the list unless the next line belongs to it.
      const next = lines[at + 1] ?? '';
      const nextItem = LIST.exec(next);
      const continues = /^\s{2,}\S/.test(next)
        || (nextItem && nextItem[1].length === indent.length && /\d/.test(nextItem[2]) === ordered);
      if (!continues) break;
      item.push('');
    } else if (match || /^\s{2,}/.test(lines[at])) {
      item.push(lines[at].slice(Math.min(indent.length + 2, lines[at].search(/\S/))));
    } else if (startsBlock(lines, at) || !lines[at - 1].trim()) {
      break;
    } else {
      item.push(lines[at].trim());
    }
    at += 1;
  }
  blocks.push({
    type: 'list', ordered, start: ordered ? Number.parseInt(firstMarker, 10) : 1,
    items: items.map((body) => parseBlocks(body.join('\n'))),
  });
  return at;
}
