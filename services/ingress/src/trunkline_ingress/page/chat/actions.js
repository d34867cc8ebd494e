// @ts-check
/** The customer's actions and the outbox: pure functions from a state to the next state. */

import { isInQueue, append, mapOwn, control, settleQueue } from './items.js';

/** The customer writes a message. It stays pending until the server accepts it. */
export function compose(state, id, text) {
  return append({ ...state, problem: null }, {
    kind: 'own', id, text, state: 'pending', sent: false, held: false,
    attempts: 0, answered: false, trouble: null,
  });
}

/** A frame of the outbox has left on a socket. */
export function sent(state, entry) {
  if (entry.frame.type === 'message') {
    return mapOwn(state, (own) => (own.id === entry.frame.id && !own.sent ? { ...own, sent: true } : own));
  }
  const controls = state.controls.filter((control) => control.key !== entry.key);
  return controls.length === state.controls.length ? state : { ...state, controls };
}

/** Send a refused or failed message again, with the id it always had. */
export function retry(state, id) {
  const next = mapOwn(state, (own) => {
    if (own.id !== id || own.state === 'accepted') return own;
    if (own.state === 'pending' && !own.held) return own;
    return { ...own, state: 'pending', held: false, trouble: null,
             attempts: own.state === 'failed' ? own.attempts + 1 : own.attempts };
  });
  return next === state ? state : { ...next, problem: null };
}

/** Ask an accepted but unanswered question once more: a new message, a new id. */
export function askAgain(state, oldId, newId) {
  const old = state.items.find((item) => item.kind === 'own' && item.id === oldId);
  if (!old) return state;
  const cleared = mapOwn(state, (own) => (own === old ? { ...own, trouble: null } : own));
  return compose(cleared, newId, old.text);
}

/** Rate the answers; once per conversation. */
export function rate(state, rating) {
  if (state.rating !== null) return state;
  return control({ ...state, rating }, { type: 'feedback', rating });
}

/** Leave the queue for a person; repeated after a reconnect until the server confirms it. */
export function leaveQueue(state) {
  return settleQueue(state, 'leaving');
}

/** Put a notice away. */
export function hideNotice(state, id) {
  return state.hidden.includes(id) ? state : { ...state, hidden: [...state.hidden.slice(-49), id] };
}

/** Forget the notices that no longer hold at `now` (Unix seconds). */
export function expireNotices(state, now) {
  const notices = state.notices.filter((notice) => now < notice.expiresAt);
  return notices.length === state.notices.length ? state : { ...state, notices };
}

/** Ask the server to end the conversation; `closed` confirms it. */
export function end(state) {
  return !state.conversation || state.ended || state.ending ? state : { ...state, ending: true };
}

/** Put an error banner away. */
export function dismissProblem(state) {
  return state.problem ? { ...state, problem: null } : state;
}


/** A `resume` was sent on a fresh socket. */
export function resuming(state) {
  return state.resuming ? state : { ...state, resuming: true };
}

/**
 * What is still to be sent, in order. `key` names one attempt: the connection
 * sends each key once per socket, so a retry has to change it.
 */
export function outbox(state) {
  if (state.ended) return state.conversation ? state.controls : [];
  const entries = [];
  for (const item of state.items) {
    if (item.kind === 'own' && item.state === 'pending' && !item.held) {
      entries.push({
        key: `${item.id}#${item.attempts}`,
        frame: { type: 'message', id: item.id, text: item.text },
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

/** Own messages waiting for a second attempt after a passing refusal. */
export function heldMessages(state) {
  return state.items.filter((item) => item.kind === 'own' && item.held);
}
