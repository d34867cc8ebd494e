// @ts-check
/**
 * The desk: the operator's own conversations, the escalation queue, and the open conversation beside them.
 *
 * @import {ConsoleContext, QueueEntry} from './types.js'
 * @import {OpsError} from './ops-client.js'
 */
import { byId, el, hiddenText, keyed, query, setAttribute, setText } from '../shared/dom.js';
import { Alerts, isInFront } from './alerts.js';
import { CasePanel } from './case.js';
import { describeEntry, failureText, isClaimedBy, othersEntries, ownEntries, waitingEntries, waitingText } from './queue.js';
import { ReadMarks } from './read-marks.js';

/** The view, bound to console.html. */
export class DeskView {
  #context;
  #root = byId('view-desk');
  #claimNext = byId('claim-next', HTMLButtonElement);
  #case;
  #readMarks = new ReadMarks();
  #alerts = new Alerts();
  /** @type {QueueEntry[]} */
  #entries = [];
  /** Server time of the last complete update, 0 before the first. */
  #updatedAt = 0;
  /** @type {OpsError|null} */
  #failure = null;
  /** The open conversation, '' for none. */
  #open = '';
  /** @type {number|null} */
  #lastCount = null;

  /** @param {ConsoleContext} context */
  constructor(context) {
    this.#context = context;
    this.#case = new CasePanel(context, (conversation) => (
      this.#entries.find((entry) => entry.conversation === conversation) ?? null), byId('case'));
    byId('alerts').replaceWith(this.#alerts.root);
    this.#claimNext.addEventListener('click', () => this.#onClaimNext());
    this.#root.addEventListener('keydown', (event) => this.#onKey(event));
  }

  /** Return the number of own conversations with unread messages, and of unclaimed conversations. */
  counts() {
    return {
      unread: ownEntries(this.#entries, this.#context.person()).filter((entry) => this.#unread(entry) > 0).length,
      waiting: waitingEntries(this.#entries).length,
    };
  }

  /** Update the queue and the open conversation. */
  async update() {
    this.#entries = await this.#context.ops.queue();
    this.#render();
    await this.#case.update();
    this.#updatedAt = this.#context.ops.now();
    this.#failure = null;
    this.#markRead();
    this.#alerts.update(this.#entries, (entry) => this.#unread(entry));
    this.#render();
  }

  /**
   * Show that the queue cannot be updated; the next update hides it.
   * @param {OpsError} failure
   */
  showFailure(failure) {
    this.#failure = failure;
    this.#render();
  }

  /** Return whether the queue is out of date because Trunkline cannot be reached. */
  isOutOfDate() {
    return this.#failure !== null && this.#failure.uncertain;
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
    const own = ownEntries(this.#entries, this.#context.person());
    const others = othersEntries(this.#entries, this.#context.person());
    this.#renderList(byId('own'), own);
    this.#renderList(byId('waiting'), waiting);
    this.#renderList(byId('claimed'), others);
    byId('queue-empty').hidden = this.#updatedAt === 0 || this.#failure !== null || waiting.length > 0;
    this.#renderFailure();
    byId('own-title').hidden = own.length === 0;
    byId('claimed-title').hidden = others.length === 0;
    setText(byId('waiting-title'), waiting.length ? `Waiting: ${waiting.length}` : 'Waiting');
    this.#claimNext.disabled = waiting.length === 0 || this.#failure !== null;
    if (this.#lastCount !== null && waiting.length > this.#lastCount) {
      this.#context.announce(waitingText(waiting.length));
    }
    this.#lastCount = waiting.length;
  }

  #renderFailure() {
    const failure = this.#failure;
    setAttribute(this.#root, 'data-stale', failure !== null);
    byId('queue-failure').hidden = failure === null;
    if (failure) setText(byId('queue-failure'), failureText(failure, this.#updatedAt, this.#context.ops.now()));
  }

  /**
   * Return the number of unread messages in one of the operator's own conversations, 0 in any other.
   * @param {QueueEntry} entry
   */
  #unread(entry) {
    const isOwn = isClaimedBy(entry, this.#context.person());
    return isOwn && !this.#isRead(entry) ? this.#readMarks.unread(entry) : 0;
  }

  /**
   * Return whether the operator has a conversation in view.
   * @param {QueueEntry} entry
   */
  #isRead({ conversation }) {
    return conversation === this.#open && !this.#root.hidden && isInFront();
  }

  #markRead() {
    const read = this.#entries.find((entry) => this.#isRead(entry));
    if (read) this.#readMarks.mark(read, this.#entries);
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
    setAttribute(node, 'data-gone', texts.gone !== '');
    query(node, '.gone').hidden = texts.gone === '';
    setText(query(node, '.gone'), texts.gone);
    setAttribute(query(node, 'a'), 'aria-current', entry.conversation === this.#open ? 'true' : null);
    setText(query(node, '.position'), texts.position);
    setText(query(node, '.customer'), texts.customer);
    setAttribute(query(node, '.customer'), 'title', entry.customer);
    setText(query(node, '.urgency'), entry.urgency);
    const unread = this.#unread(entry);
    setAttribute(node, 'data-unread', unread);
    query(node, '.unread').hidden = unread === 0;
    setText(query(node, '.unread-count'), String(unread));
    setText(query(node, '.excerpt'), texts.message);
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
   * Move between the entries of all lists with the arrow keys.
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
      el('span', { class: 'customer' }), el('span', { class: 'urgency' }), el('span', { class: 'said' },
        el('span', { class: 'excerpt' }),
        el('span', { class: 'count unread', 'data-testid': 'unread' }, el('span', { class: 'unread-count' }),
          hiddenText(' unread'))),
      el('span', { class: 'gone', 'data-testid': 'gone' }),
      el('span', { class: 'since' }), el('span', { class: 'due' }),
      el('span', { class: 'sla', 'aria-hidden': 'true' }, el('i'))));
}
