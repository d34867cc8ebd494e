// @ts-check
/**
 * The WebSocket: opens it, reopens it after growing, jittered delays, resumes the conversation on it and sends the
 * entries of the outbox.
 *
 * It holds no state of the conversation but reads it from its session each time: the stored state is the only source
 * of truth, and a reconnect does the same as the first connect.
 *
 * @import {ClientFrame, ConnectionState, OutboxEntry, ServerFrame} from './types.js'
 *
 * @typedef {object} Session
 * @property {() => ClientFrame|null} resume  the `resume` frame; null without a conversation
 * @property {() => ClientFrame} start  the `start` frame
 * @property {() => OutboxEntry[]} outbox
 * @property {() => boolean} isOver  the conversation has ended: do not reconnect
 * @property {() => boolean} isWaiting  an answer is due: long silence means a broken connection
 * @property {() => void} onResuming
 * @property {(frame: ServerFrame) => void} onFrame
 * @property {(entry: OutboxEntry) => void} onSent
 * @property {(link: {state: ConnectionState, elsewhere: boolean}) => void} onLink
 */

const PROTOCOL = 'trunkline.v1';
const INITIAL_DELAY_MS = 500;
const MAX_DELAY_MS = 15_000;
/** Time within which the server must react to a frame. */
const REPLY_TIMEOUT_MS = 15_000;
/** Types of frames that the server must react to. */
const EXPECTS_REPLY = new Set(['start', 'resume', 'message', 'request_person']);
/** Longest silence while an answer is due. */
const ANSWER_TIMEOUT_MS = 45_000;
/** A socket that stays open this long resets the number of failed attempts. */
const STABLE_MS = 10_000;
/** Close code of the server if another tab has resumed the conversation. */
const CONTINUED_ELSEWHERE = 4001;
/** Close code of the server for a socket that opened no conversation in time. */
const IDLE = 4002;
/** Close code of the page for a connection that it gives up. */
const DROPPED = 4900;
const NORMAL_CLOSURE = 1000;
const ABNORMAL_CLOSURE = 1006;

/**
 * Return the delay before an attempt, in milliseconds: doubled each time, capped, and reduced by up to half at random,
 * so that many pages do not reconnect at the same moment after an outage.
 * @param {number} attempt  number of failed attempts
 * @param {() => number} [random]
 */
export function retryDelay(attempt, random = Math.random) {
  const whole = Math.min(MAX_DELAY_MS, INITIAL_DELAY_MS * 2 ** Math.min(attempt, 10));
  return Math.round(whole * (0.5 + random() / 2));
}

/** The connection of one page. */
export class Connection {
  #url;
  #session;
  /** @type {WebSocket|null} */
  #socket = null;
  /** @type {'offline'|'resuming'|'starting'|'ready'} */
  #phase = 'offline';
  /** @type {ConnectionState} */
  #state = 'connecting';
  #attempt = 0;
  /** @type {Set<string>} */
  #sentKeys = new Set();
  #retryTimer = 0;
  #silenceTimer = 0;
  #stableTimer = 0;
  /** The server has closed an unused socket, and nothing needs another one. */
  #isIdle = false;

  /**
   * @param {string} url
   * @param {Session} session
   */
  constructor(url, session) {
    this.#url = url;
    this.#session = session;
  }

  /** Open the socket now, unless it exists; cancel a scheduled attempt. */
  connect() {
    clearTimeout(this.#retryTimer);
    this.#retryTimer = 0;
    this.#isIdle = false;
    if (this.#socket) return;
    this.#report(this.#attempt === 0 ? 'connecting' : 'reconnecting');
    const socket = new WebSocket(this.#url, PROTOCOL);
    this.#socket = socket;
    // A discarded socket may still deliver events: handle those of the current one only.
    socket.onopen = () => { if (socket === this.#socket) this.#onOpen(); };
    socket.onmessage = (event) => { if (socket === this.#socket) this.#onMessage(event.data); };
    socket.onclose = (event) => { if (socket === this.#socket) this.#onClose(event.code); };
  }

  /** Run a scheduled attempt now, for example because the network is back. */
  retryNow() {
    if (this.#retryTimer) this.connect();
  }

  /** Send the entries of the outbox that were not yet sent on this socket. */
  flush() {
    if (this.#isIdle && this.#session.outbox().length > 0) this.connect();
    if (this.#phase !== 'ready') return;
    const unsent = this.#session.outbox().filter((entry) => !this.#sentKeys.has(entry.key));
    if (unsent.length === 0) return;
    if (!this.#session.resume()) {
      // The first message starts the conversation: a mere page view costs the server nothing.
      this.#phase = 'starting';
      this.#send(this.#session.start());
      return;
    }
    // Record the keys first: `onSent` changes the state, which calls `flush` again.
    for (const entry of unsent) this.#sentKeys.add(entry.key);
    for (const entry of unsent) this.#send(entry.frame);
    for (const entry of unsent) this.#session.onSent(entry);
  }

  /** Drop the socket as a network failure would, and reconnect. */
  drop() {
    if (!this.#socket) return;
    this.#discardSocket(DROPPED);
    this.#onClose(ABNORMAL_CLOSURE);
  }

  /**
   * Replace the socket by a new one.
   * @param {ClientFrame|null} lastFrame  sent on the old socket first
   */
  restart(lastFrame = null) {
    if (lastFrame && this.#phase === 'ready') this.#send(lastFrame);
    this.#discardSocket(NORMAL_CLOSURE);
    this.#attempt = 0;
    this.connect();
  }

  /** Close the socket and stay closed until `connect` is called. */
  close() {
    this.#isIdle = false;
    this.#discardSocket(NORMAL_CLOSURE);
    this.#report('closed');
  }

  #onOpen() {
    this.#sentKeys.clear();
    this.#stableTimer = setTimeout(() => { this.#attempt = 0; }, STABLE_MS);
    const resume = this.#session.isOver() ? null : this.#session.resume();
    if (resume) {
      this.#phase = 'resuming';
      this.#session.onResuming();
      this.#send(resume);
      return;
    }
    this.#phase = 'ready';
    this.#report('open');
    this.flush();
  }

  /** @param {string} data */
  #onMessage(data) {
    this.#stopSilenceTimer();
    /** @type {ServerFrame} */
    let frame;
    try {
      frame = JSON.parse(data);
    } catch {
      return; // If it was a durable frame, the next one reveals the gap.
    }
    const failed = this.#isHandshakeFailure(frame);
    this.#advance(frame, failed);
    const socket = this.#socket;
    this.#session.onFrame(frame);
    if (socket !== this.#socket) return; // The frame led to a new socket.
    if (failed) {
      // The server closes the socket after such an error; the timer is the fallback. The socket stays open until
      // then, because it may still be closed with CONTINUED_ELSEWHERE.
      this.#startSilenceTimer(retryDelay(this.#attempt));
      return;
    }
    if (this.#phase === 'ready') {
      this.#report('open');
      this.flush();
      if (this.#session.isWaiting()) this.#startSilenceTimer(ANSWER_TIMEOUT_MS);
    }
  }

  /**
   * Return whether a frame rejects the handshake for now.
   * @param {ServerFrame} frame
   */
  #isHandshakeFailure(frame) {
    if (frame.type !== 'error') return false;
    if (this.#phase === 'resuming') {
      // An `unauthorized` that is retryable concerns the access token, of which the next attempt has a new one.
      return frame.code !== 'not_found' && (frame.code !== 'unauthorized' || Boolean(frame.retryable));
    }
    return this.#phase === 'starting' && Boolean(frame.retryable);
  }

  /**
   * Enter phase `ready` if a frame concludes the handshake.
   * @param {ServerFrame} frame
   * @param {boolean} failed
   */
  #advance(frame, failed) {
    if (frame.type === 'resumed' || frame.type === 'started') {
      this.#phase = 'ready';
      this.#attempt = 0;
    } else if (frame.type === 'error' && !failed) {
      this.#phase = 'ready';
    }
  }

  /** @param {number} code */
  #onClose(code) {
    this.#reset();
    if (code === CONTINUED_ELSEWHERE) {
      this.#report('closed', true);
      return;
    }
    if (this.#session.isOver()) {
      this.#report('closed');
      return;
    }
    if (code === IDLE) {
      // The next message opens a socket.
      this.#isIdle = true;
      return;
    }
    this.#report('reconnecting');
    this.#retryTimer = setTimeout(() => this.connect(), retryDelay(this.#attempt));
    this.#attempt += 1;
  }

  /** @param {ClientFrame} frame */
  #send(frame) {
    this.#socket?.send(JSON.stringify(frame));
    if (EXPECTS_REPLY.has(frame.type)) {
      this.#startSilenceTimer(REPLY_TIMEOUT_MS);
    }
  }

  /**
   * Drop the connection if no frame arrives in time. A browser detects a dead peer only after minutes and cannot ping.
   * @param {number} ms
   */
  #startSilenceTimer(ms) {
    if (!this.#silenceTimer) this.#silenceTimer = setTimeout(() => this.drop(), ms);
  }

  #stopSilenceTimer() {
    clearTimeout(this.#silenceTimer);
    this.#silenceTimer = 0;
  }

  /** @param {number} code */
  #discardSocket(code) {
    const socket = this.#socket;
    this.#reset();
    clearTimeout(this.#retryTimer);
    this.#retryTimer = 0;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close(code);
  }

  #reset() {
    this.#socket = null;
    this.#phase = 'offline';
    this.#stopSilenceTimer();
    clearTimeout(this.#stableTimer);
    this.#stableTimer = 0;
  }

  /**
   * Report a changed state; `connecting` and `elsewhere` are always reported.
   * @param {ConnectionState} state
   * @param {boolean} [elsewhere]
   */
  #report(state, elsewhere = false) {
    if (state === this.#state && !elsewhere && state !== 'connecting') return;
    this.#state = state;
    this.#session.onLink({ state, elsewhere });
  }
}
