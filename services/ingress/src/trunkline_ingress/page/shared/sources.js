// @ts-check
/**
 * Sources of an answer: its citations by article, and the places of their numbers in its text. Pure.
 *
 * @typedef {{document: string, title: string, quote: string, rev?: number, statement?: string}} Citation  `statement`:
 *   the sentence of the answer that the quote supports; '' if the quote stands in the answer itself
 *
 * @typedef {object} Source  a cited article
 * @property {number} number  from 1, in the order of the answer
 * @property {string} document
 * @property {string} title
 * @property {number} rev  0: the latest version
 * @property {Citation[]} citations
 *
 * @typedef {object} Reference  a number in the text of an answer
 * @property {number} at  offset in the text behind which it stands
 * @property {Source} source
 * @property {string} quote
 */
import { quoteEnd } from './quote.js';

/** A mark of a model, `[1]` or `[1, 2]`, with the blanks before it. */
const MARK = /\s*\[(\d{1,3}(?:\s*[,;]\s*\d{1,3})*)\]/g;

/** Marks behind a statement, with the punctuation that ends it. */
const MARKS_WITHIN = new RegExp(`^(?:${MARK.source})+[.,;:!?]+`);

/**
 * Group citations by article and version, in their order.
 * @param {Citation[]} citations
 * @returns {Source[]}
 */
export function groupSources(citations) {
  /** @type {Map<string, Source>} */
  const sources = new Map();
  for (const citation of citations) {
    const { document, title, quote, rev = 0 } = citation;
    const key = JSON.stringify([document, rev]);
    const source = sources.get(key) ?? { number: sources.size + 1, document, title: title || document, rev, citations: [] };
    sources.set(key, source);
    source.citations.push(citation);
  }
  return [...sources.values()];
}

/**
 * Return the quotes of an article, each once.
 * @param {Source} source
 */
export function quotesOf({ citations }) {
  return [...new Set(citations.map(({ quote }) => quote).filter(Boolean))];
}

/**
 * Find the marks of a model in a text; none unless a citation belongs to one.
 * @param {string} text
 * @param {Source[]} sources
 * @returns {{start: number, end: number}[]}  `start` includes the blanks before the mark
 */
export function findMarks(text, sources) {
  if (!sources.some(({ citations }) => citations.some(({ statement }) => statement))) return [];
  return [...text.matchAll(MARK)].map(({ index, 0: mark }) => ({ start: index, end: index + mark.length }));
}

/**
 * Find the places of the numbers: behind each supported statement, or behind each quote in the text.
 * @param {string} text
 * @param {Source[]} sources
 * @param {(quote: string) => string} plain  returns the text of a quote without its markup
 * @returns {Reference[]} in the order of the text
 */
export function locateReferences(text, sources, plain) {
  const found = sources.flatMap((source) => source.citations.flatMap(({ quote, statement }) => {
    const end = quoteEnd(text, statement ? [statement] : [quote, plain(quote)]);
    if (end === null) return [];
    const marks = statement ? MARKS_WITHIN.exec(text.slice(end))?.[0] ?? '' : '';
    return [{ at: end + marks.length, source, quote }];
  }));
  found.sort((one, other) => one.at - other.at || one.source.number - other.source.number);
  return found.filter(({ at, source }, index) => found[index - 1]?.at !== at || found[index - 1].source !== source);
}
