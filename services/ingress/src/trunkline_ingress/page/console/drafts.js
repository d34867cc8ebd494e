// @ts-check
/**
 * Drafts and unconfirmed replies by conversation. They survive a reload, with the reply's id, so that a retry is the
 * same reply.
 *
 * @typedef {{id: string, text: string, state: 'sending'|'failed', reason: string}} PendingReply
 * @typedef {{draft: string, reply: PendingReply|null}} Draft
 */
import { readItem, writeItem } from '../shared/storage.js';

const STORED_DRAFTS = 'trunkline.desk';

export class Drafts {
  /** @type {Record<string, Draft>} */
  #drafts = stored();

  /**
   * @param {string} conversation
   * @returns {Draft}
   */
  of(conversation) {
    return this.#drafts[conversation] ?? { draft: '', reply: null };
  }

  /**
   * Change a draft; remove it if nothing is left.
   * @param {string} conversation
   * @param {Partial<Draft>} change
   */
  set(conversation, change) {
    const changed = { ...this.of(conversation), ...change };
    if (changed.draft || changed.reply) this.#drafts[conversation] = changed;
    else delete this.#drafts[conversation];
    writeItem('sessionStorage', STORED_DRAFTS, JSON.stringify(this.#drafts));
  }
}

function stored() {
  try {
    return JSON.parse(readItem('sessionStorage', STORED_DRAFTS) ?? '{}');
  } catch {
    return {};
  }
}
