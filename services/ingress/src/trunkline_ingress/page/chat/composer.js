// @ts-check
/**
 * The form in which the customer writes a message.
 *
 * @import {Link, State} from './types.js'
 */
import { byId, setAttribute, setText } from '../shared/dom.js';
import { composerPlaceholder } from './wording.js';

/** Number of characters left from which the limit is shown. */
const SHOW_LIMIT_AT = 500;

export class Composer {
  #form = byId('form', HTMLFormElement);
  #input = byId('composer', HTMLTextAreaElement);
  #send = byId('send', HTMLButtonElement);
  #hints = byId('composer-hints');
  #limit = byId('composer-limit');
  #onSend;
  #onDraft;

  /**
   * @param {(text: string) => void} onSend
   * @param {(text: string) => void} onDraft  called with the unsent text on each change
   */
  constructor(onSend, onDraft) {
    this.#onSend = onSend;
    this.#onDraft = onDraft;
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
      this.focus();
    });
    this.#input.addEventListener('keydown', (event) => {
      // While an input method composes, Enter selects a candidate.
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#submit();
    });
    this.#input.addEventListener('input', () => {
      this.#fit();
      this.#send.disabled = !this.#text();
      this.#onDraft(this.#input.value);
    });
  }

  /**
   * @param {State} state
   * @param {Link} link
   */
  render(state, link) {
    const closed = state.ended || link.elsewhere;
    this.#form.hidden = closed;
    this.#hints.hidden = closed;
    this.#input.disabled = closed;
    this.#send.disabled = closed || !this.#text();
    setAttribute(this.#input, 'placeholder', composerPlaceholder(state));
  }

  focus() {
    this.#input.focus();
  }

  /**
   * Restore an unsent text.
   * @param {string} text
   */
  restore(text) {
    this.#input.value = text;
    this.#fit();
  }

  #text() {
    return this.#input.value.trim();
  }

  #submit() {
    const text = this.#text();
    if (!text || this.#input.disabled) return;
    this.restore('');
    this.#onDraft('');
    this.#onSend(text);
  }

  /** Fit the height to the text, and show the number of characters left near the limit. */
  #fit() {
    const input = this.#input;
    if (!CSS.supports('field-sizing', 'content')) {
      input.style.height = 'auto';
      input.style.height = `${input.scrollHeight}px`;
    }
    const left = input.maxLength - input.value.length;
    this.#limit.hidden = left > SHOW_LIMIT_AT;
    setText(this.#limit, left > SHOW_LIMIT_AT ? '' : `${left} characters left.`);
  }
}
