// @ts-check
/**
 * Actions of the customer and the outbox. Pure.
 *
 * @import {OutboxEntry, State} from './types.js'
 */
import { addControl, append, isInQueue, mapOwn, settleQueue } from './items.js';
import { inQueue, isPersonRequested } from './state.js';

/** Number of hidden notices that are remembered. */
const MAX_HIDDEN = 50;

/** Text of a request for a person. */
const PERSON_REQUEST = 'I would like to talk to a person.';

/**
 * Add a message of the customer. It stays pending until the server accepts it.
 * @param {State} state
 * @param {string} id
 * @param {string} text
 * @param {number|null} [at]  Unix seconds
 * @returns {State}
 */
export function compose(state, id, text, at = null) {
  // A further message ends the question for the reason of a rating.
  const comment = state.rating === null ? null : state.comment ?? '';
  return append({ ...state, problem: null, comment }, {
    kind: 'own', id, text, at, person: false, state: 'pending', sent: false, held: false,
    attempts: 0, answered: false, trouble: null,
  });
}

/**
 * Request a person, unless the customer waits for one or talks to one.
 * @param {State} state
 * @param {string} id
 * @param {number|null} [at]  Unix seconds
 * @returns {State}
 */
export function requestPerson(state, id, at = null) {
  if (inQueue(state) || state.person !== null || isPersonRequested(state)) return state;
  return mapOwn(compose(state, id, PERSON_REQUEST, at), (own) => (own.id === id ? { ...own, person: true } : own));
}

/**
 * Record that an entry of the outbox was written to a socket.
 * @param {State} state
 * @param {OutboxEntry} entry
 * @returns {State}
 */
export function sent(state, entry) {
  const { id } = entry.frame;
  if (id !== undefined) return mapOwn(state, (own) => (own.id === id && !own.sent ? { ...own, sent: true } : own));
  const controls = state.controls.filter((control) => control.key !== entry.key);
  return controls.length === state.controls.length ? state : { ...state, controls };
}

/**
 * Send a rejected or failed message again under its id.
 * @param {State} state
 * @param {string} id
 * @returns {State}
 */
export function retry(state, id) {
  const next = mapOwn(state, (own) => {
    if (own.id !== id || own.state === 'accepted') return own;
    if (own.state === 'pending' && !own.held) return own;
    const attempts = own.state === 'failed' ? own.attempts + 1 : own.attempts;
    return { ...own, state: 'pending', held: false, trouble: null, attempts };
  });
  return next === state ? state : { ...next, problem: null };
}

/**
 * Send the text of an accepted but unanswered message again, under a new id.
 * @param {State} state
 * @param {string} oldId
 * @param {string} newId
 * @param {number|null} [at]  Unix seconds
 * @returns {State}
 */
export function askAgain(state, oldId, newId, at = null) {
  const old = state.items.find((item) => item.kind === 'own' && item.id === oldId);
  if (old?.kind !== 'own') return state;
  const cleared = mapOwn(state, (own) => (own === old ? { ...own, trouble: null } : own));
  return old.person ? requestPerson(cleared, newId, at) : compose(cleared, newId, old.text, at);
}

/**
 * Rate the conversation, once.
 * @param {State} state
 * @param {number} rating  1 to 5
 * @returns {State}
 */
export function rate(state, rating) {
  if (state.rating !== null) return state;
  return addControl({ ...state, rating }, { type: 'feedback', rating });
}

/**
 * Add the reason of a rating, once; without a text only stop asking for it.
 * @param {State} state
 * @param {string} comment
 * @returns {State}
 */
export function explainRating(state, comment) {
  if (state.rating === null || state.comment !== null) return state;
  const next = { ...state, comment };
  return comment ? addControl(next, { type: 'feedback', rating: state.rating, text: comment }) : next;
}

/**
 * Leave the queue for a person; repeated after a reconnect until the server confirms it.
 * @param {State} state
 * @returns {State}
 */
export function leaveQueue(state) {
  return settleQueue(state, 'leaving');
}

/**
 * Hide a notice.
 * @param {State} state
 * @param {string} id
 * @returns {State}
 */
export function hideNotice(state, id) {
  return state.hidden.includes(id) ? state : { ...state, hidden: [...state.hidden.slice(1 - MAX_HIDDEN), id] };
}

/**
 * Remove the notices that have expired at `now` (Unix seconds).
 * @param {State} state
 * @param {number} now
 * @returns {State}
 */
export function expireNotices(state, now) {
  const notices = state.notices.filter((notice) => now < notice.expiresAt);
  return notices.length === state.notices.length ? state : { ...state, notices };
}

/**
 * Remove the notices that the server has not repeated on the current connection.
 * @param {State} state
 * @returns {State}
 */
export function dropStaleNotices(state) {
  const notices = state.notices.filter((notice) => !notice.stale);
  return notices.length === state.notices.length ? state : { ...state, notices };
}

/**
 * Request the end of the conversation; `closed` confirms it.
 * @param {State} state
 * @returns {State}
 */
export function end(state) {
  return !state.conversation || state.ended || state.ending ? state : { ...state, ending: true };
}

/**
 * Dismiss the shown error.
 * @param {State} state
 * @returns {State}
 */
export function dismissProblem(state) {
  return state.problem ? { ...state, problem: null } : state;
}

/**
 * Record that a `resume` was sent on a new socket.
 * @param {State} state
 * @returns {State}
 */
export function resuming(state) {
  return state.resuming ? state : { ...state, resuming: true };
}

/**
 * Return the unsent entries, in order. The connection sends each key once per socket, so every retry has a new key.
 * @param {State} state
 * @returns {OutboxEntry[]}
 */
export function outbox(state) {
  if (state.ended) return state.conversation ? state.controls : [];
  /** @type {OutboxEntry[]} */
  const entries = [];
  for (const item of state.items) {
    if (item.kind === 'own' && item.state === 'pending' && !item.held) {
      entries.push({
        key: `${item.id}#${item.attempts}`,
        frame: { type: item.person ? 'request_person' : 'message', id: item.id, text: item.text },
      });
    }
  }
  if (state.conversation) {
    entries.push(...state.controls);
    const leaving = state.items.find((item) => isInQueue(item) && item.stage === 'leaving');
    if (leaving) entries.push({ key: `leave ${leaving.key}`, frame: { type: 'cancel' } });
    if (state.ending) entries.push({ key: 'end', frame: { type: 'end' } });
  }
  return entries;
}

/**
 * Return the messages of the customer that wait for another attempt.
 * @param {State} state
 */
export function heldMessages(state) {
  return state.items.filter((item) => item.kind === 'own').filter((own) => own.held);
}
