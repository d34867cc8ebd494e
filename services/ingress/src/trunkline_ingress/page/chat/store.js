// @ts-check
/**
 * The conversation in the browser's storage, where it outlives its tab and where other tabs find it.
 *
 * @import {State} from './types.js'
 */
import { readItem, storedKey, writeItem } from '../shared/storage.js';
import { restore, serialise, thin } from './state.js';

const KEY = 'trunkline.conversation';

/**
 * Load the conversation of an owner; the initial state if there is none.
 * @param {string} owner
 */
export function load(owner) {
  return restore(readItem('localStorage', KEY), owner);
}

/**
 * Store a state as one value, so that transcript and last sequence number agree after a reload.
 * @param {State} state
 */
export function store(state) {
  let stored = state;
  while (!writeItem('localStorage', KEY, serialise(stored)) && stored.items.length > 1) stored = thin(stored);
}

/**
 * Call a listener if another tab has changed the stored conversation.
 * @param {() => void} onChange
 */
export function watch(onChange) {
  // A null key: the whole storage was cleared.
  const stored = storedKey(KEY);
  window.addEventListener('storage', ({ key }) => { if (key === stored || key === null) onChange(); });
}
