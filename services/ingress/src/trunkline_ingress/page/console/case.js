// @ts-check
/**
 * The panel with the open conversation: its summary and transcript, and the actions of a person: claim, reply, hand
 * back, close.
 *
 * @import {ConsoleContext, EscalatedConversation, QueueEntry} from './types.js'
 * @import {PendingReply} from './drafts.js'
 */
import { el, isScrolledToEnd, keyed, setAttribute, setText } from '../shared/dom.js';
import { randomId } from '../shared/ids.js';
import { customerName, isField, specialtyName } from '../shared/names.js';
import { Palette } from '../shared/palette.js';
import { openCloseDialog, openHandBackDialog, openNoteDialog } from './case-dialogs.js';
import { createCaseLayout } from './case-layout.js';
import { createMessage, createPendingReply } from './case-messages.js';
import { customerRows, factsText, standingText, summaryLines } from './case-texts.js';
import { Drafts } from './drafts.js';
import { OpsError } from './ops-client.js';
import { isClaimedBy } from './queue.js';

export class CasePanel {
  #context;
  #findEntry;
  #drafts = new Drafts();
  #palette = new Palette();
  #parts = createCaseLayout();
  /** The open conversation, '' for none. */
  #id = '';
  /** @type {EscalatedConversation|null} */
  #state = null;
  #error = '';
  /** Whether new messages keep the end in view. */
  #followsEnd = true;
  /** Whether to focus the composer as soon as it is available. */
  #wantsFocus = false;

  /**
   * @param {ConsoleContext} context
   * @param {(conversation: string) => QueueEntry|null} findEntry  the conversation's entry in the queue
   * @param {HTMLElement} section
   */
  constructor(context, findEntry, section) {
    this.#context = context;
    this.#findEntry = findEntry;
    section.append(...this.#parts.root);
    this.#listen();
    this.#render();
  }

  /**
   * Show another conversation; '' for none.
   * @param {string} conversation
   */
  open(conversation) {
    if (conversation === this.#id) return;
    this.#id = conversation;
    this.#state = null;
    this.#error = '';
    this.#followsEnd = true;
    this.#palette.clear();
    this.#parts.log.replaceChildren();
    setText(this.#parts.title, '');
    const { draft, reply } = this.#drafts.of(conversation);
    this.#parts.composer.value = draft;
    // A reply that was in flight when the page was left is offered again.
    if (reply) this.#setReply(conversation, { ...reply, state: 'failed', reason: 'Delivery not confirmed.' });
    this.#render();
  }

  /** Update the conversation. */
  async update() {
    const id = this.#id;
    if (!id) return;
    try {
      const found = await this.#context.ops.conversation(id);
      if (id !== this.#id) return;
      this.#parts.summary.open ||= this.#state === null && !isClaimedBy(found.waiting, this.#context.person());
      this.#state = found;
      this.#error = '';
    } catch (error) {
      if (id !== this.#id || !(error instanceof OpsError) || error.uncertain) throw error;
      this.#state = null;
      this.#error = error.message;
    }
    this.#render();
  }

  /** Focus the composer as soon as it is available. */
  focusComposer() {
    this.#wantsFocus = true;
  }

  // -- rendering ---

  #render() {
    const { empty, head, scroller, foot } = this.#parts;
    const state = this.#id ? this.#state : null;
    empty.hidden = state !== null;
    head.hidden = scroller.hidden = foot.hidden = state === null;
    setText(empty, this.#id ? this.#error || 'Loading'
      : 'Select a conversation from the queue to read it, or claim the next one.');
    if (!state) return;
    const entry = this.#findEntry(this.#id);
    this.#renderHead(entry, state);
    this.#renderSummary(entry?.summary ?? '');
    this.#renderCustomer(state);
    this.#renderMessages(state);
    this.#renderFoot(entry, state.closed);
    if (this.#followsEnd) scroller.scrollTop = scroller.scrollHeight;
  }

  /**
   * @param {QueueEntry|null} entry
   * @param {EscalatedConversation} state
   */
  #renderHead(entry, { closed, archives }) {
    const { title, urgency, facts, traceLink, handBack, close } = this.#parts;
    const now = this.#context.ops.now();
    if (entry) setText(title, customerName(entry.customer));
    else if (!title.textContent) setText(title, this.#id);
    urgency.hidden = !entry;
    setAttribute(urgency, 'data-urgency', entry?.urgency);
    setText(urgency, entry?.urgency ?? '');
    setText(facts, factsText(entry, closed, now, archives.length > 0));
    setAttribute(facts, 'data-overdue', entry ? now > entry.due_at : null);
    setAttribute(traceLink, 'href', `#suite/${this.#id}`);
    handBack.hidden = close.hidden = !isClaimedBy(entry, this.#context.person());
  }

  /** @param {EscalatedConversation} state */
  #renderCustomer(state) {
    const rows = customerRows(state);
    this.#parts.customer.hidden = !rows.length;
    keyed(this.#parts.customerFacts, rows, ({ name, value, age }) => `${name} ${value} ${age}`,
      ({ name, value, age }) => el('div', {}, el('dt', {}, name), el('dd', {}, value),
        ...(age ? [el('dd', { class: 'age' }, age)] : [])));
  }

  /** @param {string} summary */
  #renderSummary(summary) {
    this.#parts.summary.hidden = !summary;
    const lines = summaryLines(summary).map((line, at) => ({ ...line, at }));
    keyed(this.#parts.summaryLines, lines, ({ at, specialty, text }) => `${at} ${specialty}: ${text}`,
      ({ specialty, text }) => el('li', {},
        ...(specialty ? [el('strong', {}, specialtyName(specialty)), ' '] : []), text));
  }

  /** @param {EscalatedConversation} state */
  #renderMessages({ transcript }) {
    const { log, pending, title } = this.#parts;
    // The transcript only grows, so the position of a message identifies it.
    const messages = transcript.map((entry, at) => ({ entry, at }));
    keyed(log, messages, ({ at }) => String(at), ({ entry }) => createMessage(entry, {
      customer: title.textContent ?? '', hueOf: (name) => this.#palette.hueOf(name), now: this.#context.ops.now(),
    }));
    const { reply } = this.#drafts.of(this.#id);
    keyed(pending, reply ? [reply] : [], ({ id, state, reason }) => `${id} ${state} ${reason}`,
      (unsent) => createPendingReply(unsent, {
        person: this.#context.person(),
        onSendAgain: () => this.#deliver(this.#id),
        onEdit: () => this.#editReply(),
      }));
  }

  /**
   * @param {QueueEntry|null} entry
   * @param {boolean} closed
   */
  #renderFoot(entry, closed) {
    const { standing, claim, form, composer } = this.#parts;
    const person = this.#context.person();
    setText(standing, standingText(entry, closed, person));
    standing.hidden = !standing.textContent;
    claim.hidden = closed || !entry || entry.claimed_by !== '';
    form.hidden = closed || !isClaimedBy(entry, person);
    this.#updateSend();
    if (!form.hidden && this.#wantsFocus) {
      this.#wantsFocus = false;
      composer.focus();
    }
  }

  #updateSend() {
    const { composer, send } = this.#parts;
    send.disabled = !composer.value.trim() || this.#drafts.of(this.#id).reply !== null;
  }

  // -- actions ---

  async #onClaim() {
    const { ops, attempt, refresh, requirePerson } = this.#context;
    const person = await requirePerson();
    if (!person) return;
    const claimed = await attempt(() => ops.claim(this.#id, { person }));
    await refresh();
    if (claimed) this.#parts.composer.focus();
  }

  /** Add an internal note. If its outcome is unknown, the dialog offers the same note again. */
  async #onNote() {
    const { ops, attempt, refresh, requirePerson } = this.#context;
    const conversation = this.#id;
    const person = await requirePerson();
    if (!person) return;
    const noteId = randomId();
    for (let text = ''; ;) {
      const values = await openNoteDialog(text);
      if (!values?.text.trim()) return;
      text = values.text.trim();
      const added = await attempt(() => ops.addNote(conversation, { person, note_id: noteId, text }));
      if (added) break;
    }
    this.#followsEnd = true;
    await refresh();
  }

  async #onHandBack() {
    const { ops, attempt, person, refresh } = this.#context;
    // Not to pseudo-specialties: they would only escalate the conversation again.
    const specialties = (await attempt(() => ops.specialties()) ?? []).filter(isField);
    const values = await openHandBackDialog(specialties);
    if (!values) return;
    await attempt(() => ops.handBack(this.#id, { person: person(), note: values.note.trim(), to: values.to }));
    await refresh();
    this.#parts.title.focus();
  }

  async #onClose() {
    const { ops, attempt, person, refresh } = this.#context;
    const values = await openCloseDialog();
    if (!values) return;
    await attempt(() => ops.close(this.#id, { person: person(), reason: values.reason.trim() }));
    await refresh();
    this.#parts.title.focus();
  }

  #onSubmit() {
    const { composer } = this.#parts;
    const text = composer.value.trim();
    if (!text || this.#drafts.of(this.#id).reply) return;
    composer.value = '';
    this.#drafts.set(this.#id, { draft: '', reply: { id: randomId(), text, state: 'sending', reason: '' } });
    this.#followsEnd = true;
    void this.#deliver(this.#id);
  }

  /**
   * Send the pending reply of a conversation. Its id was assigned when it was written, so all attempts are one reply.
   * @param {string} conversation
   */
  async #deliver(conversation) {
    const { ops, attempt, person, refresh } = this.#context;
    const { reply } = this.#drafts.of(conversation);
    if (!reply) return;
    this.#setReply(conversation, { ...reply, state: 'sending', reason: '' });
    this.#render();
    try {
      await ops.reply(conversation, { person: person(), reply_id: reply.id, text: reply.text });
    } catch (error) {
      if (error instanceof OpsError && error.uncertain) {
        this.#setReply(conversation, { ...reply, state: 'failed', reason: `Delivery not confirmed: ${error.message}` });
      } else {
        // Rejected: the text returns to the composer.
        this.#drafts.set(conversation, { reply: null, draft: reply.text });
        if (conversation === this.#id) this.#parts.composer.value = reply.text;
        await attempt(() => Promise.reject(error));
      }
      this.#render();
      return;
    }
    await refresh();
    this.#setReply(conversation, null);
    this.#render();
  }

  /** Give up sending a reply, and return its text to the composer. */
  #editReply() {
    const { composer } = this.#parts;
    const { reply, draft } = this.#drafts.of(this.#id);
    composer.value = draft || (reply?.text ?? '');
    this.#drafts.set(this.#id, { reply: null, draft: composer.value });
    this.#render();
    composer.focus();
  }

  /**
   * @param {string} conversation
   * @param {PendingReply|null} reply
   */
  #setReply(conversation, reply) {
    this.#drafts.set(conversation, { reply });
  }

  #listen() {
    const { claim, note, handBack, close, form, composer, scroller } = this.#parts;
    claim.addEventListener('click', () => this.#onClaim());
    note.addEventListener('click', () => this.#onNote());
    handBack.addEventListener('click', () => this.#onHandBack());
    close.addEventListener('click', () => this.#onClose());
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#onSubmit();
    });
    composer.addEventListener('keydown', (event) => {
      // While an input method composes, Enter selects a candidate.
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      form.requestSubmit();
    });
    composer.addEventListener('input', () => {
      this.#drafts.set(this.#id, { draft: composer.value });
      this.#updateSend();
    });
    scroller.addEventListener('scroll', () => { this.#followsEnd = isScrolledToEnd(scroller); }, { passive: true });
  }
}
