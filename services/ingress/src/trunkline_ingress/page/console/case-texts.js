// @ts-check
/**
 * Texts about an open conversation. Pure.
 *
 * @import {Customer, EscalatedConversation, QueueEntry, TranscriptEntry} from './types.js'
 * @import {Source} from '../shared/sources.js'
 */
import { prettify, specialtyName } from '../shared/names.js';
import { dueIn, span } from '../shared/times.js';
import { goneText, isClaimedBy } from './queue.js';

/**
 * Return the facts of a conversation in one line.
 * @param {QueueEntry|null} entry  null if it is not escalated
 * @param {boolean} closed
 * @param {number} now
 * @param {boolean} archived
 */
export function factsText(entry, closed, now, archived = false) {
  if (!entry && archived) return 'Closed, read from the archive';
  if (!entry) return closed ? 'Closed' : 'With the agents';
  const due = dueIn(entry.due_at, now);
  return [
    prettify(entry.reason),
    ...(entry.claimed_by ? [`reply ${due}`] : [`waiting ${span(now - entry.since)}`, due]),
    ...(entry.gone_since ? [goneText(entry.gone_since, now)] : []),
    ...(entry.breaches ? [`${entry.breaches} earlier SLA ${entry.breaches === 1 ? 'breach' : 'breaches'}`] : []),
    ...(entry.tenant === 'default' ? [] : [entry.tenant]),
  ].filter(Boolean).join(' · ');
}

/**
 * Explain why `person` cannot write, or why the customer does not see it now; '' if no explanation is needed.
 * @param {QueueEntry|null} entry
 * @param {boolean} closed
 * @param {string} person
 */
export function standingText(entry, closed, person) {
  if (closed) return 'This conversation is closed.';
  if (!entry) return 'The agents answer this conversation.';
  if (entry.claimed_by && !isClaimedBy(entry, person)) return `${entry.claimed_by} has claimed this conversation.`;
  return entry.gone_since ? 'The customer has closed the page and sees a reply on return.' : '';
}

/**
 * Split a summary into its lines; `specialty` is '' if a line names none.
 * @param {string} summary
 * @returns {{specialty: string, text: string}[]}
 */
export function summaryLines(summary) {
  return summary.split('\n').filter(Boolean).map((line) => {
    const [, specialty, text] = /^([\w-]{1,40}): (.*)$/s.exec(line) ?? [null, '', line];
    return { specialty, text };
  });
}

/**
 * List the sources of an answer, each with its number: `Sources: [1] Returns; [2] Refunds`.
 * @param {Source[]} sources
 */
export function sourcesText(sources) {
  return `Sources: ${sources.map(({ number, title }) => `[${number}] ${title}`).join('; ')}`;
}

/**
 * Return the name and the role of a message's author; the role may be ''.
 * @param {TranscriptEntry} entry
 * @param {string} customer  the customer's name
 */
export function authorOfEntry({ role, author, specialty, title }, customer) {
  switch (role) {
    case 'customer': return { name: customer, role: '' };
    case 'person': return { name: author, role: '' };
    case 'note': return { name: author, role: 'Internal note' };
    default: return title ? { name: specialtyName(specialty), role: title } : { name: 'Automatic message', role: '' };
  }
}

/**
 * Return the facts about a customer as rows: name, value and age.
 * @param {EscalatedConversation} state
 * @returns {{name: string, value: string, age: string}[]}
 */
export function customerRows({ customer, channel, locale, tier, verified }) {
  const known = customer ? knownRows(customer) : [{ name: 'Customer data', value: 'cannot be read now', age: '' }];
  const contact = [channel, locale].filter(Boolean).join(', ');
  const own = [
    ...(tier ? [{ name: 'Tier', value: tier, age: '' }] : []),
    ...(verified ? [{ name: 'Identity', value: 'verified by an access token', age: '' }] : []),
  ];
  if (!known.length && !own.length) return [];
  return [...known, ...own, ...(contact ? [{ name: 'Channel', value: contact, age: '' }] : [])];
}

/**
 * @param {Customer} customer
 * @returns {{name: string, value: string, age: string}[]}
 */
function knownRows(customer) {
  const facts = customer.facts.flatMap(({ name, value, age_s }) => {
    const age = `read ${span(age_s)} ago`;
    if (typeof value !== 'object') return [{ name: prettify(name), value: String(value), age }];
    return Object.entries(value).map(([key, text]) => ({ name: key, value: text, age }));
  });
  const claims = Object.entries(customer.claims).map(([name, value]) => ({ name: prettify(name), value, age: '' }));
  const failed = customer.readings.filter(({ failure }) => failure).map(({ reader, failure, age_s }) => (
    { name: prettify(reader), value: `not read: ${prettify(failure)}`, age: `${span(age_s)} ago` }));
  return [...facts, ...claims, ...failed];
}
