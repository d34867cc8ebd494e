// @ts-check
/**
 * Requests of the operators' API. All methods reject with `OpsError`.
 *
 * @import {CurrentFleet, EscalatedConversation, FleetVersion, QueueEntry, SuiteStatus, Trace} from './types.js'
 * @import {NewNotice, NoticeStatus, Review} from './types.js'
 * @import {OpsClient} from './ops-client.js'
 */

export class OpsApi {
  #client;

  /** @param {OpsClient} client */
  constructor(client) {
    this.#client = client;
  }

  /** Return the server's time in Unix seconds. */
  now() {
    return this.#client.now();
  }

  // -- desk ---

  /**
   * Return the queue, followed by the claimed conversations.
   * @returns {Promise<QueueEntry[]>}
   */
  queue() {
    return this.#client.send('GET', 'v1/ops/desk');
  }

  /**
   * Return a conversation with its transcript.
   * @param {string} conversation
   * @returns {Promise<EscalatedConversation>}
   */
  conversation(conversation) {
    return this.#client.send('GET', `v1/ops/desk/${encodeURIComponent(conversation)}`);
  }

  /**
   * Claim the most urgent conversation.
   * @param {string} person
   * @returns {Promise<{conversation: string}>}
   */
  claimNext(person) {
    return this.#client.send('POST', 'v1/ops/desk/next', { person });
  }

  /**
   * @param {string} conversation
   * @param {{person: string}} body
   */
  claim(conversation, body) {
    return this.#command(conversation, 'claim', body);
  }

  /**
   * Reply to the customer; a repeat with the same `reply_id` is the same reply.
   * @param {string} conversation
   * @param {{person: string, reply_id: string, text: string}} body
   */
  reply(conversation, body) {
    return this.#command(conversation, 'reply', body);
  }

  /**
   * Add an internal note; a repeat with the same `note_id` is the same note.
   * @param {string} conversation
   * @param {{person: string, note_id: string, text: string}} body
   */
  addNote(conversation, body) {
    return this.#command(conversation, 'note', body);
  }

  /**
   * @param {string} conversation
   * @param {{person: string, note: string, to: string}} body  `to`: a specialty, '' for the previous owner
   */
  handBack(conversation, body) {
    return this.#command(conversation, 'hand_back', body);
  }

  /**
   * @param {string} conversation
   * @param {{person: string, reason: string}} body
   */
  close(conversation, body) {
    return this.#command(conversation, 'close', body);
  }

  /**
   * @param {string} conversation
   * @param {string} name
   * @param {object} body
   * @returns {Promise<{done: boolean}>}
   */
  #command(conversation, name, body) {
    return this.#client.send('POST', `v1/ops/desk/${encodeURIComponent(conversation)}/${name}`, body);
  }

  // -- notices ---

  /**
   * Return the active notices, oldest first.
   * @returns {Promise<NoticeStatus[]>}
   */
  notices() {
    return this.#client.send('GET', 'v1/ops/notices');
  }

  /**
   * @param {NewNotice} notice
   * @returns {Promise<NoticeStatus>}
   */
  publishNotice(notice) {
    return this.#client.send('POST', 'v1/ops/notices', notice);
  }

  /**
   * @param {string} notice
   * @returns {Promise<object>}
   */
  recallNotice(notice) {
    return this.#client.send('DELETE', `v1/ops/notices/${encodeURIComponent(notice)}`);
  }

  // -- review ---

  /**
   * Return the turns and ratings to review, latest first.
   * @returns {Promise<Review>}
   */
  review() {
    return this.#client.send('GET', 'v1/ops/review');
  }

  // -- suite ---

  /** @returns {Promise<SuiteStatus>} */
  status() {
    return this.#client.send('GET', 'v1/ops/status');
  }

  /** @returns {Promise<CurrentFleet>} */
  fleet() {
    return this.#client.send('GET', 'v1/ops/fleet');
  }

  /**
   * Return the retained versions of the fleet, oldest first.
   * @returns {Promise<FleetVersion[]>}
   */
  fleetVersions() {
    return this.#client.send('GET', 'v1/ops/fleet/versions');
  }

  /** Return the specialties of the current fleet. */
  async specialties() {
    return (await this.fleetVersions()).at(-1)?.specialties ?? [];
  }

  /**
   * Publish an older version of the fleet again.
   * @param {number} version
   * @param {string} by
   * @returns {Promise<FleetVersion>}
   */
  rollBack(version, by) {
    return this.#client.send('POST', 'v1/ops/fleet/rollback', { to: version, by });
  }

  /**
   * Return all steps of a conversation, in time order.
   * @param {string} conversation
   * @returns {Promise<Trace>}
   */
  trace(conversation) {
    return this.#client.send('GET', `v1/ops/trace/${encodeURIComponent(conversation)}`);
  }
}
