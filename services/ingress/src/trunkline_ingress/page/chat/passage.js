// @ts-check
/**
 * The panel with the cited article: fetches it, renders it and highlights the quoted passage.
 *
 * @import {Citation} from './types.js'
 *
 * @typedef {{title: string, text: string, is_latest: boolean}} Article
 */
import { byId, el, setAttribute } from '../shared/dom.js';
import { renderMarkdown } from '../shared/markdown.js';
import { locateQuote } from './quote.js';

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

  /** @param {(citation: Citation) => Promise<Article>} fetchArticle */
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
   * Show a citation's article. The panel takes the focus, and returns it to `opener` when it is closed.
   * @param {Citation} citation
   * @param {HTMLElement} opener
   */
  async open(citation, opener) {
    const request = this.#request += 1;
    this.#opener?.removeAttribute('aria-expanded');
    this.#opener = opener;
    opener.setAttribute('aria-expanded', 'true');
    const article = this.#showLoading(citation);
    try {
      const { title, text, is_latest: isLatest } = await this.#fetchArticle(citation);
      if (request !== this.#request) return;
      this.#title.textContent = title || citation.title;
      renderMarkdown(article, withoutTitle(text, title), { links: true });
      const marks = citation.quote ? markQuote(article, citation.quote) : [];
      this.#note.textContent = noteText(marks.length > 0, isLatest);
      if (marks.length > 0) this.#reveal(marks);
    } catch {
      if (request !== this.#request) return;
      this.#note.textContent = 'The article could not be loaded. The quoted passage is shown above.';
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
   * Show the panel with the quote, and return the empty article.
   * @param {Citation} citation
   */
  #showLoading(citation) {
    this.#title.textContent = citation.title;
    const quote = el('div');
    renderMarkdown(quote, citation.quote ?? '');
    this.#quote.replaceChildren(quote);
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
 * @param {boolean} isFound
 * @param {boolean} isLatest
 */
function noteText(isFound, isLatest) {
  if (!isFound) return 'The quoted passage could not be found in the article.';
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
  /** @type {{node: Text, from: number}[]} */
  const nodes = [];
  let text = '';
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = /** @type {Text} */ (walker.currentNode);
    nodes.push({ node, from: text.length });
    text += node.data;
  }
  const rendered = el('div');
  renderMarkdown(rendered, quote, { links: true });
  const pieces = locateQuote(text, quote, rendered.textContent ?? '').flatMap(([start, end]) => nodes
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
