// @ts-check
/**
 * The view of notices: publish and recall them, and see which processes have confirmed them.
 *
 * @import {ConsoleContext, NewNotice, Notice, NoticeStatus} from './types.js'
 */
import { el, keyed, query, setAttribute, setText } from '../shared/dom.js';
import { openDialog } from './dialogs.js';
import { NoticeForm } from './notice-form.js';
import { noticeFacts, receiptTexts } from './notice-texts.js';

export class NoticesView {
  #context;
  #form;
  #list = el('ol', { class: 'cards', 'aria-labelledby': 'active-notices' });
  #empty = el('p', { class: 'empty', 'data-testid': 'no-notices', hidden: true }, 'No active notices.');
  #offersSpecialties = false;

  /**
   * @param {ConsoleContext} context
   * @param {HTMLElement} section
   */
  constructor(context, section) {
    this.#context = context;
    this.#form = new NoticeForm((notice) => this.#publish(notice));
    section.append(el('div', { class: 'wide-column' },
      this.#form.root, el('h2', { id: 'active-notices' }, 'Active notices'), this.#empty, this.#list));
  }

  /** Update the list of notices, and once the specialties of the form. */
  async update() {
    const { ops } = this.#context;
    const notices = (await ops.notices()).toReversed();
    keyed(this.#list, notices, ({ notice }) => notice.notice, (status) => this.#createCard(status),
      (node, status) => this.#drawCard(node, status));
    this.#empty.hidden = notices.length > 0;
    if (this.#offersSpecialties) return;
    this.#form.offerSpecialties(await ops.specialties());
    this.#offersSpecialties = true;
  }

  /** @param {NewNotice} notice */
  async #publish(notice) {
    const { ops, attempt, announce, refresh } = this.#context;
    const published = await attempt(() => ops.publishNotice(notice)) !== undefined;
    if (published) announce('The notice has been published');
    void refresh();
    return published;
  }

  /** @param {Notice} notice */
  async #recall(notice) {
    const { ops, attempt, refresh } = this.#context;
    const confirmed = await openDialog({
      title: 'Recall the notice?', text: `“${notice.text}” is withdrawn for all recipients.`,
      confirm: 'Recall', destructive: true, testid: 'recall-form',
    });
    if (!confirmed) return;
    await attempt(() => ops.recallNotice(notice.notice));
    await refresh();
  }

  /** @param {NoticeStatus} status */
  #createCard({ notice }) {
    return el('li', {
      class: 'card notice-card', 'data-testid': 'notice', 'data-id': notice.notice, 'data-severity': notice.severity,
    },
    el('div', { class: 'card-head' }, el('p', { class: 'facts' }), el('button', {
      type: 'button', class: 'small', 'data-testid': 'recall', 'aria-label': `Recall: ${notice.text}`,
      onclick: () => this.#recall(notice),
    }, 'Recall')),
    el('p', { class: 'notice-text' }, notice.text),
    el('p', { class: 'receipts' }),
    el('details', {}, el('summary', {}, 'Receipts'), el('p', { class: 'names' })));
  }

  /**
   * @param {HTMLElement} node
   * @param {NoticeStatus} status
   */
  #drawCard(node, status) {
    setText(query(node, '.facts'), noticeFacts(status.notice, this.#context.ops.now()));
    const { complete, summary, processes } = receiptTexts(status);
    setAttribute(query(node, '.receipts'), 'data-complete', complete);
    setText(query(node, '.receipts'), summary);
    setText(query(node, '.names'), processes);
  }
}
