// @ts-check
/**
 * Messages of the open conversation.
 *
 * @import {TranscriptEntry} from './types.js'
 * @import {PendingReply} from './drafts.js'
 */
import { el } from '../shared/dom.js';
import { renderMarkdown } from '../shared/markdown.js';
import { addReferences } from '../shared/references.js';
import { groupSources } from '../shared/sources.js';
import { clock } from '../shared/times.js';
import { authorOfEntry, sourcesText } from './case-texts.js';
import { linkAddresses } from './links.js';

/**
 * Create the node of a message.
 * @param {TranscriptEntry} entry
 * @param {{customer: string, hueOf: (specialty: string) => number, now: number}} context
 */
export function createMessage(entry, { customer, hueOf, now }) {
  const { name, role } = authorOfEntry(entry, customer);
  const isAgent = entry.role === 'agent' && Boolean(entry.title);
  const sources = groupSources(entry.citations);
  const text = createText(entry);
  addReferences(text, sources, ({ number, title }) => el('sup', { class: 'ref' }, el('span', {
    'data-testid': 'reference', 'data-number': number, title,
  })));
  return el('article', {
    class: 'item message', 'data-testid': 'said', 'data-role': entry.role,
    'data-hue': isAgent ? hueOf(entry.specialty) : null,
  },
  el('p', { class: 'speaker' }, el('span', { class: 'specialty' }, name),
    ...(role ? [el('span', { class: 'agent' }, ` · ${role}`)] : []),
    el('time', { datetime: new Date(entry.at * 1000).toISOString() }, clock(entry.at, now))),
  text,
  ...(sources.length ? [el('p', { class: 'sources', 'data-testid': 'sources' }, sourcesText(sources))] : []));
}

/**
 * Create the text of a message as the customer sees it: Markdown, except for the customer's own words.
 * @param {TranscriptEntry} entry
 */
function createText({ role, text }) {
  const node = el('div', { class: { agent: 'text', customer: 'bubble', person: 'bubble text', note: 'bubble text' }[role] });
  if (role === 'customer') node.textContent = text;
  else renderMarkdown(node, text, { links: true });
  linkAddresses(node);
  return node;
}

/**
 * Create the node of a reply that the server has not confirmed.
 * @param {PendingReply} reply
 * @param {{person: string, onSendAgain: () => unknown, onEdit: () => unknown}} context
 */
export function createPendingReply(reply, { person, onSendAgain, onEdit }) {
  const failed = reply.state === 'failed';
  return el('article', {
    class: 'item message unsent', 'data-testid': 'unsent', 'data-role': 'person', 'data-state': reply.state,
  },
  el('p', { class: 'speaker' }, el('span', { class: 'specialty' }, person),
    el('span', { class: 'agent' }, failed ? '' : ' · sending')),
  el('div', { class: 'bubble' }, reply.text),
  ...(failed ? [el('p', { class: 'sources error' }, `${reply.reason} `,
    el('button', { type: 'button', class: 'small', 'data-testid': 'send-again', onclick: onSendAgain }, 'Send again'),
    ' ',
    el('button', { type: 'button', class: 'small', onclick: onEdit }, 'Edit'))] : []));
}
