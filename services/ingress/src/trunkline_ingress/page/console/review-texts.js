// @ts-check
/**
 * Texts of the turns and ratings to review. Pure.
 *
 * @import {ReviewItem, ReviewKind} from './types.js'
 */
import { specialtyName } from '../shared/names.js';
import { clock } from '../shared/times.js';

/** @type {Record<ReviewKind, string>} */
export const REVIEW_TITLES = { unanswered: 'Unanswered', low_rating: 'Low ratings', misroute: 'Misroutes' };

/** @type {Record<ReviewKind, string>} */
export const REVIEW_HINTS = {
  unanswered: 'Questions that the knowledge base does not answer: write or change an article.',
  low_rating: 'Conversations rated 1 or 2 of 5.',
  misroute: 'Turns that were handed off or escalated right after routing, or escalated after an unanswered one: '
    + 'add examples to the agents.',
};

/**
 * Return the facts of an item in one line.
 * @param {ReviewItem} item
 * @param {number} now
 */
export function reviewFacts({ at, specialty, to, rating, tenant }, now) {
  const names = [specialty, to].filter(Boolean).map(specialtyName);
  return [
    clock(at, now), ...(rating ? [`rated ${rating} of 5`] : []), ...(names.length ? [names.join(' → ')] : []),
    ...(tenant && tenant !== 'default' ? [tenant] : []),
  ].join(' · ');
}

/**
 * Describe the period that the lists cover.
 * @param {number} since  0 if no conversation was read
 * @param {number} now
 */
export function periodText(since, now) {
  return since ? `Since ${clock(since, now)}, at most 100 of each kind.` : 'No conversation yet.';
}
