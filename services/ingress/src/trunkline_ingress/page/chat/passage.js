// @ts-check
/**
 * The panel with a cited article: fetches it, renders it and highlights all passages that the answer quotes.
 *
 * @import {Source} from '../shared/sources.js'
 *
 * @typedef {{title: string, text: string, is_latest: boolean}} Article
 */
import { byId, el, setAttribute, textNodes } from '../shared/dom.js';
import { renderMarkdown } from '../shared/markdown.js';
import { locateQuote } from '../shared/quote.js';
import { plainText } from '../shared/references.js';
import { quotesOf } from '../shared/sources.js';

/** The width up to which the panel is a bottom sheet; see chat.css. */
const NARROW = '(max-width: 62rem)';
/** Distance of the quote from the lower edge, in pixels, below which the article is scrolled. */
const MARGIN_PX = 16;

/** The panel, bound to index.html. */
export class PassagePanel {
  #panel = byId('passage');
  #title = byId('passage-title');
  #body = byId('passage-body');
  #quote = byId('passage-quote');
  #note = byId('passage-note');
  #veil = byId('veil');
  #narrow = window.matchMedia(NARROW);
  #fetchArticle;
  /** @type {HTMLElement|null} */
  #opener = null;
  /** Number of the latest request; replies to earlier ones are dropped. */
  #request = 0;

  /** @param {(source: Source) => Promise<Article>} fetchArticle */
  constructor(fetchArticle) {
    this.#fetchArticle = fetchArticle;
    byId('passage-close').addEventListener('click', () => this.close());
    this.#veil.addEventListener('click', () => this.close());
    this.#narrow.addEventListener('change', () => this.#updateCover());
    document.addEventListener('keydown', (event) => {
      if (event.key === 'Escape' && !event.isComposing) this.close();
    });
  }

  /**
   * Show a cited article. The panel takes the focus, and returns it to `opener` when it is closed.
   * @param {Source} source
   * @param {HTMLElement} opener
   * @param {string} [quote]  the one to show first, if the article has several
   */
  async open(source, opener, quote) {
    const request = this.#request += 1;
    this.#opener?.removeAttribute('aria-expanded');
    this.#opener = opener;
    opener.setAttribute('aria-expanded', 'true');
    const quotes = quotesOf(source);
    const article = this.#showLoading(source, quotes);
    try {
      const { title, text, is_latest: isLatest } = await this.#fetchArticle(source);
      if (request !== this.#request) return;
      this.#title.textContent = title || source.title;
      renderMarkdown(article, withoutTitle(text, title), { links: true });
      const found = quotes.map((each) => ({ each, marks: markQuote(article, each) })).filter(({ marks }) => marks.length);
      this.#note.textContent = noteText(found.length, quotes.length, isLatest);
      const shown = found.find(({ each }) => each === quote) ?? found[0];
      if (shown) this.#reveal(shown.marks);
    } catch {
      if (request !== this.#request) return;
      this.#note.textContent = quotes.length > 1
        ? 'The article could not be loaded. The quoted passages are shown above.'
        : 'The article could not be loaded. The quoted passage is shown above.';
    }
  }

  close() {
    if (this.#panel.hidden) return;
    this.#request += 1;
    this.#panel.hidden = true;
    document.body.classList.remove('has-passage');
    this.#updateCover();
    this.#opener?.removeAttribute('aria-expanded');
    // If the opener's reply was replaced meanwhile, the composer takes the focus.
    (this.#opener?.isConnected ? this.#opener : byId('composer')).focus();
    this.#opener = null;
  }

  /**
   * Show the panel with the quotes, and return the empty article.
   * @param {Source} source
   * @param {string[]} quotes
   */
  #showLoading({ title }, quotes) {
    this.#title.textContent = title;
    this.#quote.replaceChildren(...quotes.map((quote) => {
      const node = el('div');
      renderMarkdown(node, quote);
      return node;
    }));
    this.#note.textContent = 'Loading the article';
    // A new node: the renderer assumes its own nodes, and marks have changed those of the last article.
    const article = el('article', { class: 'article', id: 'passage-article' });
    byId('passage-article').replaceWith(article);
    this.#panel.hidden = false;
    document.body.classList.add('has-passage');
    this.#updateCover();
    this.#body.scrollTop = 0;
    this.#title.focus({ preventScroll: true });
    return article;
  }

  /**
   * Scroll to the marks if they are out of view; otherwise the quote at the top stays visible.
   * @param {HTMLElement[]} marks  at least one
   */
  #reveal(marks) {
    const view = this.#body.getBoundingClientRect();
    const end = marks[marks.length - 1].getBoundingClientRect().bottom;
    if (end < view.bottom - MARGIN_PX) return;
    this.#body.scrollTop += marks[0].getBoundingClientRect().top - view.top - view.height / 3;
  }

  /** Make the chat inert while the panel covers it as a bottom sheet. */
  #updateCover() {
    const covers = !this.#panel.hidden && this.#narrow.matches;
    byId('chat').inert = covers;
    this.#veil.hidden = !covers;
    setAttribute(this.#panel, 'aria-modal', covers ? 'true' : null);
  }
}

/**
 * @param {number} found  quotes that the article contains
 * @param {number} all
 * @param {boolean} isLatest
 */
function noteText(found, all, isLatest) {
  if (found < all) {
    return all === 1 ? 'The quoted passage could not be found in the article.'
      : `${all - found} of ${all} quoted passages could not be found in the article.`;
  }
  return isLatest === false ? 'The article has changed since. This is the quoted version.' : '';
}

/**
 * Drop a first heading that repeats the title of the panel.
 * @param {string} text
 * @param {string} title
 */
function withoutTitle(text, title) {
  const [first, ...rest] = text.trimStart().split('\n');
  return first.replace(/^#\s+/, '').trim() === title ? rest.join('\n') : text;
}

/**
 * Highlight a quote below `root`; return the marks in reading order.
 * @param {HTMLElement} root
 * @param {string} quote
 */
function markQuote(root, quote) {
  const { text, nodes } = textNodes(root);
  const pieces = locateQuote(text, quote, plainText(quote)).flatMap(([start, end]) => nodes
    .map(({ node, from }) => ({ node, first: Math.max(start - from, 0), last: Math.min(end - from, node.data.length) }))
    .filter(({ node, first, last }) => first < last && node.data.slice(first, last).trim()));
  // Backwards: surrounding a range splits its node and keeps earlier offsets valid.
  return pieces.reverse().map(({ node, first, last }) => {
    const range = document.createRange();
    range.setStart(node, first);
    range.setEnd(node, last);
    const mark = el('mark');
    range.surroundContents(mark);
    return mark;
  }).reverse();
}
