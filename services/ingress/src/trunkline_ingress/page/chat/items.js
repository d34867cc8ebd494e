// @ts-check
/**
 * Items of a transcript: find, append, replace and settle them. Pure.
 *
 * @import {ClientFrame, EscalationItem, EscalationStage, Item, NewItem, OwnItem, ReplyItem, State} from './types.js'
 */

/**
 * Return whether an item is a reply that still streams.
 * @param {Item} item
 * @returns {item is ReplyItem}
 */
export function isStreaming(item) {
  return item.kind === 'reply' && !item.final;
}

/**
 * Return whether an item is a pending escalation to a person.
 * @param {Item} item
 * @returns {item is EscalationItem}
 */
export function isInQueue(item) {
  return item.kind === 'escalation' && (item.stage === 'waiting' || item.stage === 'leaving');
}

/**
 * Return whether the customer has requested to leave the queue.
 * @param {State} state
 */
export function isLeaving(state) {
  return state.items.some((item) => isInQueue(item) && item.stage === 'leaving');
}

/**
 * Insert an item under a new key, by default at the end.
 * @param {State} state
 * @param {NewItem} item
 * @param {number} [at]
 * @returns {State}
 */
export function append(state, item, at = state.items.length) {
  const keyed = /** @type {Item} */ ({ ...item, key: `i${state.nextKey}` });
  return { ...state, nextKey: state.nextKey + 1, items: state.items.toSpliced(at, 0, keyed) };
}

/**
 * Replace an item.
 * @param {State} state
 * @param {number} at
 * @param {Item} item
 * @returns {State}
 */
export function replaceAt(state, at, item) {
  return { ...state, items: state.items.with(at, item) };
}

/**
 * Replace messages of the customer; return the same state if `change` returns the same items.
 * @param {State} state
 * @param {(own: OwnItem) => OwnItem} change
 * @returns {State}
 */
export function mapOwn(state, change) {
  let changed = false;
  const items = state.items.map((item) => {
    const next = item.kind === 'own' ? change(item) : item;
    if (next !== item) changed = true;
    return next;
  });
  return changed ? { ...state, items } : state;
}

/**
 * Add a frame without an acknowledgement to the outbox.
 * @param {State} state
 * @param {ClientFrame} frame
 * @returns {State}
 */
export function addControl(state, frame) {
  const entry = { key: `c${state.nextKey}`, frame };
  return { ...state, nextKey: state.nextKey + 1, controls: [...state.controls, entry] };
}

/**
 * Return the index of a turn's streaming reply in the current conversation, -1 if there is none.
 * @param {State} state
 * @param {string} turn
 */
export function findStreaming(state, turn) {
  return state.items.findIndex((item, at) => at >= state.base && isStreaming(item) && item.turn === turn);
}

/**
 * Return whether a turn has its final reply, so that a further delta of it is stale.
 * @param {State} state
 * @param {string} turn
 */
export function isTurnOver(state, turn) {
  const last = state.items.findLast((item, at) => at >= state.base
    && (item.kind === 'reply' || item.kind === 'handoff') && item.turn === turn);
  return last?.kind === 'reply' && last.final;
}

/**
 * Remove streaming replies: all, or those of one turn.
 * @param {State} state
 * @param {string} [turn]
 * @returns {State}
 */
export function dropStreaming(state, turn) {
  const items = state.items.filter((item) => !isStreaming(item) || (turn !== undefined && item.turn !== turn));
  return items.length === state.items.length ? state : { ...state, items };
}

/**
 * Set the stage of the pending escalation; `left` and `over` settle it.
 * @param {State} state
 * @param {EscalationStage} stage
 * @param {EscalationStage[]} [only]  stages from which it changes
 * @returns {State}
 */
export function settleQueue(state, stage, only = ['waiting', 'leaving']) {
  const at = state.items.findIndex((item) => isInQueue(item) && only.includes(item.stage));
  const item = state.items[at];
  return item?.kind !== 'escalation' || item.stage === stage ? state : replaceAt(state, at, { ...item, stage });
}

/**
 * Mark a message of the customer as accepted.
 * @param {State} state
 * @param {string} id
 * @returns {State}
 */
export function markAccepted(state, id) {
  return mapOwn(state, (own) => (own.id === id && own.state !== 'accepted'
    ? { ...own, state: 'accepted', held: false, trouble: null } : own));
}

/**
 * Mark messages as answered: the named one and all accepted before it, since an answer may cover several; all
 * accepted ones if the answer names none of them.
 * @param {State} state
 * @param {string|string[]|null} inReplyTo
 * @returns {State}
 */
export function markAnswered(state, inReplyTo) {
  const named = Array.isArray(inReplyTo) ? inReplyTo : [inReplyTo];
  const until = state.items.findLastIndex((item) => item.kind === 'own' && named.includes(item.id));
  const limit = until < 0 ? state.items.length : until;
  /** @type {Set<string>} */
  const settled = new Set();
  const items = state.items.map((item, at) => {
    if (item.kind !== 'own' || item.answered || item.state !== 'accepted' || at > limit) return item;
    settled.add(item.id);
    return { ...item, answered: true };
  });
  return settled.size === 0 ? state
    : { ...state, items, cut: state.cut.filter((id) => !settled.has(id)) };
}
