// @ts-check
/**
 * The way to a person: a button, and once it is used the state of the request.
 *
 * @import {State} from './types.js'
 */
import { byId, setAttribute, setText } from '../shared/dom.js';
import { isInQueue } from './items.js';
import { personText } from './wording.js';

export class PersonRequest {
  #root = byId('person');
  #button = byId('person-request');
  #text = byId('person-text');
  #moveFocus;

  /**
   * @param {() => void} request
   * @param {() => void} moveFocus  called if the focused button disappears
   */
  constructor(request, moveFocus) {
    this.#moveFocus = moveFocus;
    this.#button.addEventListener('click', () => request());
  }

  /** @param {State} state */
  render(state) {
    const text = personText(state);
    const hadFocus = this.#button === document.activeElement;
    this.#button.hidden = text !== '';
    this.#text.hidden = text === '';
    setText(this.#text, text);
    setAttribute(this.#root, 'data-state', stateOf(state, text));
    if (hadFocus && this.#button.hidden) this.#moveFocus();
  }
}

/**
 * @param {State} state
 * @param {string} text
 * @returns {'none'|'requested'|'waiting'|'person'}
 */
function stateOf(state, text) {
  if (!text) return 'none';
  if (state.person !== null) return 'person';
  return state.items.some(isInQueue) ? 'waiting' : 'requested';
}
