// @ts-check
/**
 * Messages that the operator has read, by conversation. They survive a reload and are shared by the tabs of a browser.
 *
 * @import {QueueEntry} from './types.js'
 */
import { readItem, writeItem } from '../shared/storage.js';

const STORED_MARKS = 'trunkline.read';

/**
 * Return how many messages of a customer are neither read nor answered.
 * @param {QueueEntry} entry
 * @param {number} read  number of the customer's messages that have been read
 */
export function unreadOf({ messages, unanswered }, read) {
  return Math.max(0, Math.min(unanswered, messages - read));
}

export class ReadMarks {
  /**
   * Return the number of unread messages in a conversation.
   * @param {QueueEntry} entry
   */
  unread(entry) {
    return unreadOf(entry, stored()[entry.conversation] ?? 0);
  }

  /**
   * Mark the messages of a conversation as read, and drop the marks of conversations that are no longer listed.
   * @param {QueueEntry} entry
   * @param {QueueEntry[]} listed
   */
  mark(entry, listed) {
    const marks = stored();
    if (marks[entry.conversation] === entry.messages) return;
    const kept = listed.map(({ conversation }) => conversation).filter((conversation) => conversation in marks);
    writeItem('localStorage', STORED_MARKS, JSON.stringify({
      ...Object.fromEntries(kept.map((conversation) => [conversation, marks[conversation]])),
      [entry.conversation]: entry.messages,
    }));
  }
}

/** @returns {Record<string, number>} */
function stored() {
  try {
    return JSON.parse(readItem('localStorage', STORED_MARKS) ?? '{}') ?? {};
  } catch {
    return {};
  }
}
