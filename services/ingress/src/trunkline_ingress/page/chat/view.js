// @ts-check
/**
 * The view of the chat page: shows the state, and passes on the customer's actions.
 *
 * @import {Link, State} from './types.js'
 * @import {OpenSource} from './transcript.js'
 * @import {Company} from '../shared/company.js'
 *
 * @typedef {object} Actions  of the customer
 * @property {(text: string) => void} send
 * @property {(text: string) => void} saveDraft
 * @property {(id: string) => void} retry
 * @property {(id: string) => void} askAgain
 * @property {(rating: number) => void} rate
 * @property {(comment: string) => void} explainRating
 * @property {() => void} requestPerson
 * @property {() => void} leaveQueue
 * @property {(id: string) => void} hideNotice
 * @property {() => void} end
 * @property {() => void} dismissProblem
 * @property {OpenSource} openSource
 * @property {() => void} tryNow
 * @property {() => void} continueHere
 * @property {() => void} newConversation
 */
import { byId, el, icon, isScrolledToEnd, setAttribute, setText } from '../shared/dom.js';
import { Composer } from './composer.js';
import { isTyping } from './conversation.js';
import { NoticeBar } from './notice-bar.js';
import { PersonRequest } from './person.js';
import { Rating } from './rating.js';
import { Transcript } from './transcript.js';
import { CONNECTION_TEXTS, bannerContent } from './wording.js';

/** The view, bound to index.html. */
export class ChatView {
  #actions;
  #composer;
  #transcript;
  #person;
  #rating;
  #notices;
  /** Whether new content keeps the end in view. */
  #followsEnd = true;
  /** Whether the transcript was shown, and not the welcome. */
  #isBegun = false;
  /** @type {(() => void)|null} */
  #bannerAction = null;
  #parts = {
    company: byId('company'),
    connection: byId('connection'),
    connectionText: byId('connection-text'),
    end: byId('end'),
    newConversation: byId('new'),
    scroller: byId('scroller'),
    welcome: byId('welcome'),
    greeting: byId('greeting'),
    description: byId('description'),
    examples: byId('examples'),
    typing: byId('typing'),
    typingText: byId('typing-text'),
    latest: byId('latest'),
    banner: byId('banner'),
    bannerText: byId('banner-text'),
    bannerButton: byId('banner-action'),
  };

  /** @param {Actions} actions */
  constructor(actions) {
    this.#actions = actions;
    this.#composer = new Composer((text) => {
      actions.send(text);
      this.#scrollToEnd();
    }, actions.saveDraft);
    const moveFocus = () => this.#composer.focus();
    this.#transcript = new Transcript({
      retry: actions.retry, askAgain: actions.askAgain, leaveQueue: actions.leaveQueue,
      openSource: actions.openSource, moveFocus,
    });
    const requestPerson = () => {
      actions.requestPerson();
      this.#scrollToEnd();
    };
    this.#person = new PersonRequest(requestPerson, moveFocus);
    this.#rating = new Rating({
      rate: actions.rate, explainRating: actions.explainRating, requestPerson, moveFocus,
    });
    this.#notices = new NoticeBar(actions.hideNotice, moveFocus);
    byId('latest-icon').append(icon('down'));
    this.#listen();
  }

  /**
   * Show the state.
   * @param {State} state
   * @param {Link} link
   */
  render(state, link) {
    const { scroller, typing, typingText, welcome, greeting, latest, end, newConversation } = this.#parts;
    const heightBefore = scroller.scrollHeight;
    this.#transcript.render(state.items);
    setAttribute(this.#parts.connection, 'data-state', link.state);
    setText(this.#parts.connectionText, CONNECTION_TEXTS[link.state]);
    typing.hidden = !(isTyping(state) && link.state === 'open');
    setText(typingText, typing.hidden ? '' : 'An answer is being prepared');
    this.#rating.render(state, link);
    this.#renderBanner(state, link);
    this.#composer.render(state, link);
    this.#notices.render(state);
    this.#person.render(state);
    const begun = state.items.some((item) => item.kind === 'own' || item.kind === 'reply');
    welcome.hidden = begun || !greeting.textContent;
    end.hidden = !state.conversation || state.ended || state.ending || link.elsewhere;
    newConversation.hidden = !begun || state.ended || link.elsewhere;
    if (!begun) {
      latest.hidden = true;
      if (this.#isBegun) scroller.scrollTop = 0; // The transcript was scrolled, the welcome begins at its top.
    } else if (this.#followsEnd) {
      this.#scrollToEnd();
    } else if (scroller.scrollHeight > heightBefore) {
      latest.hidden = false;
    }
    this.#isBegun = begun;
  }

  /**
   * Show the company's name, greeting and example questions.
   * @param {Partial<Company>} company
   */
  showCompany({ name, description, greeting, examples = [] }) {
    const { company, description: paragraph, examples: list } = this.#parts;
    this.#transcript.company = name || this.#transcript.company;
    setText(company, this.#transcript.company);
    document.title = this.#transcript.company;
    setText(this.#parts.greeting, greeting || 'How can we help?');
    setText(paragraph, description || '');
    paragraph.hidden = !description;
    list.replaceChildren(...examples.map((text) => el('li', {}, el('button', {
      type: 'button', 'data-testid': 'example', dir: 'auto', onclick: () => {
        this.#actions.send(text);
        this.#composer.focus();
      },
    }, text))));
  }

  /**
   * Restore an unsent text.
   * @param {string} text
   */
  restoreDraft(text) {
    this.#composer.restore(text);
  }

  /** Focus the composer, unless that would open a touch keyboard. */
  focusComposer() {
    if (window.matchMedia('(pointer: fine)').matches) this.#composer.focus();
  }

  /**
   * @param {State} state
   * @param {Link} link
   */
  #renderBanner(state, link) {
    const { banner, bannerText, bannerButton } = this.#parts;
    const content = bannerContent(state, link);
    banner.hidden = content === null;
    setText(bannerText, content?.text ?? '');
    bannerButton.hidden = !content?.label;
    setText(bannerButton, content?.label ?? '');
    setAttribute(bannerButton, 'data-testid', content?.testid);
    this.#bannerAction = content?.action ? this.#actions[content.action] : null;
  }

  #scrollToEnd() {
    const { scroller, latest } = this.#parts;
    this.#followsEnd = true;
    scroller.scrollTop = scroller.scrollHeight;
    latest.hidden = true;
  }

  #listen() {
    const { scroller, welcome, latest, end, newConversation, bannerButton } = this.#parts;
    scroller.addEventListener('scroll', () => {
      this.#followsEnd = isScrolledToEnd(scroller);
      if (this.#followsEnd) latest.hidden = true;
    }, { passive: true });
    // A growing composer or a keyboard shrinks the scroller without a scroll event.
    new ResizeObserver(() => { if (this.#followsEnd && welcome.hidden) this.#scrollToEnd(); }).observe(scroller);
    end.addEventListener('click', () => this.#actions.end());
    newConversation.addEventListener('click', () => this.#actions.newConversation());
    latest.addEventListener('click', () => {
      this.#scrollToEnd();
      this.#composer.focus();
    });
    bannerButton.addEventListener('click', () => {
      this.#bannerAction?.();
      this.#composer.focus();
    });
  }
}
