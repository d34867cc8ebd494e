// @ts-check
/**
 * The desk: the escalation queue, the claimed conversations, and the open conversation beside them.
 *
 * @import {ConsoleContext, QueueEntry} from './types.js'
 */
import { byId, el, keyed, query, setAttribute, setText } from '../shared/dom.js';
import { CasePanel } from './case.js';
import { claimedEntries, describeEntry, waitingEntries, waitingText } from './queue.js';

/** The view, bound to console.html. */
export class DeskView {
  #context;
  #root = byId('view-desk');
  #claimNext = byId('claim-next', HTMLButtonElement);
  #case;
  /** @type {QueueEntry[]} */
  #entries = [];
  #loaded = false;
  /** The open conversation, '' for none. */
  #open = '';
  /** @type {number|null} */
  #lastCount = null;

  /** @param {ConsoleContext} context */
  constructor(context) {
    this.#context = context;
    this.#case = new CasePanel(context, (conversation) => (
      this.#entries.find((entry) => entry.conversation === conversation) ?? null), byId('case'));
    this.#claimNext.addEventListener('click', () => this.#onClaimNext());
    this.#root.addEventListener('keydown', (event) => this.#onKey(event));
  }

  /** Return the number of unclaimed conversations. */
  waitingCount() {
    return waitingEntries(this.#entries).length;
  }

  /** Update the queue and the open conversation. */
  async update() {
    this.#entries = await this.#context.ops.queue();
    this.#loaded = true;
    this.#render();
    await this.#case.update();
  }

  /**
   * Open a conversation; '' for none.
   * @param {string} conversation
   */
  open(conversation) {
    this.#open = conversation;
    setAttribute(this.#root, 'data-open', conversation || null);
    this.#case.open(conversation);
    this.#render();
    void this.#context.refresh();
  }

  #render() {
    const waiting = waitingEntries(this.#entries);
    const claimed = claimedEntries(this.#entries, this.#context.person());
    this.#renderList(byId('waiting'), waiting);
    this.#renderList(byId('claimed'), claimed);
    byId('queue-empty').hidden = !this.#loaded || waiting.length > 0;
    byId('claimed-title').hidden = claimed.length === 0;
    setText(byId('waiting-title'), waiting.length ? `Waiting: ${waiting.length}` : 'Waiting');
    this.#claimNext.disabled = waiting.length === 0;
    if (this.#lastCount !== null && waiting.length > this.#lastCount) {
      this.#context.announce(waitingText(waiting.length));
    }
    this.#lastCount = waiting.length;
  }

  /**
   * @param {HTMLElement} list
   * @param {QueueEntry[]} entries
   */
  #renderList(list, entries) {
    keyed(list, entries, (entry) => entry.conversation, createEntry, (node, entry) => this.#drawEntry(node, entry));
  }

  /**
   * @param {HTMLElement} node
   * @param {QueueEntry} entry
   */
  #drawEntry(node, entry) {
    const texts = describeEntry(entry, this.#context.person(), this.#context.ops.now());
    setAttribute(node, 'data-urgency', entry.urgency);
    setAttribute(node, 'data-position', entry.position);
    setAttribute(node, 'data-claimed-by', entry.claimed_by);
    setAttribute(node, 'data-overdue', texts.overdue);
    setAttribute(query(node, 'a'), 'aria-current', entry.conversation === this.#open ? 'true' : null);
    setText(query(node, '.position'), texts.position);
    setText(query(node, '.customer'), texts.customer);
    setAttribute(query(node, '.customer'), 'title', entry.customer);
    setText(query(node, '.urgency'), entry.urgency);
    setText(query(node, '.reason'), texts.reason);
    setText(query(node, '.since'), texts.since);
    setText(query(node, '.due'), texts.due);
    query(node, '.sla i').style.setProperty('width', `${texts.slaPercent.toFixed(1)}%`);
  }

  async #onClaimNext() {
    const { ops, attempt, navigate, refresh, requirePerson } = this.#context;
    const person = await requirePerson();
    if (!person) return;
    const claimed = await attempt(() => ops.claimNext(person));
    await refresh();
    if (!claimed) return;
    navigate(`#desk/${claimed.conversation}`);
    this.#case.focusComposer();
  }

  /**
   * Move between the entries of both lists with the arrow keys.
   * @param {KeyboardEvent} event
   */
  #onKey(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    /** @type {HTMLAnchorElement[]} */
    const links = [...this.#root.querySelectorAll('a')];
    const at = links.findIndex((link) => link === document.activeElement);
    if (!step || at < 0) return;
    event.preventDefault();
    links[at + step]?.focus();
  }
}

/** @param {QueueEntry} entry */
function createEntry({ conversation }) {
  return el('li', { class: 'entry', 'data-testid': 'line', 'data-conversation': conversation },
    el('span', { class: 'position' }),
    el('a', { href: `#desk/${conversation}` },
      el('span', { class: 'customer' }), el('span', { class: 'urgency' }), el('span', { class: 'reason' }),
      el('span', { class: 'since' }), el('span', { class: 'due' }),
      el('span', { class: 'sla', 'aria-hidden': 'true' }, el('i'))));
}
