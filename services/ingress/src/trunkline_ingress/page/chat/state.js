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

const VERSION = 2;

/**
 * Return the state before the first message.
 * @returns {State}
 */
export function initialState() {
  return {
    version: VERSION,
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
 * Return the active notices that the customer has not hidden.
 * @param {State} state
 */
export function shownNotices(state) {
  return state.notices.filter((notice) => !state.hidden.includes(notice.id));
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

/**
 * Serialise the state for a reload, without streaming replies: they will be sent again.
 * @param {State} state
 */
export function serialise(state) {
  return JSON.stringify(dropStreaming({ ...state, problem: null, resync: false, resuming: false }));
}

/**
 * Restore a stored state; return the initial one if there is none or if it is unreadable.
 * @param {string|null} stored
 * @returns {State}
 */
export function restore(stored) {
  if (!stored) return initialState();
  try {
    const state = JSON.parse(stored);
    if (state?.version !== VERSION || !Array.isArray(state.items)) return initialState();
    return mapOwn({ ...initialState(), ...state }, (own) => (own.held ? { ...own, held: false } : own));
  } catch {
    return initialState();
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
