// @ts-check
/** The server's frames: `receive` applies one frame to a state. Pure. */

import { PERSON } from '../shared/names.js';
import { isInQueue, isLeaving, append, replaceAt, mapOwn, findStreaming, isTurnOver, dropStreaming, settleQueue, markAccepted, markAnswered } from './items.js';
import { awaited } from './state.js';

/** Where conversations wait for a person, as frames call it. */
const ESCALATION = 'escalation';

/** How often a message the server refused for now is sent again by itself. */
export const MAX_ATTEMPTS = 5;


/** Apply one server frame. Unknown types change nothing. */
export function receive(state, frame) {
  if (frame === null || typeof frame !== 'object') return state;
  const handle = Object.hasOwn(HANDLERS, frame.type) ? HANDLERS[frame.type] : null;
  if (!handle) return withSeq(state, frame) ?? state;
  if (OUTSIDE_SEQUENCE.has(frame.type)) return handle(state, frame);

  // After a gap everything but the answer to the resume is untrustworthy: it
  // will be sent again, in order.
  if (state.resync) return state;
  const next = withSeq(state, frame);
  if (next) return next.resync ? next : handle(next, frame);
  // Seen before. Only the acknowledgement may still tell something: the repeat
  // of a message is answered as the first was, with the first sequence number.
  return frame.type === 'accepted' ? markAccepted(state, frame.id) : state;
}

const OUTSIDE_SEQUENCE = new Set(['started', 'resumed', 'error', 'notice', 'notice_recalled']);

/** Take note of a frame's seq; null when the frame was seen before. */
function withSeq(state, frame) {
  if (!Number.isInteger(frame.seq)) return state;
  if (frame.seq <= state.lastSeq) return null;
  // A gap that a resume did not fill is the server's last word on it: asking
  // again would reconnect forever, so the second time it is passed over.
  if (frame.seq > state.lastSeq + 1 && state.gapAt !== state.lastSeq) {
    return { ...state, resync: true, gapAt: state.lastSeq };
  }
  return { ...state, lastSeq: frame.seq };
}

const HANDLERS = {
  started(state, frame) {
    return {
      ...state,
      conversation: { id: frame.conversation, token: frame.resume_token },
      lastSeq: Number.isInteger(frame.seq) ? frame.seq : 0,
      gapAt: null, resync: false, resuming: false, problem: null, notices: [],
    };
  },

  resumed(state, frame) {
    if (!frame.recovered) return lose(state);
    // What is in force is told again; what was recalled meanwhile is not.
    const next = dropStreaming({ ...state, resync: false, resuming: false, problem: null, notices: [] });
    return { ...next, cut: awaited(next).filter((own) => own.sent).map((own) => own.id) };
  },

  accepted(state, frame) {
    return markAccepted(state, frame.id);
  },

  delta(state, frame) {
    const at = findStreaming(state, frame.turn);
    if (at >= 0) {
      const item = state.items[at];
      const text = frame.replace ? frame.text : item.text + frame.text;
      return replaceAt(state, at, { ...item, text });
    }
    if (isTurnOver(state, frame.turn)) return state;
    // The beginning of this turn may have gone down with the last socket. A
    // fragment from its middle would read as nonsense, so the typing indicator
    // stays until the text is given whole.
    if (state.cut.length > 0 && !frame.replace) return state;
    return append(state, {
      kind: 'reply', turn: frame.turn, text: frame.text, final: false,
      specialty: state.specialty, agent: null, citations: [], consulted: [],
    });
  },

  message(state, frame) {
    const reply = {
      kind: 'reply', turn: frame.turn, text: frame.text, final: true,
      specialty: frame.specialty ?? state.specialty, agent: frame.agent ?? null,
      citations: Array.isArray(frame.citations) ? frame.citations : [],
      consulted: Array.isArray(frame.consulted) ? frame.consulted : [],
    };
    const next = markAnswered({
      ...state, specialty: reply.specialty, problem: null,
      // Whoever spoke last has the conversation, whatever an ephemeral frame said.
      person: reply.specialty === PERSON ? reply.agent ?? '' : null,
    }, frame.in_reply_to);
    const at = findStreaming(next, frame.turn);
    return at >= 0 ? replaceAt(next, at, { ...reply, key: next.items[at].key }) : append(next, reply);
  },

  handoff(state, frame) {
    const to = frame.to ?? null;
    const divider = {
      kind: 'handoff', turn: frame.turn, from: frame.from ?? null, to, reason: frame.reason ?? '',
      // From a person, or from the wait for one.
      back: frame.from === PERSON || (frame.from === ESCALATION && isLeaving(state)),
    };
    let next = { ...state, specialty: to ?? state.specialty };
    if (to === PERSON) {
      next = { ...settleQueue(next, 'over'), person: next.person ?? '' };
    } else if (divider.from === PERSON) {
      // What was said to the person is with the person's notes now: no answer is due.
      next = markAnswered({ ...next, person: null }, null);
    } else if (divider.from === ESCALATION) {
      next = settleQueue(next, 'left', ['leaving']);
    }
    const at = findStreaming(next, frame.turn);
    if (at < 0) return append(next, divider);
    const marked = replaceAt(next, at, { ...next.items[at], specialty: next.specialty });
    return append(marked, divider, at);
  },

  escalated(state, frame) {
    let next = dropStreaming(state, frame.turn);
    // From a person who fell silent it goes back to the queue, and no turn is open.
    if (next.person !== null) next = { ...markAnswered(next, null), person: null };
    const place = { turn: frame.turn, urgency: frame.urgency ?? null, position: frame.position ?? null };
    if (frame.level === 'senior') return append(next, { kind: 'escalation', ...place, stage: 'senior' });
    const at = next.items.findIndex(isInQueue);
    return at >= 0
      ? replaceAt(next, at, { ...next.items[at], ...place })
      : append(next, { kind: 'escalation', ...place, stage: 'waiting' });
  },

  position(state, frame) {
    if (frame.claimed_by) {
      const next = settleQueue(state, 'over');
      return next.person === frame.claimed_by ? next : { ...next, person: frame.claimed_by };
    }
    const at = state.items.findIndex(isInQueue);
    const item = state.items[at];
    if (at < 0 || (item.position === frame.position && item.urgency === frame.urgency)) return state;
    return replaceAt(state, at, { ...item, position: frame.position, urgency: frame.urgency });
  },

  notice(state, frame) {
    const notice = {
      id: frame.id, text: frame.text, severity: frame.severity ?? 'info',
      // A server that says nothing of an end means: as long as it stands.
      expiresAt: frame.expires_at || Number.MAX_SAFE_INTEGER,
    };
    return { ...state, notices: [...state.notices.filter((other) => other.id !== notice.id), notice] };
  },

  notice_recalled(state, frame) {
    const notices = state.notices.filter((notice) => notice.id !== frame.id);
    return notices.length === state.notices.length ? state : { ...state, notices };
  },

  closed(state, frame) {
    let next = dropStreaming(markAnswered(settleQueue(state, 'over'), null));
    next = mapOwn(next, (own) => (own.state === 'pending'
      ? { ...own, state: 'failed', held: false, trouble: 'The conversation had ended.' } : own));
    next = { ...next, ended: true, ending: false, person: null, problem: null };
    return append(next, { kind: 'closed', text: frame.reason ?? '' });
  },

  error(state, frame) {
    const lost = frame.code === 'not_found' || frame.code === 'unauthorized';
    if (state.resuming && lost) return lose(state);
    if (state.resuming) return state; // The connection tries the resume again.
    if (frame.id !== undefined && frame.id !== null) return messageError(state, frame);

    const problem = { code: frame.code, message: frame.message, retryable: Boolean(frame.retryable) };
    let next = state;
    if (frame.retryable) {
      next = mapOwn(state, (own) => (own.state === 'pending' && own.sent ? refuse(own, frame) : own));
    } else if (!state.conversation || frame.code === 'bad_frame' || frame.code === 'too_large') {
      next = mapOwn(state, (own) => (own.state === 'pending' && (own.sent || !state.conversation)
        ? { ...own, state: 'failed', held: false, trouble: frame.message } : own));
    }
    return { ...next, problem };
  },
};

/** An error that names the message it is about. */
function messageError(state, frame) {
  const next = mapOwn(state, (own) => {
    if (own.id !== frame.id) return own;
    if (own.state === 'accepted') return own.answered ? own : { ...own, answered: true, trouble: frame.message };
    if (frame.retryable) return refuse(own, frame);
    return { ...own, state: 'failed', held: false, trouble: frame.message };
  });
  return { ...next, cut: next.cut.filter((id) => id !== frame.id) };
}

/** Hold a message back for a later attempt, or give it up after too many. */
function refuse(own, frame) {
  const attempts = own.attempts + 1;
  return attempts >= MAX_ATTEMPTS
    ? { ...own, attempts, state: 'failed', held: false, trouble: frame.message }
    : { ...own, attempts, held: true };
}

/**
 * The server no longer knows the conversation. What was said stays as history;
 * unacknowledged messages stay in the outbox and open the new conversation.
 */
function lose(state) {
  if (!state.conversation) return { ...state, resuming: false, resync: false };
  let next = dropStreaming(settleQueue(state, 'over'));
  next = mapOwn(next, (own) => {
    if (own.state === 'accepted' && !own.answered) {
      return { ...own, answered: true, trouble: 'This was not answered.' };
    }
    return own.state === 'pending' ? { ...own, sent: false, held: false } : own;
  });
  next = {
    ...next, conversation: null, lastSeq: 0, gapAt: null, resync: false, resuming: false,
    ending: false, cut: [], specialty: null, person: null, notices: [], rating: null, problem: null, controls: [],
  };
  // Unsent messages belong to what comes next, so the divider goes above them.
  const isOutgoing = (item) => item.kind === 'own' && item.state === 'pending';
  const history = next.items.filter((item) => !isOutgoing(item));
  const outgoing = next.items.filter(isOutgoing);
  next = append({ ...next, items: history }, {
    kind: 'break',
    text: 'The conversation above could not be recovered. What you write now starts a new one.',
  });
  return { ...next, base: next.items.length, items: [...next.items, ...outgoing] };
}
