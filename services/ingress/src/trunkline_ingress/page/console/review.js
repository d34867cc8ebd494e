// @ts-check
/**
 * The view of turns to review: unanswered questions, low ratings and misroutes, with links to their conversations.
 *
 * @import {ConsoleContext, ReviewItem, ReviewKind} from './types.js'
 */
import { el, keyed, setText } from '../shared/dom.js';
import { REVIEW_HINTS, REVIEW_TITLES, periodText, reviewFacts } from './review-texts.js';

export class ReviewView {
  #context;
  #period = el('p', { class: 'facts', 'data-testid': 'review-period' });
  #sections = /** @type {ReviewKind[]} */ (Object.keys(REVIEW_TITLES)).map(createSection);

  /**
   * @param {ConsoleContext} context
   * @param {HTMLElement} section
   */
  constructor(context, section) {
    this.#context = context;
    section.append(el('div', { class: 'wide-column' }, ...this.#sections.map(({ root }) => root), this.#period));
  }

  /** Update all lists. */
  async update() {
    const { items, since } = await this.#context.ops.review();
    const now = this.#context.ops.now();
    setText(this.#period, periodText(since, now));
    for (const { kind, count, empty, list } of this.#sections) {
      const shown = items.filter((item) => item.kind === kind);
      setText(count, shown.length ? ` ${shown.length}` : '');
      empty.hidden = shown.length > 0;
      keyed(list, shown, ({ conversation, at, text }) => `${conversation} ${at} ${text}`,
        (item) => createItem(item, now));
    }
  }
}

/** @param {ReviewKind} kind */
function createSection(kind) {
  const count = el('span', { class: 'facts' });
  const empty = el('p', { class: 'empty' }, 'None.');
  const list = el('ol', { class: 'review-items', 'aria-labelledby': `review-${kind}` });
  const root = el('section', { class: 'card', 'aria-labelledby': `review-${kind}`, 'data-testid': `review-${kind}` },
    el('h2', { id: `review-${kind}` }, REVIEW_TITLES[kind], count),
    el('p', { class: 'facts' }, REVIEW_HINTS[kind]), empty, list);
  return { kind, root, count, empty, list };
}

/**
 * @param {ReviewItem} item
 * @param {number} now
 */
function createItem(item, now) {
  return el('li', { 'data-testid': 'review-item', 'data-conversation': item.conversation },
    el('p', { class: 'facts' }, reviewFacts(item, now)),
    ...(item.text ? [el('p', { class: 'review-text' }, item.text)] : []),
    ...(item.reason ? [el('p', { class: 'facts' }, item.reason)] : []),
    el('p', { class: 'review-links' },
      el('a', { href: `#desk/${item.conversation}`, 'data-testid': 'to-conversation' }, 'Conversation'), ' ',
      el('a', { href: `#suite/${item.conversation}` }, 'Trace')));
}
