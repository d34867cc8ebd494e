// @ts-check
/**
 * The escalation queue: order and texts of its entries. Pure.
 *
 * @import {QueueEntry} from './types.js'
 */
import { customerName, prettify } from '../shared/names.js';
import { dueIn, span } from '../shared/times.js';

/**
 * Return the unclaimed entries, in order.
 * @param {QueueEntry[]} entries
 */
export function waitingEntries(entries) {
  return entries.filter((entry) => !entry.claimed_by);
}

/**
 * Return the claimed entries, those of `person` first.
 * @param {QueueEntry[]} entries
 * @param {string} person
 */
export function claimedEntries(entries, person) {
  const claimed = entries.filter((entry) => entry.claimed_by);
  return claimed.toSorted((a, b) => Number(b.claimed_by === person) - Number(a.claimed_by === person));
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
    reason: owner ? `with ${owner === person ? 'you' : owner}` : prettify(entry.reason),
    since: owner ? `escalated ${waiting} ago` : `waiting ${waiting}`,
    due: dueIn(entry.due_at, now),
    overdue: now > entry.due_at,
    slaPercent: Math.min(100, Math.max(0, used * 100)),
  };
}

/**
 * Describe the length of the queue.
 * @param {number} count  at least 1
 */
export function waitingText(count) {
  return `${count === 1 ? 'One conversation is' : `${count} conversations are`} waiting for a person`;
}
