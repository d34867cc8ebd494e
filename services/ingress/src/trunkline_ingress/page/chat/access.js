// @ts-check
/**
 * The customer's access token, from the page that shows the chat in a frame.
 *
 * The chat sends `{type: 'trunkline.token_request'}` to that page before it connects, and the page answers with
 * `{type: 'trunkline.token', token}`; it may send a new token at any time. Only origins in TRUNKLINE_EDGE_EMBED_ORIGINS
 * can show the chat in a frame, so that the parent window is one of them.
 */

const TIMEOUT_MS = 3_000;

/** Access token of the customer; empty without a host page. */
export class AccessToken {
  #token = '';
  /** @type {(() => void)|null} */
  #received = null;

  /** @param {() => void} onChange  called if the host page has sent another token */
  constructor(onChange) {
    window.addEventListener('message', ({ source, data }) => {
      if (source !== window.parent || source === window) return;
      if (data?.type !== 'trunkline.token' || typeof data.token !== 'string') return;
      const isNew = data.token !== this.#token;
      this.#token = data.token;
      this.#received?.();
      if (isNew) onChange();
    });
  }

  /** Request a token from the host page, and wait until it has answered; without a host page do nothing. */
  async refresh() {
    if (window.parent === window) return;
    const answered = new Promise((resolve) => {
      this.#received = () => resolve(undefined);
      setTimeout(resolve, TIMEOUT_MS);
    });
    // The request holds no secret, and the browser admits only permitted host pages.
    window.parent.postMessage({ type: 'trunkline.token_request' }, '*');
    await answered;
  }

  /**
   * Return the fields that a `start` frame must have for this token: itself, and whom it belongs to.
   * @returns {Record<string, string>}
   */
  startFields() {
    if (!this.#token) return {};
    const { sub, tenant, region } = claims(this.#token);
    return { ...this.fields(), ...(sub && { customer: sub }), ...(tenant && { tenant }), ...(region && { region }) };
  }

  /**
   * Return the field of a frame; none without a token.
   * @returns {Record<string, string>}
   */
  fields() {
    return this.#token ? { token: this.#token } : {};
  }

  /** Return the headers of a request. */
  headers() {
    return new Headers(this.#token ? { Authorization: `Bearer ${this.#token}` } : {});
  }
}

/**
 * Read the claims of a token; the server verifies them.
 * @param {string} token
 * @returns {{sub?: string, tenant?: string, region?: string}}
 */
export function claims(token) {
  try {
    const payload = token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/');
    const bytes = Uint8Array.from(atob(payload), (character) => character.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return {};
  }
}
