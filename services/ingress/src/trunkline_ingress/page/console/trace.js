// @ts-check
/**
 * The trace of one conversation.
 *
 * @import {ConsoleContext, TraceProof, TraceStep} from './types.js'
 */
import { el, keyed, setText } from '../shared/dom.js';
import { clock, span } from '../shared/times.js';
import { OpsError } from './ops-client.js';
import { archivedText, milliseconds, proofState, recordFields, stepKind, withGaps } from './suite-texts.js';

/** Gaps up to this many seconds are not shown. */
const MIN_GAP_S = 1;

export class TraceView {
  #context;
  #conversation = '';
  /** @type {TraceStep[]|null} */
  #trace = null;
  #input = el('input', {
    name: 'conversation', required: true, maxlength: 64, pattern: '[A-Za-z0-9_\\-]+', placeholder: 'Conversation',
    'aria-label': 'Conversation', 'data-testid': 'trace-conversation', spellcheck: 'false',
  });
  #form = el('form', { class: 'trace-form', autocomplete: 'off' }, this.#input,
    el('button', { type: 'submit', class: 'quiet', 'data-testid': 'trace-show' }, 'Show'));
  #note = el('p', { class: 'empty', 'data-testid': 'trace-note' });
  #proof = el('p', { class: 'proof', 'data-testid': 'trace-proof' });
  #steps = el('ol', { class: 'steps', 'data-testid': 'steps' });
  /** The element of the section. */
  root = el('section', { class: 'card', 'aria-labelledby': 'trace' },
    el('div', { class: 'card-head' }, el('h2', { id: 'trace', tabindex: -1 }, 'Trace of a conversation'), this.#form),
    this.#note, this.#proof, this.#steps);

  /** @param {ConsoleContext} context */
  constructor(context) {
    this.#context = context;
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      context.navigate(`#suite/${this.#input.value.trim()}`);
      void context.refresh();
    });
  }

  /**
   * Show the trace of a conversation; '' for none.
   * @param {string} conversation
   */
  open(conversation) {
    this.#input.value = conversation;
    if (conversation !== this.#conversation) {
      this.#trace = null;
      this.#showProof(null);
    }
    this.#conversation = conversation;
    if (!conversation) {
      setText(this.#note, 'Enter the id of a conversation to see its steps. The desk links to the trace of each one.');
    } else if (this.#trace === null) {
      setText(this.#note, 'Loading');
    }
    this.#render();
    if (conversation) void this.#context.refresh();
  }

  async update() {
    const conversation = this.#conversation;
    if (!conversation) return;
    try {
      const { steps, archives, proof } = await this.#context.ops.trace(conversation);
      if (conversation !== this.#conversation) return;
      const isFirst = this.#trace === null;
      this.#trace = steps;
      setText(this.#note, archivedText(archives));
      this.#showProof(proof);
      this.#render();
      if (isFirst) this.root.scrollIntoView({ block: 'start' });
    } catch (error) {
      if (conversation !== this.#conversation || !(error instanceof OpsError) || error.uncertain) throw error;
      this.#trace = [];
      setText(this.#note, error.message);
      this.#showProof(null);
      this.#render();
    }
  }

  /** @param {TraceProof|null} proof */
  #showProof(proof) {
    this.#proof.hidden = !proof;
    this.#proof.dataset.state = proof ? proofState(proof) : '';
    setText(this.#proof, proof ? proof.summary : '');
  }

  #render() {
    this.#note.hidden = !this.#note.textContent;
    // A late step may be inserted between earlier ones, so its content identifies it.
    keyed(this.#steps, withGaps(this.#trace ?? []), ({ step }) => `${step.at} ${step.type} ${step.leaf} ${step.summary}`,
      ({ step, gap }) => this.#createStep(step, gap));
  }

  /**
   * @param {TraceStep} step
   * @param {number} gap
   */
  #createStep(step, gap) {
    const now = this.#context.ops.now();
    return el('li', { class: `step ${stepKind(step)}`, 'data-testid': 'step', 'data-type': step.type },
      el('p', { class: 'step-head' },
        el('time', { datetime: new Date(step.at * 1000).toISOString() },
          clock(step.at, now, { second: '2-digit', fractionalSecondDigits: 3 })),
        el('span', { class: 'route' }, `${step.from} → ${step.to}`),
        el('span', { class: 'kind' }, step.type),
        el('span', { class: 'duration' }, step.ms ? milliseconds(step.ms) : ''),
        el('span', { class: 'gap' }, gap > MIN_GAP_S ? `after ${span(gap)}` : '')),
      el('p', { class: 'step-text' }, step.summary),
      el('details', { class: 'step-record', 'data-testid': 'step-record' },
        el('summary', {}, 'Record'),
        el('dl', {}, ...recordFields(step).flatMap(([name, text]) => [el('dt', {}, name), el('dd', {}, text)]))));
  }
}
