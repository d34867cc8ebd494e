// @ts-check
/**
 * Active notices, shown above the conversation.
 *
 * @import {Notice, State} from './types.js'
 */
import { byId, el, icon } from '../shared/dom.js';
import { prettify } from '../shared/names.js';
import { shownNotices } from './state.js';

/**
 * Identify a notice by its content: the server repeats notices after a reconnect, and a screen reader must not announce
 * an unchanged one again.
 * @param {Notice} notice
 */
function keyOf(notice) {
  return `${notice.id} ${notice.severity} ${notice.text}`;
}

export class NoticeBar {
  #root = byId('notices');
  #hide;
  #moveFocus;
  /** @type {Map<string, HTMLElement>} */
  #nodes = new Map();

  /**
   * @param {(id: string) => void} hide
   * @param {() => void} moveFocus  called if the focused button disappears
   */
  constructor(hide, moveFocus) {
    this.#hide = hide;
    this.#moveFocus = moveFocus;
  }

  /** @param {State} state */
  render(state) {
    const notices = shownNotices(state);
    this.#root.hidden = notices.length === 0;
    const keys = new Set(notices.map(keyOf));
    for (const [key, node] of this.#nodes) {
      if (keys.has(key)) continue;
      if (node.contains(document.activeElement)) this.#moveFocus();
      node.remove();
      this.#nodes.delete(key);
    }
    for (const notice of notices) {
      const key = keyOf(notice);
      if (this.#nodes.has(key)) continue;
      const node = this.#create(notice);
      this.#nodes.set(key, node);
      this.#root.append(node);
    }
  }

  /** @param {Notice} notice */
  #create({ id, text, severity }) {
    return el('div', { class: 'notice', 'data-testid': 'notice', 'data-id': id, 'data-severity': severity },
      icon('warning'),
      el('p', { dir: 'auto' }, severity === 'info' ? null : el('strong', {}, `${prettify(severity)}: `), text),
      el('button', {
        type: 'button', class: 'small', 'aria-label': `Hide notice: ${text}`, onclick: () => this.#hide(id),
      }, 'Hide'));
  }
}
