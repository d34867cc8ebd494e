// @ts-check
/**
 * The socket: opens it, opens it again after a growing, jittered delay, resumes
 * the conversation on it and sends what the outbox holds.
 *
 * It owns no conversation state. What to resume and what to send is asked of
 * `session` each time, so that the stored state stays the only truth and a
 * reconnect is the same thing as a first connect.
 *
 * @typedef {'connecting'|'open'|'reconnecting'|'closed'} LinkState
 * @typedef {object} Session
 * @property {() => object|null} resume   the `resume` frame, null without a conversation
 * @property {() => object} start         the `start` frame
 * @property {() => {key: string, frame: object}[]} outbox
 * @property {() => boolean} isOver       no reconnect is wanted: the conversation has ended
 * @property {() => boolean} isWaiting    an answer is due: long silence means something was missed
 * @property {() => void} onResuming
 * @property {(frame: object) => void} onFrame
 * @property {(entry: {key: string, frame: object}) => void} onSent
 * @property {(link: {state: LinkState, elsewhere: boolean}) => void} onLink
 */

const PROTOCOL = 'trunkline.v1';
const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 15_000;
/** A socket that stays silent this long after a question is taken for dead. */
const SILENCE_MS = 15_000;
/** Nor should an answer in the making be silent for longer than this. */
const ANSWER_SILENCE_MS = 45_000;
/** An idle socket that lives this long ends the series of failed attempts. */
const STABLE_MS = 10_000;
/** The server's close code when another tab took the conversation over. */
const CONTINUED_ELSEWHERE = 4001;
const CUT = 4900;

/**
 * The pause before an attempt: doubling, capped, and cut by up to half at random
 * so that a fleet of pages does not return in one wave after an outage.
 */
export function retryDelay(attempt, random = Math.random) {
  const whole = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(attempt, 10));
  return Math.round(whole * (0.5 + random() / 2));
}

export class Connection {
  #url;
  /** @type {Session} */
  #session;
  /** @type {WebSocket|null} */
  #socket = null;
  /** 'offline' → 'resuming' | 'starting' → 'ready' */
  #phase = 'offline';
  #state = 'connecting';
  #attempt = 0;
  #sentHere = new Set();
  #retryTimer = 0;
  #silenceTimer = 0;
  #stableTimer = 0;

  /** @param {string} url @param {Session} session */
  constructor(url, session) {
    this.#url = url;
    this.#session = session;
  }

  /** Open the socket now, unless there is one. Also ends a pending pause. */
  connect() {
    clearTimeout(this.#retryTimer);
    this.#retryTimer = 0;
    if (this.#socket) return;
    this.#report(this.#attempt === 0 ? 'connecting' : 'reconnecting');
    const socket = new WebSocket(this.#url, PROTOCOL);
    this.#socket = socket;
    // Each handler checks that its socket is still the current one: a socket
    // given up may go on delivering for a while.
    socket.onopen = () => socket === this.#socket && this.#opened();
    socket.onmessage = (event) => socket === this.#socket && this.#received(event.data);
    socket.onclose = (event) => socket === this.#socket && this.#closed(event.code);
  }

  /** Connect at once if a pause is being waited out (the network came back). */
  hurry() {
    if (this.#retryTimer) this.connect();
  }

  /** Send whatever the outbox holds and this socket has not carried yet. */
  flush() {
    if (this.#phase !== 'ready') return;
    const waiting = this.#session.outbox().filter((entry) => !this.#sentHere.has(entry.key));
    if (waiting.length === 0) return;
    if (!this.#session.resume()) {
      // Starting is left to the first message: a visitor who only looks costs
      // the server nothing.
      this.#phase = 'starting';
      this.#send(this.#session.start());
      return;
    }
    // Noting them comes first: `onSent` changes the state, which flushes again.
    for (const entry of waiting) this.#sentHere.add(entry.key);
    for (const entry of waiting) this.#send(entry.frame);
    for (const entry of waiting) this.#session.onSent(entry);
  }

  /** Give the socket up as a network cut would, and reconnect. */
  cut() {
    if (!this.#socket) return;
    this.#abandon(CUT);
    this.#closed(1006);
  }

  /** Begin afresh with a new socket, saying `farewell` on the old one first. */
  restart(farewell = null) {
    if (farewell && this.#phase === 'ready') this.#send(farewell);
    this.#abandon(1000);
    this.#attempt = 0;
    this.connect();
  }

  /** Close for good: nothing reconnects until `connect` is called. */
  close() {
    this.#abandon(1000);
    this.#report('closed');
  }

  #opened() {
    this.#sentHere.clear();
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

  #received(data) {
    clearTimeout(this.#silenceTimer);
    this.#silenceTimer = 0;
    let frame;
    try {
      frame = JSON.parse(data);
    } catch {
      return; // Not ours to judge; a missing durable frame shows as a gap.
    }
    const handshake = this.#phase === 'resuming' || this.#phase === 'starting';
    if (frame.type === 'resumed' || frame.type === 'started') {
      this.#phase = 'ready';
      this.#attempt = 0;
    }
    let failed = false;
    if (handshake && frame.type === 'error') {
      const forgotten = frame.code === 'not_found' || frame.code === 'unauthorized';
      failed = this.#phase === 'resuming' ? !forgotten : Boolean(frame.retryable);
      if (!failed) this.#phase = 'ready';
    }
    const socket = this.#socket;
    this.#session.onFrame(frame);
    if (socket !== this.#socket) return; // The frame made the page cut the socket.
    if (failed) {
      // Left open, a "continued elsewhere" would be missed; the server closes
      // the socket after such an error, and the silence timer is the backstop.
      this.#expectAnswer(retryDelay(this.#attempt));
      return;
    }
    if (this.#phase === 'ready') {
      this.#report('open');
      this.flush();
      if (this.#session.isWaiting()) this.#expectAnswer(ANSWER_SILENCE_MS);
    }
  }

  #closed(code) {
    this.#release();
    if (code === CONTINUED_ELSEWHERE) {
      this.#report('closed', true);
      return;
    }
    if (this.#session.isOver()) {
      this.#report('closed');
      return;
    }
    this.#report('reconnecting');
    this.#retryTimer = setTimeout(() => this.connect(), retryDelay(this.#attempt));
    this.#attempt += 1;
  }

  #send(frame) {
    this.#socket.send(JSON.stringify(frame));
    if (frame.type === 'start' || frame.type === 'resume' || frame.type === 'message') {
      this.#expectAnswer(SILENCE_MS);
    }
  }

  #expectAnswer(ms) {
    // A browser learns of a dead peer only after minutes and cannot ping, so a
    // question without any answer stands in for the ping.
    if (!this.#silenceTimer) this.#silenceTimer = setTimeout(() => this.cut(), ms);
  }

  #abandon(code) {
    const socket = this.#socket;
    this.#release();
    clearTimeout(this.#retryTimer);
    this.#retryTimer = 0;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close(code);
  }

  #release() {
    this.#socket = null;
    this.#phase = 'offline';
    clearTimeout(this.#silenceTimer);
    clearTimeout(this.#stableTimer);
    this.#silenceTimer = 0;
    this.#stableTimer = 0;
  }

  #report(state, elsewhere = false) {
    if (state === this.#state && !elsewhere && state !== 'connecting') return;
    this.#state = state;
    this.#session.onLink({ state, elsewhere });
  }
}
