// @ts-check
/**
 * Sources of an answer: its citations by article, and the places of their numbers in its text. Pure.
 *
 * @typedef {{document: string, title: string, quote: string, rev?: number, mark?: number}} Citation  `mark`: number of
 *   the mark `[n]` in the text that the citation belongs to; without one, the quote stands in the text
 *
 * @typedef {object} Source  a cited article
 * @property {number} number  from 1, in the order of the answer
 * @property {string} document
 * @property {string} title
 * @property {number} rev  0: the latest version
 * @property {Citation[]} citations  each quote once
 *
 * @typedef {object} Reference  a number in the text of an answer
 * @property {number} at  offset in the text behind which it stands
 * @property {Source} source
 * @property {string} quote
 */
import { quoteEnd } from './quote.js';

/** A mark of a model, with the blanks before it. */
const MARK = /\s*\[(\d{1,3})\]/g;

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
    const isRepeated = source.citations.some((other) => other.quote === quote && other.mark === citation.mark);
    if (!isRepeated) source.citations.push(citation);
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
 * @returns {{start: number, end: number, number: number}[]}  `start` includes the blanks before the mark
 */
export function findMarks(text, sources) {
  if (!sources.some(({ citations }) => citations.some(({ mark }) => mark))) return [];
  return [...text.matchAll(MARK)].map((match) => ({
    start: match.index, end: match.index + match[0].length, number: Number(match[1]),
  }));
}

/**
 * Find the places of the numbers: behind each mark, and behind each quote that stands in the text.
 * @param {string} text
 * @param {Source[]} sources
 * @param {(quote: string) => string} plain  returns the text of a quote without its markup
 * @returns {Reference[]} in the order of the text
 */
export function locateReferences(text, sources, plain) {
  const marks = findMarks(text, sources);
  const found = sources.flatMap((source) => source.citations.flatMap(({ quote, mark }) => {
    const places = mark
      ? marks.filter(({ number }) => number === mark).map(({ end }) => end)
      : [quoteEnd(text, [quote, plain(quote)])].filter((at) => at !== null);
    return places.map((at) => ({ at, source, quote }));
  })).sort((one, other) => one.at - other.at || one.source.number - other.source.number);
  return found.filter(({ at, source }, index) => {
    const before = found[index - 1];
    return before?.source !== source || text.slice(before.at, at).replace(MARK, '').trim() !== '';
  });
}
