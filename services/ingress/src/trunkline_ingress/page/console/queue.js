// @ts-check
/**
 * The escalation queue: order and texts of its entries. Pure.
 *
 * @import {QueueEntry} from './types.js'
 */
import { customerName, prettify } from '../shared/names.js';
import { clock, dueIn, span } from '../shared/times.js';

/**
 * Return the unclaimed entries, in order.
 * @param {QueueEntry[]} entries
 */
export function waitingEntries(entries) {
  return entries.filter((entry) => !entry.claimed_by);
}

/**
 * Return the entries that `person` has claimed, in order.
 * @param {QueueEntry[]} entries
 * @param {string} person
 */
export function ownEntries(entries, person) {
  return entries.filter((entry) => isClaimedBy(entry, person));
}

/**
 * Return the entries that others than `person` have claimed, in order.
 * @param {QueueEntry[]} entries
 * @param {string} person
 */
export function othersEntries(entries, person) {
  return entries.filter((entry) => entry.claimed_by && !isClaimedBy(entry, person));
}

/**
 * Return whether `person` has claimed an entry.
 * @param {QueueEntry|null} entry
 * @param {string} person
 */
export function isClaimedBy(entry, person) {
  return entry !== null && entry.claimed_by !== '' && entry.claimed_by === person;
}

/**
 * Return the texts and figures of an entry.
 * @param {QueueEntry} entry
 * @param {string} person  the operator
 * @param {number} now
 */
export function describeEntry(entry, person, now) {
  const { claimed_by: owner } = entry;
  const waiting = span(now - entry.since);
  const used = (now - entry.since) / Math.max(1, entry.due_at - entry.since);
  return {
    position: entry.position ? String(entry.position) : '',
    customer: customerName(entry.customer),
    message: entry.last_message || prettify(entry.reason),
    since: owner ? `${owner === person ? '' : `with ${owner} · `}escalated ${waiting} ago` : `waiting ${waiting}`,
    gone: entry.gone_since ? goneText(entry.gone_since, now) : '',
    due: dueIn(entry.due_at, now),
    overdue: now > entry.due_at,
    slaPercent: Math.min(100, Math.max(0, used * 100)),
  };
}

/**
 * Describe a customer who has closed the page.
 * @param {number} since
 * @param {number} now
 */
export function goneText(since, now) {
  return `gone since ${clock(since, now)}`;
}

/**
 * Describe a queue that cannot be updated.
 * @param {{message: string, uncertain: boolean}} failure  a sentence; `uncertain`: the request is sent again
 * @param {number} updatedAt  time of the last update, 0 if there was none
 * @param {number} now
 */
export function failureText({ message, uncertain }, updatedAt, now) {
  if (!uncertain) return message;
  const age = updatedAt ? ` The list is as of ${clock(updatedAt, now, { second: '2-digit' })}.` : '';
  return `${message}${age} Trying again.`;
}

/**
 * Count unread messages and waiting conversations in words: `2 unread, 1 waiting`; '' if there are none.
 * @param {{unread: number, waiting: number}} counts
 */
export function countsText({ unread, waiting }) {
  return [...(unread ? [`${unread} unread`] : []), ...(waiting ? [`${waiting} waiting`] : [])].join(', ');
}

/**
 * Describe the length of the queue.
 * @param {number} count  at least 1
 */
export function waitingText(count) {
  return `${count === 1 ? 'One conversation is' : `${count} conversations are`} waiting for a person`;
}
