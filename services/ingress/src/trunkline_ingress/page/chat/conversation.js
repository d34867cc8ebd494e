// @ts-check
/** The conversation: its state and the transitions of it. */

export * from './actions.js';
export * from './frames.js';
export * from './state.js';
