// @ts-check
/**
 * The conversation as a value: pure functions from a state and an event to the
 * next state. No DOM, no timers, no clock, no randomness – so the same frames
 * always give the same transcript, whether they arrive live, after a resume or
 * in a test.
 *
 * Unchanged parts keep their identity, which is what lets the view skip them.
 *
 * @typedef {{document: string, title: string, quote: string}} Citation
 * @typedef {{kind: 'own', key: string, id: string, text: string,
 *            state: 'pending'|'accepted'|'failed', sent: boolean, held: boolean,
 *            attempts: number, answered: boolean, trouble: string|null}} OwnItem
 * @typedef {{kind: 'reply', key: string, turn: string, text: string, final: boolean,
 *            specialty: string|null, agent: string|null, citations: Citation[],
 *            consulted: {specialty: string, agent: string}[]}} ReplyItem
 * @typedef {{kind: 'handoff', key: string, turn: string, from: string|null,
 *            to: string|null, reason: string, back: boolean}} HandoffItem
 * @typedef {{kind: 'escalation', key: string, turn: string, urgency: string|null,
 *            position: number|null, stage: 'senior'|'waiting'|'leaving'|'left'|'over'}} EscalationItem
 * @typedef {{id: string, text: string, severity: string, expiresAt: number}} Notice
 * @typedef {{kind: 'break'|'closed', key: string, text: string}} MarkItem
 * @typedef {OwnItem|ReplyItem|HandoffItem|EscalationItem|MarkItem} Item
 */

import { isStreaming, isInQueue, mapOwn, dropStreaming } from './items.js';

const VERSION = 2;

/** The state of a visitor who has not said anything yet. */
export function initialState() {
  return {
    version: VERSION,
    /** @type {{id: string, token: string}|null} */
    conversation: null,
    lastSeq: 0,
    ended: false,
    /** The customer asked to end; repeated after a reconnect until `closed` comes. */
    ending: false,
    /** A durable frame is missing: the socket must be replaced and resumed. */
    resync: false,
    /** The lastSeq at which a gap was last seen, so that it is asked about once. */
    gapAt: null,
    /** A `resume` is on its way; the next error is its answer. */
    resuming: false,
    /** Ids of own messages whose answer may have been cut: see `delta`. */
    cut: [],
    /** Who answers at present, as far as the frames have said. */
    specialty: null,
    /** The person who has the conversation, null while agents have it. */
    person: null,
    /** Broadcasts in force, and the ids of those that the customer has put away. */
    notices: [],
    hidden: [],
    rating: null,
    problem: null,
    /** Frames without an acknowledgement of their own, kept until they are sent. */
    controls: [],
    /** @type {Item[]} */
    items: [],
    /** Items before this index belong to a conversation that was lost. */
    base: 0,
    nextKey: 1,
  };
}


/** Own messages that the server has not finished with; a person answers when it suits. */
export function awaited(state) {
  return state.items.filter((item) => item.kind === 'own' && !item.answered && item.state !== 'failed'
    && (state.person === null || item.state !== 'accepted'));
}

/** Whether the customer waits for a person. */
export function inQueue(state) {
  return state.items.some(isInQueue);
}

/** The notices to show: in force and not put away. */
export function shownNotices(state) {
  return state.notices.filter((notice) => !state.hidden.includes(notice.id));
}

/** Whether an answer is being prepared but shows no text yet. */
export function isTyping(state) {
  return !state.ended && state.person === null
    && state.items.some((item) => item.kind === 'own' && item.state === 'accepted' && !item.answered)
    && !state.items.some(isStreaming);
}

/** Whether a reply is growing on the page. */
export function isStreamed(state) {
  return state.items.some(isStreaming);
}

/** Whether this is the moment to ask for a rating (or to thank for one). */
export function mayRate(state) {
  const last = state.items.findLast((item) => item.kind !== 'closed');
  return state.conversation !== null && !inQueue(state) && state.person === null && last?.kind === 'reply' && last.final && awaited(state).length === 0;
}


/** The state as it survives a reload: text still streaming comes again anyway. */
export function serialise(state) {
  return JSON.stringify(dropStreaming({ ...state, problem: null, resync: false, resuming: false }));
}

/** The stored state, or a fresh one when there is none that can be read. */
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

/** Forget the oldest quarter of the transcript, when the storage is full. */
export function thin(state) {
  const drop = Math.ceil(state.items.length / 4);
  const kept = state.items.filter((item, at) => at >= drop || (item.kind === 'own' && item.state === 'pending'));
  return { ...state, items: kept, base: Math.max(0, state.base - (state.items.length - kept.length)) };
}
