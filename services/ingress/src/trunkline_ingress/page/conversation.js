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

import { PERSON } from './names.js';

/** Where conversations wait for a person, as frames call it. */
const ESCALATION = 'escalation';

/** How often a message the server refused for now is sent again by itself. */
export const MAX_ATTEMPTS = 5;

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

// ---------------------------------------------------------------- the customer

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

// ---------------------------------------------------------------- the connection

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

// ---------------------------------------------------------------- the server

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

// ---------------------------------------------------------------- questions

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

// ---------------------------------------------------------------- storage

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

// ---------------------------------------------------------------- helpers

const isStreaming = (item) => item.kind === 'reply' && !item.final;
const isInQueue = (item) => item.kind === 'escalation' && (item.stage === 'waiting' || item.stage === 'leaving');

const isLeaving = (state) => state.items.some((item) => isInQueue(item) && item.stage === 'leaving');

function append(state, item, at = state.items.length) {
  const keyed = { ...item, key: `i${state.nextKey}` };
  return { ...state, nextKey: state.nextKey + 1, items: state.items.toSpliced(at, 0, keyed) };
}

function replaceAt(state, at, item) {
  return { ...state, items: state.items.with(at, item) };
}

function mapOwn(state, change) {
  let changed = false;
  const items = state.items.map((item) => {
    const next = item.kind === 'own' ? change(item) : item;
    if (next !== item) changed = true;
    return next;
  });
  return changed ? { ...state, items } : state;
}

function control(state, frame) {
  const entry = { key: `c${state.nextKey}`, frame };
  return { ...state, nextKey: state.nextKey + 1, controls: [...state.controls, entry] };
}

function findStreaming(state, turn) {
  return state.items.findIndex((item, at) => at >= state.base && isStreaming(item) && item.turn === turn);
}

/** A delta that overtook nothing but comes after its turn's last word is stale. */
function isTurnOver(state, turn) {
  const last = state.items.findLast((item, at) => at >= state.base
    && (item.kind === 'reply' || item.kind === 'handoff') && item.turn === turn);
  return last?.kind === 'reply' && last.final;
}

/** Remove half-streamed replies: all, or those of one turn. */
function dropStreaming(state, turn) {
  const items = state.items.filter((item) => !isStreaming(item) || (turn !== undefined && item.turn !== turn));
  return items.length === state.items.length ? state : { ...state, items };
}

/** Where the wait has come to: 'left' and 'over' end it. */
function settleQueue(state, stage, only = ['waiting', 'leaving']) {
  const at = state.items.findIndex((item) => isInQueue(item) && only.includes(item.stage));
  return at < 0 || state.items[at].stage === stage ? state : replaceAt(state, at, { ...state.items[at], stage });
}

function markAccepted(state, id) {
  return mapOwn(state, (own) => (own.id === id && own.state !== 'accepted'
    ? { ...own, state: 'accepted', held: false, trouble: null } : own));
}

/**
 * Note an answer. It settles the message it names and those accepted before it
 * (an agent may take several in one breath); an answer that names none of ours
 * settles all.
 */
function markAnswered(state, inReplyTo) {
  const named = Array.isArray(inReplyTo) ? inReplyTo : [inReplyTo];
  const until = state.items.findLastIndex((item) => item.kind === 'own' && named.includes(item.id));
  const limit = until < 0 ? state.items.length : until;
  const settled = new Set();
  const items = state.items.map((item, at) => {
    if (item.kind !== 'own' || item.answered || item.state !== 'accepted' || at > limit) return item;
    settled.add(item.id);
    return { ...item, answered: true };
  });
  return settled.size === 0 ? state
    : { ...state, items, cut: state.cut.filter((id) => !settled.has(id)) };
}
