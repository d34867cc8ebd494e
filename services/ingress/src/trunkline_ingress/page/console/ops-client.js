// @ts-check
/** HTTP client of the operators' API: authentication, timeouts, and errors as one sentence. */
import { readItem, writeItem } from '../shared/storage.js';

const TIMEOUT_MS = 15_000;
const STORED_TOKEN = 'trunkline.operator';
/** Tolerated difference between the clocks, in seconds: the `Date` header has whole seconds. */
const CLOCK_TOLERANCE_S = 2;

/** A request was rejected, or has no known outcome (`status` 0); the message is for operators. */
export class OpsError extends Error {
  /**
   * @param {number} status
   * @param {string} message
   */
  constructor(status, message) {
    super(message);
    this.status = status;
  }

  /** Whether the outcome is unknown, so that the same request may be sent again. */
  get uncertain() {
    return this.status === 0 || this.status >= 500;
  }
}

export class OpsClient {
  #requestToken;
  /** @type {Promise<void>|null} */
  #pendingToken = null;
  #token = readItem('sessionStorage', STORED_TOKEN) ?? '';
  /** The server's clock less the browser's, in seconds. */
  #clockOffsetS = 0;

  /**
   * @param {(rejected: boolean) => Promise<string>} requestToken  requests the token from the operator; `rejected`: the
   *   last one was
   */
  constructor(requestToken) {
    this.#requestToken = requestToken;
  }

  /**
   * Exchange the code of a console link for the token of a session; return whether the link was valid.
   * @param {string} code
   */
  async redeem(code) {
    const response = await this.#fetch('POST', 'v1/console/session', { code }, '');
    if (!response.ok) return false;
    this.#setToken((await response.json()).token);
    return true;
  }

  /** Return the server's time in Unix seconds; the browser's clock may be wrong. */
  now() {
    return Date.now() / 1000 + this.#clockOffsetS;
  }

  /**
   * Send a request and return the decoded reply.
   * @template Reply
   * @param {'GET'|'POST'|'DELETE'} method
   * @param {string} path  relative to the page, which may be below a path of a proxy
   * @param {object} [body]
   * @returns {Promise<Reply>}
   * @throws {OpsError}
   */
  async send(method, path, body) {
    for (;;) {
      const token = this.#token;
      const response = await this.#fetch(method, path, body, token);
      if (response.status !== 401) return this.#read(response);
      if (token === this.#token) await this.#renewToken(token !== '');
    }
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {object|undefined} body
   * @param {string} token
   */
  async #fetch(method, path, body, token) {
    const headers = new Headers(token ? { Authorization: `Bearer ${token}` } : {});
    if (body !== undefined) headers.set('Content-Type', 'application/json');
    try {
      return await fetch(path, {
        method, headers, body: body === undefined ? undefined : JSON.stringify(body),
        cache: 'no-store', signal: AbortSignal.timeout(TIMEOUT_MS),
      });
    } catch (error) {
      const timedOut = error instanceof DOMException && error.name === 'TimeoutError';
      throw new OpsError(0, timedOut ? 'The request to Trunkline timed out.' : 'Trunkline cannot be reached.');
    }
  }

  /** @param {Response} response */
  async #read(response) {
    this.#adjustClock(response);
    let text;
    try {
      text = await response.text();
    } catch {
      throw new OpsError(0, 'The connection was lost during a reply.');
    }
    const isJson = (response.headers.get('Content-Type') ?? '').startsWith('application/json');
    const reply = isJson ? JSON.parse(text) : text;
    if (response.ok) return reply;
    throw new OpsError(response.status, sentence((isJson ? reply.reason : text) || response.statusText));
  }

  /** @param {Response} response */
  #adjustClock(response) {
    const date = Date.parse(response.headers.get('Date') ?? '');
    if (!date) return;
    const offset = (date - Date.now()) / 1000;
    if (Math.abs(offset) > CLOCK_TOLERANCE_S) this.#clockOffsetS = offset;
  }

  /** @param {boolean} rejected */
  async #renewToken(rejected) {
    // Concurrent rejected requests share one dialog.
    this.#pendingToken ??= this.#requestToken(rejected).then((token) => this.#setToken(token))
      .finally(() => { this.#pendingToken = null; });
    await this.#pendingToken;
  }

  /** @param {string} token */
  #setToken(token) {
    this.#token = token;
    writeItem('sessionStorage', STORED_TOKEN, token);
  }
}

/**
 * Turn the first line of an error text into a sentence.
 * @param {string} text
 */
export function sentence(text) {
  const line = text.trim().split('\n')[0];
  return `${line.charAt(0).toUpperCase()}${line.slice(1)}${/[.!?]$/.test(line) ? '' : '.'}`;
}
