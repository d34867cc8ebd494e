// @ts-check
/** Addresses in texts: web and e-mail. Pure. */

/** Source of a pattern for a bare address; it may include punctuation of the sentence, see `withoutPunctuation`. */
export const ADDRESS = [
  '\\bhttps?:\\/\\/[^\\s<>"`]+',
  '(?<![\\w.+\\-])(?:mailto:)?[\\w.+\\-]+@[a-zA-Z0-9\\-]+(?:\\.[a-zA-Z0-9\\-]+)+',
].join('|');

/** Scheme and, for the web, the two slashes without which an address is relative to the page. */
const SAFE = /^(?:https?:\/\/|mailto:)./i;

const PUNCTUATION = /[.,;:!?'"*_~\]}\u2019\u201d\u2026]/;

/**
 * Return whether a link to an address is safe: it opens a web page or a mail, and runs nothing.
 * @param {string} url
 */
export function isSafe(url) {
  return SAFE.test(url) && URL.canParse(url);
}

/**
 * Cut the punctuation that ends a sentence or its parenthesis; a closing parenthesis of the address itself stays.
 * @param {string} address
 */
export function withoutPunctuation(address) {
  let unopened = address.split(')').length - address.split('(').length;
  let end = address.length;
  for (; end > 0; end -= 1) {
    const last = address[end - 1];
    if (last === ')' && unopened > 0) unopened -= 1;
    else if (!PUNCTUATION.test(last)) break;
  }
  return address.slice(0, end);
}
