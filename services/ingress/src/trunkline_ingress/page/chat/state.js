// @ts-check
/**
 * State of the conversation: its initial value, questions about it, and its stored form.
 *
 * The modules `state`, `actions`, `frames` and `items` are pure functions from a state to the next one, without DOM,
 * timers, clock or randomness: the same frames give the same transcript, whether they arrive live, after a resume or
 * in a test. Unchanged parts keep their identity, which lets the view skip them.
 *
 * @import {State} from './types.js'
 */
import { dropStreaming, isInQueue, isStreaming, mapOwn } from './items.js';

const VERSION = 3;

/**
 * Return the state before the first message.
 * @param {string} [owner]  whom the conversation will belong to
 * @returns {State}
 */
export function initialState(owner = '') {
  return {
    version: VERSION,
    owner,
    conversation: null,
    lastSeq: 0,
    ended: false,
    ending: false,
    resync: false,
    gapAt: null,
    resuming: false,
    cut: [],
    specialty: null,
    person: null,
    notices: [],
    hidden: [],
    rating: null,
    comment: null,
    problem: null,
    controls: [],
    items: [],
    base: 0,
    nextKey: 1,
  };
}

/**
 * Return the customer's messages that are still to be answered; a person owes no answer to an accepted one.
 * @param {State} state
 */
export function awaited(state) {
  return state.items.filter((item) => item.kind === 'own').filter((own) => !own.answered && own.state !== 'failed'
    && (state.person === null || own.state !== 'accepted'));
}

/**
 * Return whether there is anything of a conversation.
 * @param {State} state
 */
export function isBegun(state) {
  return state.conversation !== null || state.items.length > 0;
}

/**
 * Return whether the customer waits for a person.
 * @param {State} state
 */
export function inQueue(state) {
  return state.items.some(isInQueue);
}

/**
 * Return whether a request for a person is on its way: not refused, and not answered with a place in the queue.
 * @param {State} state
 */
export function isPersonRequested(state) {
  return state.items.some((item) => item.kind === 'own' && item.person && !item.answered && item.state !== 'failed');
}

/**
 * Return the active notices that the customer has not hidden. A text that was published more than once is shown once,
 * and hidden once.
 * @param {State} state
 */
export function shownNotices(state) {
  const hidden = new Set(state.notices.filter(({ id }) => state.hidden.includes(id)).map(({ text }) => text));
  const latest = new Map(state.notices.map((notice) => [notice.text, notice]));
  return state.notices.filter((notice) => !hidden.has(notice.text) && latest.get(notice.text) === notice);
}

/**
 * Return whether an answer is due of which no text has arrived.
 * @param {State} state
 */
export function isTyping(state) {
  return !state.ended && state.person === null
    && state.items.some((item) => item.kind === 'own' && item.state === 'accepted' && !item.answered)
    && !state.items.some(isStreaming);
}

/**
 * Return whether a reply is streaming.
 * @param {State} state
 */
export function isStreamed(state) {
  return state.items.some(isStreaming);
}

/**
 * Return whether to offer a rating, or to acknowledge one: the last item is a final reply and none is due.
 * @param {State} state
 */
export function mayRate(state) {
  const last = state.items.findLast((item) => item.kind !== 'closed');
  return state.conversation !== null && !inQueue(state) && state.person === null
    && last?.kind === 'reply' && last.final && awaited(state).length === 0;
}

/** Highest rating that the customer is asked to explain. */
const LOW_RATING = 2;

/**
 * Return whether to ask for the reason of the rating.
 * @param {State} state
 */
export function asksForReason(state) {
  return state.rating !== null && state.rating <= LOW_RATING && state.comment === null;
}

/**
 * Serialise the state for a reload, without streaming replies: they will be sent again.
 * @param {State} state
 */
export function serialise(state) {
  return JSON.stringify(dropStreaming({ ...state, problem: null, resync: false, resuming: false }));
}

/**
 * Restore a stored state; return the initial one if there is none, if it is unreadable or if it belongs to another
 * customer.
 * @param {string|null} stored
 * @param {string} [owner]
 * @returns {State}
 */
export function restore(stored, owner = '') {
  const initial = initialState(owner);
  if (!stored) return initial;
  try {
    const state = JSON.parse(stored);
    if (state?.version !== VERSION || state.owner !== owner || !Array.isArray(state.items)) return initial;
    return mapOwn({ ...initial, ...state }, (own) => (own.held ? { ...own, held: false } : own));
  } catch {
    return initial;
  }
}

/**
 * Drop the oldest quarter of the transcript, except pending messages, if the storage is full.
 * @param {State} state
 * @returns {State}
 */
export function thin(state) {
  const drop = Math.ceil(state.items.length / 4);
  const kept = state.items.filter((item, at) => at >= drop || (item.kind === 'own' && item.state === 'pending'));
  return { ...state, items: kept, base: Math.max(0, state.base - (state.items.length - kept.length)) };
}
