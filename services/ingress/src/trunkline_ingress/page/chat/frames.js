// @ts-check
/**
 * Frames of the server: `receive` applies one frame to a state. Pure.
 *
 * @import {ErrorFrame, HandoffItem, Item, Notice, OwnItem, ReplyItem, ServerFrame, State} from './types.js'
 */
import { PERSON } from '../shared/names.js';
import {
  append, dropStreaming, findStreaming, isInQueue, isLeaving, isTurnOver, mapOwn, markAccepted, markAnswered,
  replaceAt, settleQueue,
} from './items.js';
import { awaited } from './state.js';

/** Pseudo-specialty of a conversation that waits for a person. */
const ESCALATION = 'escalation';

/** Attempts to send a message that the server rejects with a retryable error. */
export const MAX_ATTEMPTS = 5;

/**
 * Apply a frame. Unknown types change nothing.
 * @param {State} state
 * @param {ServerFrame} frame
 * @returns {State}
 */
export function receive(state, frame) {
  if (frame === null || typeof frame !== 'object') return state;
  const handle = Object.hasOwn(HANDLERS, frame.type)
    ? /** @type {(state: State, frame: ServerFrame) => State} */ (HANDLERS[frame.type]) : null;
  if (!handle) return withSeq(state, frame) ?? state;
  if (OUTSIDE_SEQUENCE.has(frame.type)) return handle(state, frame);

  // After a gap only the reply to `resume` is reliable: all other frames will be sent again, in order.
  if (state.resync) return state;
  const next = withSeq(state, frame);
  if (next) return next.resync ? next : handle(next, frame);
  // A repeated message is accepted again under its first sequence number.
  return frame.type === 'accepted' ? markAccepted(state, frame.id) : state;
}

/**
 * Mark notices as those of an earlier connection. The server repeats the active ones, but not the recalls of the
 * interruption: `dropStaleNotices` follows. Until then they stay, so that none is announced a second time.
 * @param {Notice[]} notices
 */
function stale(notices) {
  return notices.map((notice) => ({ ...notice, stale: true }));
}

const OUTSIDE_SEQUENCE = new Set(['started', 'resumed', 'error', 'notice', 'notice_recalled']);

/**
 * Record a frame's sequence number; return null if the frame was received before.
 * @param {State} state
 * @param {{type: string, seq?: number}} frame
 * @returns {State|null}
 */
function withSeq(state, { seq }) {
  if (seq === undefined || !Number.isInteger(seq)) return state;
  if (seq <= state.lastSeq) return null;
  // A gap that a resume did not fill is skipped: another resume would not fill it either, and the page would reconnect
  // indefinitely.
  if (seq > state.lastSeq + 1 && state.gapAt !== state.lastSeq) {
    return { ...state, resync: true, gapAt: state.lastSeq };
  }
  return { ...state, lastSeq: seq };
}

/** @type {{[Type in ServerFrame['type']]: (state: State, frame: Extract<ServerFrame, {type: Type}>) => State}} */
const HANDLERS = {
  started(state, frame) {
    return {
      ...state,
      conversation: { id: frame.conversation, token: frame.resume_token },
      lastSeq: Number.isInteger(frame.seq) ? frame.seq : 0,
      gapAt: null, resync: false, resuming: false, problem: null, notices: stale(state.notices),
    };
  },

  resumed(state, frame) {
    if (!frame.recovered) return lose(state);
    const next = dropStreaming({
      ...state, resync: false, resuming: false, problem: null, notices: stale(state.notices),
    });
    return { ...next, cut: awaited(next).filter((own) => own.sent).map((own) => own.id) };
  },

  accepted(state, frame) {
    return markAccepted(state, frame.id);
  },

  delta(state, frame) {
    const at = findStreaming(state, frame.turn);
    const item = state.items[at];
    if (item?.kind === 'reply') {
      const text = frame.replace ? frame.text : item.text + frame.text;
      return replaceAt(state, at, { ...item, text });
    }
    if (isTurnOver(state, frame.turn)) return state;
    // The beginning of this turn may have been lost with the last socket. Rather than a fragment, the typing
    // indicator is shown until a delta with `replace` or the final message.
    if (state.cut.length > 0 && !frame.replace) return state;
    return append(state, {
      kind: 'reply', turn: frame.turn, text: frame.text, final: false,
      specialty: state.specialty, agent: null, title: '', at: null, citations: [], consulted: [],
    });
  },

  message(state, frame) {
    /** @type {Omit<ReplyItem, 'key'>} */
    const reply = {
      kind: 'reply', turn: frame.turn, text: frame.text, final: true,
      specialty: frame.specialty ?? state.specialty, agent: frame.agent ?? null,
      title: frame.title ?? '', at: frame.at || null,
      citations: Array.isArray(frame.citations) ? frame.citations : [],
      consulted: Array.isArray(frame.consulted) ? frame.consulted : [],
    };
    const next = markAnswered({
      ...state, specialty: reply.specialty, problem: null,
      // The author of the last reply owns the conversation; a durable frame overrides an ephemeral one.
      person: reply.specialty === PERSON ? reply.agent ?? '' : null,
    }, frame.in_reply_to);
    const at = findStreaming(next, frame.turn);
    return at >= 0 ? replaceAt(next, at, { ...reply, key: next.items[at].key }) : append(next, reply);
  },

  handoff(state, frame) {
    const to = frame.to ?? null;
    /** @type {Omit<HandoffItem, 'key'>} */
    const divider = {
      kind: 'handoff', turn: frame.turn, from: frame.from ?? null, to, reason: frame.reason ?? '',
      back: frame.from === PERSON || (frame.from === ESCALATION && isLeaving(state)),
    };
    let next = { ...state, specialty: to ?? state.specialty };
    if (to === PERSON) {
      next = { ...settleQueue(next, 'over'), person: next.person ?? '' };
    } else if (divider.from === PERSON) {
      // The person's note covers the messages so far: no answer is due.
      next = markAnswered({ ...next, person: null }, null);
    } else if (divider.from === ESCALATION) {
      next = settleQueue(next, 'left', ['leaving']);
    }
    const at = findStreaming(next, frame.turn);
    const streaming = next.items[at];
    if (streaming?.kind !== 'reply') return append(next, divider);
    const marked = replaceAt(next, at, { ...streaming, specialty: next.specialty });
    return append(marked, divider, at);
  },

  escalated(state, frame) {
    let next = dropStreaming(state, frame.turn);
    // A silent person has lost the conversation to the queue: no turn is open.
    if (next.person !== null) next = { ...markAnswered(next, null), person: null };
    const position = { turn: frame.turn, urgency: frame.urgency ?? null, position: frame.position ?? null };
    if (frame.level === 'senior') return append(next, { kind: 'escalation', ...position, stage: 'senior' });
    const at = next.items.findIndex(isInQueue);
    const pending = next.items[at];
    return pending?.kind === 'escalation'
      ? replaceAt(next, at, { ...pending, ...position })
      : append(next, { kind: 'escalation', ...position, stage: 'waiting' });
  },

  position(state, frame) {
    if (frame.claimed_by) {
      const next = settleQueue(state, 'over');
      return next.person === frame.claimed_by ? next : { ...next, person: frame.claimed_by };
    }
    const at = state.items.findIndex(isInQueue);
    const item = state.items[at];
    const { position, urgency } = frame;
    if (item?.kind !== 'escalation' || (item.position === position && item.urgency === urgency)) return state;
    return replaceAt(state, at, { ...item, position, urgency });
  },

  notice(state, frame) {
    const notice = {
      id: frame.id, text: frame.text, severity: frame.severity ?? 'info',
      // Without an expiry the notice is active until it is recalled.
      expiresAt: frame.expires_at || Number.MAX_SAFE_INTEGER,
      stale: false,
    };
    const at = state.notices.findIndex((other) => other.id === notice.id && other.stale);
    if (at >= 0) return { ...state, notices: state.notices.with(at, notice) };
    return { ...state, notices: [...state.notices.filter((other) => other.id !== notice.id), notice] };
  },

  notice_recalled(state, frame) {
    const notices = state.notices.filter((notice) => notice.id !== frame.id);
    return notices.length === state.notices.length ? state : { ...state, notices };
  },

  closed(state, frame) {
    let next = dropStreaming(markAnswered(settleQueue(state, 'over'), null));
    next = mapOwn(next, (own) => (own.state === 'pending'
      ? { ...own, state: 'failed', held: false, trouble: 'The conversation has already ended.' } : own));
    next = { ...next, ended: true, ending: false, person: null, problem: null };
    return append(next, { kind: 'closed', text: frame.reason ?? '' });
  },

  error(state, frame) {
    // A retryable `unauthorized` concerns the access token, not the conversation.
    const lost = frame.code === 'not_found' || (frame.code === 'unauthorized' && !frame.retryable);
    if (state.resuming && lost) return lose(state);
    if (state.resuming && frame.site) { // The connection retries; the conversation is kept for its own site.
      return { ...state, problem: { code: frame.code, message: frame.message, retryable: Boolean(frame.retryable) } };
    }
    if (state.resuming) return state; // The connection retries the resume.
    if (frame.code === 'unauthorized' && frame.retryable) return state; // The next connection has a new access token.
    if (frame.id !== undefined && frame.id !== null) return messageError(state, frame);

    const problem = { code: frame.code, message: frame.message, retryable: Boolean(frame.retryable) };
    let next = state;
    if (frame.retryable) {
      next = mapOwn(state, (own) => (own.state === 'pending' && own.sent ? reject(own, frame) : own));
    } else if (!state.conversation || frame.code === 'bad_frame' || frame.code === 'too_large') {
      next = mapOwn(state, (own) => (own.state === 'pending' && (own.sent || !state.conversation)
        ? { ...own, state: 'failed', held: false, trouble: frame.message } : own));
    }
    return { ...next, problem };
  },
};

/**
 * Apply an error about one message of the customer.
 * @param {State} state
 * @param {ErrorFrame} frame
 * @returns {State}
 */
function messageError(state, frame) {
  const next = mapOwn(state, (own) => {
    if (own.id !== frame.id) return own;
    if (own.state === 'accepted') return own.answered ? own : { ...own, answered: true, trouble: frame.message };
    if (frame.retryable) return reject(own, frame);
    return { ...own, state: 'failed', held: false, trouble: frame.message };
  });
  return { ...next, cut: next.cut.filter((id) => id !== frame.id) };
}

/**
 * Hold a message for another attempt; let it fail after `MAX_ATTEMPTS`.
 * @param {OwnItem} own
 * @param {ErrorFrame} frame
 * @returns {OwnItem}
 */
function reject(own, frame) {
  const attempts = own.attempts + 1;
  return attempts >= MAX_ATTEMPTS
    ? { ...own, attempts, state: 'failed', held: false, trouble: frame.message }
    : { ...own, attempts, held: true, waitMs: (frame.retry_after_s ?? 0) * 1000 };
}

/**
 * Give up a conversation that the server does not know. Its transcript stays as history; unaccepted messages stay in
 * the outbox and start the new conversation.
 * @param {State} state
 * @returns {State}
 */
function lose(state) {
  if (!state.conversation) return { ...state, resuming: false, resync: false };
  let next = dropStreaming(settleQueue(state, 'over'));
  next = mapOwn(next, (own) => {
    if (own.state === 'accepted' && !own.answered) {
      return { ...own, answered: true, trouble: 'This message was not answered.' };
    }
    return own.state === 'pending' ? { ...own, sent: false, held: false } : own;
  });
  next = {
    ...next, conversation: null, lastSeq: 0, gapAt: null, resync: false, resuming: false,
    ending: false, cut: [], specialty: null, person: null, notices: [], rating: null, comment: null, problem: null, controls: [],
  };
  // Pending messages belong to the new conversation: the divider precedes them.
  /** @param {Item} item */
  const isOutgoing = (item) => item.kind === 'own' && item.state === 'pending';
  const history = next.items.filter((item) => !isOutgoing(item));
  const outgoing = next.items.filter(isOutgoing);
  next = append({ ...next, items: history }, {
    kind: 'break',
    text: 'The conversation above could not be recovered. Your next message starts a new one.',
  });
  return { ...next, base: next.items.length, items: [...next.items, ...outgoing] };
}
