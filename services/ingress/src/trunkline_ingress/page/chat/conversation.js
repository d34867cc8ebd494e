// @ts-check
/** The conversation as a value; see `state.js`. */

export * from './actions.js';
export * from './frames.js';
export * from './state.js';
