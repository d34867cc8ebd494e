// @ts-check
/** Search for a verbatim quote in rendered text. Pure. */

/** An ordinal of a list, as in Markdown source. */
const ORDINAL = /(^|\s)\d{1,3}[.)]\s/g;

/**
 * Reduce text to its letters and digits, with the offset of each. A quote and the rendered article agree on these,
 * whatever Markdown, line breaks or typographic marks lie between the words.
 * @param {string} text
 * @returns {{skeleton: string, offsets: number[]}}
 */
export function skeletonOf(text) {
  let skeleton = '';
  const offsets = [];
  let at = 0;
  for (const char of text) {
    for (const plain of char.normalize('NFKD').toLowerCase()) {
      if (!/[\p{L}\p{N}]/u.test(plain)) continue;
      skeleton += plain;
      for (let unit = 0; unit < plain.length; unit += 1) offsets.push(at);
    }
    at += char.length;
  }
  return { skeleton, offsets };
}

/**
 * Find a quote in a text, piece by piece if the quote has ellipses.
 * @param {string} text
 * @param {string} quote
 * @returns {[number, number][]} half-open ranges of `text`; empty if the quote was not found
 */
export function findQuote(text, quote) {
  const { skeleton, offsets } = skeletonOf(text);
  /** @type {[number, number][]} */
  const ranges = [];
  let from = 0;
  for (const piece of quote.split(/…|\.{3}|\[\.\.\.\]/)) {
    const target = skeletonOf(piece).skeleton;
    if (!target) continue;
    const start = skeleton.indexOf(target, from);
    if (start < 0) return [];
    from = start + target.length;
    const last = offsets[from - 1];
    ranges.push([offsets[start], last + ((text.codePointAt(last) ?? 0) > 0xffff ? 2 : 1)]);
  }
  return ranges;
}

/**
 * Find a quote that may be Markdown source: as written, as rendered, or without the ordinals of lists.
 * @param {string} text
 * @param {string} quote
 * @param {string} rendered  the rendered text of the quote
 */
export function locateQuote(text, quote, rendered) {
  for (const variant of [quote, rendered, quote.replace(ORDINAL, '$1')]) {
    const ranges = findQuote(text, variant);
    if (ranges.length > 0) return ranges;
  }
  return [];
}

const WORD = /[\p{L}\p{N}]/u;
/** Punctuation that closes a sentence, and the quotation marks and brackets behind it. */
const CLOSING = /^[\p{Pe}\p{Pf}.,;:!?…"'*_`]*/u;

/**
 * Find the first of several variants of a quote that stands in a text as a whole, from word to word.
 * @param {string} text
 * @param {string[]} variants
 * @returns {number|null} the offset behind the quote and its punctuation; null if the text contains no variant
 */
export function quoteEnd(text, variants) {
  const { skeleton, offsets } = skeletonOf(text);
  for (const variant of variants) {
    const target = skeletonOf(variant).skeleton;
    for (let at = target ? skeleton.indexOf(target) : -1; at >= 0; at = skeleton.indexOf(target, at + 1)) {
      const last = offsets[at + target.length - 1];
      const end = last + ((text.codePointAt(last) ?? 0) > 0xffff ? 2 : 1);
      const before = text.slice(0, offsets[at]).at(-1) ?? '';
      const behind = text.slice(end);
      if (!WORD.test(before) && !WORD.test(String.fromCodePoint(behind.codePointAt(0) ?? 0))) {
        return end + (CLOSING.exec(behind)?.[0].length ?? 0);
      }
    }
  }
  return null;
}
