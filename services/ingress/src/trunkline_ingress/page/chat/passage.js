/**
 * The panel with the article behind a citation: fetches it, renders it and marks
 * the quoted passage.
 */
import { el } from '../shared/dom.js';
import { renderMarkdown } from '../shared/markdown.js';
import { findQuote } from './quote.js';

const NARROW = '(max-width: 62rem)';

/** Mark the quote below `root`. Returns the marks in order of reading. */
function markQuote(root, quote) {
  const nodes = [];
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  let text = '';
  while (walker.nextNode()) {
    nodes.push({ node: walker.currentNode, from: text.length });
    text += walker.currentNode.data;
  }
  const marks = [];
  // The quote as written first; then as it reads once rendered, for one that
  // was taken from the Markdown source with its list numbers and addresses.
  const plain = el('div');
  renderMarkdown(plain, quote, { links: true });
  let ranges = findQuote(text, quote);
  if (ranges.length === 0) ranges = findQuote(text, plain.textContent);
  if (ranges.length === 0) ranges = findQuote(text, quote.replace(/(^|\s)\d{1,3}[.)]\s/g, '$1'));
  for (const [start, end] of ranges) {
    for (const { node, from } of nodes) {
      const first = Math.max(start - from, 0);
      const last = Math.min(end - from, node.data.length);
      if (first >= last || !node.data.slice(first, last).trim()) continue;
      marks.push({ node, first, last });
    }
  }
  // From the end backwards, so that splitting a node leaves earlier offsets valid.
  return marks.reverse().map(({ node, first, last }) => {
    const range = document.createRange();
    range.setStart(node, first);
    range.setEnd(node, last);
    const mark = el('mark');
    range.surroundContents(mark);
    return mark;
  }).reverse();
}

/** Create the panel on the elements of index.html. */
export function createPassage(fetchArticle) {
  const byId = (id) => document.getElementById(id);
  const panel = byId('passage');
  const title = byId('passage-title');
  const body = byId('passage-body');
  const quoteBox = byId('passage-quote');
  const note = byId('passage-note');
  const veil = byId('veil');
  const behind = byId('chat');
  const narrow = window.matchMedia(NARROW);
  let opener = null;
  let showing = 0;

  /** Show a citation's article; focus goes in, and back to `from` on closing. */
  async function open(citation, from) {
    const turn = showing += 1;
    opener?.removeAttribute('aria-expanded');
    opener = from;
    opener.setAttribute('aria-expanded', 'true');
    title.textContent = citation.title;
    quoteBox.replaceChildren();
    renderMarkdownInto(quoteBox, citation.quote);
    note.textContent = 'Loading the article';
    const article = freshArticle();
    panel.hidden = false;
    document.body.classList.add('has-passage');
    cover();
    body.scrollTop = 0;
    title.focus({ preventScroll: true });
    try {
      const { title: full, text, is_latest: isLatest } = await fetchArticle(citation);
      if (turn !== showing) return;
      title.textContent = full || citation.title;
      renderMarkdown(article, withoutTitle(text, full), { links: true });
      const marks = citation.quote ? markQuote(article, citation.quote) : [];
      note.textContent = noteOn(marks.length > 0, isLatest);
      if (marks.length) reveal(marks[0], marks.at(-1));
    } catch {
      if (turn === showing) note.textContent = 'The article could not be loaded. The quoted passage is above.';
    }
  }

  function noteOn(isFound, isLatest) {
    if (!isFound) return 'The passage could not be located in the article as it reads now.';
    return isLatest === false ? 'The article has changed since. This is the version that was quoted.' : '';
  }

  /** Scroll only as far as is needed: the quote at the top is worth keeping in view. */
  function reveal(first, last) {
    const view = body.getBoundingClientRect();
    if (last.getBoundingClientRect().bottom < view.bottom - 16) return;
    body.scrollTop += first.getBoundingClientRect().top - view.top - view.height / 3;
  }

  function close() {
    if (panel.hidden) return;
    showing += 1;
    panel.hidden = true;
    document.body.classList.remove('has-passage');
    cover();
    opener?.removeAttribute('aria-expanded');
    // The reply may have been replaced meanwhile; then the composer is the
    // nearest sensible place.
    (opener?.isConnected ? opener : byId('composer')).focus();
    opener = null;
  }

  /** As a bottom sheet the panel covers the chat, which must then not be reachable. */
  function cover() {
    const covered = !panel.hidden && narrow.matches;
    behind.inert = covered;
    veil.hidden = !covered;
    if (covered) panel.setAttribute('aria-modal', 'true');
    else panel.removeAttribute('aria-modal');
  }

  function freshArticle() {
    // A new node, because the renderer remembers what it drew into the old one
    // and the marks have since changed that.
    const article = el('article', { class: 'article', id: 'passage-article' });
    byId('passage-article').replaceWith(article);
    return article;
  }

  byId('passage-close').addEventListener('click', close);
  veil.addEventListener('click', close);
  narrow.addEventListener('change', cover);
  document.addEventListener('keydown', (event) => {
    if (event.key === 'Escape' && !event.isComposing) close();
  });
  return { open, close };
}

function renderMarkdownInto(box, text) {
  const inner = el('div');
  renderMarkdown(inner, text ?? '');
  box.append(inner);
}

/** Drop a first heading that repeats the title shown above. */
function withoutTitle(text, title) {
  const [first, ...rest] = text.trimStart().split('\n');
  return first.replace(/^#\s+/, '').trim() === title ? rest.join('\n') : text;
}
