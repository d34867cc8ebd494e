// @ts-check
/** Elements of the panel with the open conversation. */
import { el, icon } from '../shared/dom.js';

/** Create the elements; `root` lists those to append to the panel, in order. */
export function createCaseLayout() {
  const title = el('h2', { id: 'case-title', tabindex: -1 });
  const urgency = el('span', { class: 'urgency' });
  const facts = el('p', { class: 'facts' });
  const traceLink = el('a', { 'data-testid': 'to-trace' }, 'Trace');
  const note = el('button', { type: 'button', class: 'quiet', 'data-testid': 'write-note' }, 'Note');
  const handBack = el('button', { type: 'button', class: 'quiet', 'data-testid': 'hand-back' }, 'Hand back');
  const close = el('button', { type: 'button', class: 'quiet', 'data-testid': 'close' }, 'Close');
  const head = el('header', { class: 'case-head' }, el('a', { class: 'back', href: '#desk' }, 'Queue'),
    el('div', { class: 'case-title' }, el('div', { class: 'case-name' }, title, urgency), facts),
    el('div', { class: 'case-actions' }, traceLink, note, handBack, close));

  const summaryLines = el('ul');
  const summary = el('details', { class: 'summary', 'data-testid': 'summary' },
    el('summary', {}, 'Summary'), summaryLines);
  const customerFacts = el('dl');
  const customer = el('details', { class: 'summary customer', open: true, 'data-testid': 'customer' },
    el('summary', {}, 'Customer'), customerFacts);
  const log = el('div', { class: 'log', role: 'log', 'aria-label': 'Transcript', 'data-testid': 'log' });
  const pending = el('div', { class: 'log' });
  const scroller = el('div', { class: 'scroller', tabindex: 0, role: 'region', 'aria-labelledby': 'case-title' },
    el('div', { class: 'column' }, customer, summary, log, pending));

  const standing = el('p', { class: 'standing', 'data-testid': 'standing', role: 'status' });
  const claim = el('button', { type: 'button', class: 'primary', 'data-testid': 'claim' }, 'Claim this conversation');
  const composer = el('textarea', {
    id: 'reply', rows: 1, maxlength: 8000, placeholder: 'Write to the customer', enterkeyhint: 'send',
    'data-testid': 'reply',
  });
  const send = el('button', { type: 'submit', class: 'send', 'aria-label': 'Send', 'data-testid': 'send' }, icon('up'));
  const form = el('form', { class: 'composer', autocomplete: 'off' },
    el('label', { class: 'visually-hidden', for: 'reply' }, 'Your reply'), composer, send);
  const foot = el('footer', { class: 'case-foot' }, el('div', { class: 'column' }, standing, claim, form));

  const empty = el('p', { class: 'empty', 'data-testid': 'no-case' });
  return {
    root: [empty, head, scroller, foot],
    empty, head, title, urgency, facts, traceLink, note, handBack, close, scroller, customer, customerFacts, summary, summaryLines,
    log, pending,
    foot, standing, claim, form, composer, send,
  };
}
