// @ts-check
/**
 * The operators' API: asks, orders, and says in one sentence what went wrong.
 */

const TIMEOUT_MS = 15_000;
const STORED_TOKEN = 'trunkline.operator';

/** The API refused, or could not be reached (`status` 0); the message is for people. */
export class OperationError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }

  /** Whether nothing is known of the outcome, so that the same order may be given again. */
  get uncertain() {
    return this.status === 0 || this.status >= 500;
  }
}

export class Operators {
  #askToken;
  #asking = null;
  #token = stored();
  #ahead = 0;

  /** @param {(refused: boolean) => Promise<string>} askToken  asks the operator for the token */
  constructor(askToken) {
    this.#askToken = askToken;
  }

  /** The server's time in Unix seconds: desks have clocks of their own. */
  now() {
    return Date.now() / 1000 + this.#ahead;
  }

  get(path) {
    return this.#call('GET', path);
  }

  post(path, body) {
    return this.#call('POST', path, body);
  }

  delete(path) {
    return this.#call('DELETE', path);
  }

  async #call(method, path, body) {
    for (;;) {
      const token = this.#token;
      const response = await this.#fetch(method, path, body, token);
      if (response.status !== 401) return this.#read(response);
      if (token === this.#token) await this.#renewToken(token !== '');
    }
  }

  async #fetch(method, path, body, token) {
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    if (body !== undefined) headers['Content-Type'] = 'application/json';
    try {
      return await fetch(path, {
        method, headers, body: body === undefined ? undefined : JSON.stringify(body),
        cache: 'no-store', signal: AbortSignal.timeout(TIMEOUT_MS),
      });
    } catch (error) {
      throw new OperationError(0, error.name === 'TimeoutError'
        ? 'Trunkline did not answer in time.' : 'Trunkline cannot be reached.');
    }
  }

  async #read(response) {
    const date = Date.parse(response.headers.get('Date') ?? '');
    // The header counts whole seconds; less than that is no difference.
    if (date && Math.abs(date / 1000 - Date.now() / 1000) > 2) this.#ahead = date / 1000 - Date.now() / 1000;
    let text;
    try {
      text = await response.text();
    } catch {
      throw new OperationError(0, 'The connection was lost in the middle of an answer.');
    }
    const isJson = (response.headers.get('Content-Type') ?? '').startsWith('application/json');
    const reply = isJson ? JSON.parse(text) : text;
    if (response.ok) return reply;
    throw new OperationError(response.status, sentence((isJson ? reply.reason : text) || response.statusText));
  }

  async #renewToken(refused) {
    // However many calls were refused, the operator is asked once.
    this.#asking ??= this.#askToken(refused).then((token) => {
      this.#token = token;
      store(token);
    }).finally(() => { this.#asking = null; });
    await this.#asking;
  }
}

function sentence(text) {
  const line = text.trim().split('\n')[0];
  return `${line.charAt(0).toUpperCase()}${line.slice(1)}${/[.!?]$/.test(line) ? '' : '.'}`;
}

function stored() {
  try {
    return sessionStorage.getItem(STORED_TOKEN) ?? '';
  } catch {
    return '';
  }
}

function store(token) {
  try {
    sessionStorage.setItem(STORED_TOKEN, token);
  } catch {
    // Refused by the browser: the token then lives as long as the page.
  }
}
