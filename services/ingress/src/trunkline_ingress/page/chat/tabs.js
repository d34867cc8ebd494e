// @ts-check
/**
 * Several tabs with one conversation: one of them has the connection and writes the stored state, the others follow it.
 * Pure.
 *
 * @import {State} from './types.js'
 */
import { isBegun } from './state.js';

/**
 * Decide what a stored state of another tab means for this one.
 *
 *     ignore   this tab has a conversation of its own to show
 *     follow   show the stored conversation, which another tab continues
 *     end      show the stored conversation, which has ended
 *     reset    the other tab has started over: so does this one
 *
 * @param {State} state
 * @param {State} stored
 * @param {boolean} elsewhere  this tab follows another one
 * @returns {'ignore'|'follow'|'end'|'reset'}
 */
export function onStored(state, stored, elsewhere) {
  if (!elsewhere && isBegun(state) && !state.ended) return 'ignore';
  if (!isBegun(stored)) return isBegun(state) ? 'reset' : 'ignore';
  return stored.ended ? 'end' : 'follow';
}

/**
 * Return whether this tab may write its state over the stored one: it must have the connection, and a page on which
 * nothing has happened must not erase a conversation.
 * @param {State} state
 * @param {boolean} elsewhere
 * @param {() => State} loadStored
 */
export function mayStore(state, elsewhere, loadStored) {
  return !elsewhere && (isBegun(state) || !isBegun(loadStored()));
}

/**
 * Return the stored state with the notices that were hidden in either tab.
 * @param {State} state
 * @param {State} stored
 * @returns {State}
 */
export function adopt(state, stored) {
  return { ...stored, hidden: [...new Set([...stored.hidden, ...state.hidden])] };
}
