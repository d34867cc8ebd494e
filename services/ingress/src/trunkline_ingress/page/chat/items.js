// @ts-check
/** Pure helpers over the items of a transcript: find, replace, append, settle. No DOM. */

export const isStreaming = (item) => item.kind === 'reply' && !item.final;
export const isInQueue = (item) => item.kind === 'escalation' && (item.stage === 'waiting' || item.stage === 'leaving');

export const isLeaving = (state) => state.items.some((item) => isInQueue(item) && item.stage === 'leaving');

export function append(state, item, at = state.items.length) {
  const keyed = { ...item, key: `i${state.nextKey}` };
  return { ...state, nextKey: state.nextKey + 1, items: state.items.toSpliced(at, 0, keyed) };
}

export function replaceAt(state, at, item) {
  return { ...state, items: state.items.with(at, item) };
}

export function mapOwn(state, change) {
  let changed = false;
  const items = state.items.map((item) => {
    const next = item.kind === 'own' ? change(item) : item;
    if (next !== item) changed = true;
    return next;
  });
  return changed ? { ...state, items } : state;
}

export function control(state, frame) {
  const entry = { key: `c${state.nextKey}`, frame };
  return { ...state, nextKey: state.nextKey + 1, controls: [...state.controls, entry] };
}

export function findStreaming(state, turn) {
  return state.items.findIndex((item, at) => at >= state.base && isStreaming(item) && item.turn === turn);
}

/** A delta that overtook nothing but comes after its turn's last word is stale. */
export function isTurnOver(state, turn) {
  const last = state.items.findLast((item, at) => at >= state.base
    && (item.kind === 'reply' || item.kind === 'handoff') && item.turn === turn);
  return last?.kind === 'reply' && last.final;
}

/** Remove half-streamed replies: all, or those of one turn. */
export function dropStreaming(state, turn) {
  const items = state.items.filter((item) => !isStreaming(item) || (turn !== undefined && item.turn !== turn));
  return items.length === state.items.length ? state : { ...state, items };
}

/** Where the wait has come to: 'left' and 'over' end it. */
export function settleQueue(state, stage, only = ['waiting', 'leaving']) {
  const at = state.items.findIndex((item) => isInQueue(item) && only.includes(item.stage));
  return at < 0 || state.items[at].stage === stage ? state : replaceAt(state, at, { ...state.items[at], stage });
}

export function markAccepted(state, id) {
  return mapOwn(state, (own) => (own.id === id && own.state !== 'accepted'
    ? { ...own, state: 'accepted', held: false, trouble: null } : own));
}

/**
 * Note an answer. It settles the message it names and those accepted before it
 * (an agent may take several in one breath); an answer that names none of ours
 * settles all.
 */
export function markAnswered(state, inReplyTo) {
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
