// @ts-check
/**
 * The question for a rating, its acknowledgement, and after a low rating the question for its reason.
 *
 * @import {Link, State} from './types.js'
 *
 * @typedef {object} RatingActions
 * @property {(rating: number) => void} rate
 * @property {(comment: string) => void} explainRating
 * @property {() => void} requestPerson
 * @property {() => void} moveFocus  called if the focused element disappears
 */
import { byId, el } from '../shared/dom.js';
import { asksForReason, mayRate } from './state.js';

const LOWEST = 1;
const HIGHEST = 5;
const MAX_COMMENT_CHARACTERS = 2_000;

export class Rating {
  #root = byId('rating');
  #actions;
  /** Conversation, rating and stage that are shown, '' for none. */
  #shown = '';

  /** @param {RatingActions} actions */
  constructor(actions) {
    this.#actions = actions;
  }

  /**
   * @param {State} state
   * @param {Link} link
   */
  render(state, link) {
    const visible = mayRate(state) && (state.rating !== null || !state.ended || link.state === 'open');
    this.#root.hidden = !visible;
    const content = visible ? `${state.conversation?.id}:${state.rating}:${state.comment !== null}` : '';
    if (content === this.#shown) return;
    const hadFocus = this.#root.contains(document.activeElement);
    this.#shown = content;
    if (!visible) {
      if (hadFocus) this.#actions.moveFocus();
    } else if (state.rating === null) {
      this.#showQuestion();
    } else if (asksForReason(state)) {
      this.#showReason(state.rating, hadFocus);
    } else {
      const thanks = state.comment
        ? 'Thank you for your feedback.' : `Thank you. You rated this ${state.rating} of ${HIGHEST}.`;
      this.#root.replaceChildren(el('p', { role: 'status' }, thanks));
      if (hadFocus) this.#actions.moveFocus();
    }
  }

  #showQuestion() {
    const buttons = [];
    for (let value = LOWEST; value <= HIGHEST; value += 1) {
      const meaning = value === LOWEST ? ', not at all' : value === HIGHEST ? ', very much' : '';
      buttons.push(el('button', {
        type: 'button', 'data-testid': `rate-${value}`, 'aria-label': `${value} of ${HIGHEST}${meaning}`,
        onclick: () => this.#actions.rate(value),
      }, String(value)));
    }
    this.#root.replaceChildren(
      el('p', { id: 'rating-label' }, 'Did this help?'),
      el('div', { class: 'scale', role: 'group', 'aria-labelledby': 'rating-label' }, ...buttons),
    );
  }

  /**
   * @param {number} rating
   * @param {boolean} takeFocus
   */
  #showReason(rating, takeFocus) {
    const text = el('textarea', {
      id: 'reason', rows: 2, maxlength: MAX_COMMENT_CHARACTERS, dir: 'auto', 'data-testid': 'reason',
    });
    const form = el('form', { class: 'reason-form', autocomplete: 'off' },
      el('label', { for: 'reason' },
        `You rated this ${rating} of ${HIGHEST}. What went wrong? (optional)`),
      text,
      el('div', { class: 'reason-actions' },
        el('button', { type: 'submit', class: 'small', 'data-testid': 'send-reason' }, 'Send'),
        el('button', {
          type: 'button', class: 'small', 'data-testid': 'reason-person', onclick: () => {
            this.#actions.explainRating(text.value.trim());
            this.#actions.requestPerson();
          },
        }, 'Talk to a person'),
        el('button', {
          type: 'button', class: 'small', 'data-testid': 'skip-reason', onclick: () => this.#actions.explainRating(''),
        }, 'Skip')));
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#actions.explainRating(text.value.trim());
    });
    this.#root.replaceChildren(form);
    if (takeFocus) text.focus();
  }
}
