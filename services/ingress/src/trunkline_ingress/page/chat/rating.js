// @ts-check
/**
 * The question for a rating, and its acknowledgement.
 *
 * @import {Link, State} from './types.js'
 */
import { byId, el } from '../shared/dom.js';
import { mayRate } from './state.js';

const LOWEST = 1;
const HIGHEST = 5;

export class Rating {
  #root = byId('rating');
  #rate;
  #moveFocus;
  /** Conversation and rating that are shown, '' for none. */
  #shown = '';

  /**
   * @param {(rating: number) => void} rate
   * @param {() => void} moveFocus  called if the focused button disappears
   */
  constructor(rate, moveFocus) {
    this.#rate = rate;
    this.#moveFocus = moveFocus;
  }

  /**
   * @param {State} state
   * @param {Link} link
   */
  render(state, link) {
    const visible = mayRate(state) && (state.rating !== null || !state.ended || link.state === 'open');
    this.#root.hidden = !visible;
    const content = visible ? `${state.conversation?.id}:${state.rating}` : '';
    if (content === this.#shown) return;
    const hadFocus = this.#root.contains(document.activeElement);
    this.#shown = content;
    if (!visible) return;
    if (state.rating === null) {
      this.#showQuestion();
      return;
    }
    this.#root.replaceChildren(el('p', { role: 'status' }, `Thank you. You rated this ${state.rating} of ${HIGHEST}.`));
    if (hadFocus) this.#moveFocus();
  }

  #showQuestion() {
    const buttons = [];
    for (let value = LOWEST; value <= HIGHEST; value += 1) {
      const meaning = value === LOWEST ? ', not at all' : value === HIGHEST ? ', very much' : '';
      buttons.push(el('button', {
        type: 'button', 'data-testid': `rate-${value}`, 'aria-label': `${value} of ${HIGHEST}${meaning}`,
        onclick: () => this.#rate(value),
      }, String(value)));
    }
    this.#root.replaceChildren(
      el('p', { id: 'rating-label' }, 'Did this help?'),
      el('div', { class: 'scale', role: 'group', 'aria-labelledby': 'rating-label' }, ...buttons),
    );
  }
}
