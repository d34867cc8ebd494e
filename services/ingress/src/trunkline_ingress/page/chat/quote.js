// @ts-check
/** Locate a verbatim quote in rendered text. Pure. */

/**
 * Reduce text to its letters and digits, with the place each came from. A quote
 * and the rendered article agree on these, whatever Markdown, line breaks or
 * typographic marks lie between the words.
 * @param {string} text
 * @returns {{skeleton: string, places: number[]}}
 */
export function skeletonOf(text) {
  let skeleton = '';
  const places = [];
  let at = 0;
  for (const char of text) {
    for (const plain of char.normalize('NFKD').toLowerCase()) {
      if (!/[\p{L}\p{N}]/u.test(plain)) continue;
      skeleton += plain;
      for (let unit = 0; unit < plain.length; unit += 1) places.push(at);
    }
    at += char.length;
  }
  return { skeleton, places };
}

/**
 * Find a quote in a text, piece by piece where the quote has left something out.
 * @param {string} text
 * @param {string} quote
 * @returns {[number, number][]} half-open ranges of `text`; empty when not found
 */
export function findQuote(text, quote) {
  const { skeleton, places } = skeletonOf(text);
  const ranges = [];
  let from = 0;
  for (const piece of quote.split(/…|\.{3}|\[\.\.\.\]/)) {
    const wanted = skeletonOf(piece).skeleton;
    if (!wanted) continue;
    const start = skeleton.indexOf(wanted, from);
    if (start < 0) return [];
    from = start + wanted.length;
    const last = places[from - 1];
    ranges.push([places[start], last + (text.codePointAt(last) > 0xffff ? 2 : 1)]);
  }
  return ranges;
}
