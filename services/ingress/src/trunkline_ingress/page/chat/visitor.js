// @ts-check
/**
 * Who uses the page: a customer with an access token, or a visitor with a pseudonym.
 *
 * @import {ClientFrame} from './types.js'
 * @import {AccessToken} from './access.js'
 */
import { randomId } from '../shared/ids.js';
import { readItem, writeItem } from '../shared/storage.js';

const STORED_CUSTOMER = 'trunkline.customer';

export class Visitor {
  #accessToken;

  /** @param {AccessToken} accessToken */
  constructor(accessToken) {
    this.#accessToken = accessToken;
  }

  /**
   * Identify the owner of a conversation: a signed-in customer must not see the one of another customer who used this
   * browser before.
   */
  owner() {
    /** @type {Partial<ClientFrame>} */
    const { tenant = '', region = '', customer = '' } = { ...addressFields(), ...this.#accessToken.startFields() };
    return JSON.stringify([tenant, region, customer]);
  }

  /**
   * Build the `start` frame; tenant and region are parameters of the page's address.
   * @returns {ClientFrame}
   */
  startFrame() {
    return {
      type: 'start', customer: pseudonym(), channel: 'web', locale: navigator.language || 'en',
      ...addressFields(), ...this.#accessToken.startFields(),
    };
  }
}

/** @returns {Record<string, string>} */
function addressFields() {
  const parameters = new URLSearchParams(location.search);
  /** @type {Record<string, string>} */
  const fields = {};
  for (const name of ['tenant', 'region']) {
    const value = parameters.get(name);
    if (value) fields[name] = value;
  }
  return fields;
}

/** Return the visitor's pseudonym, the same in all tabs and on later visits. */
function pseudonym() {
  let id = readItem('localStorage', STORED_CUSTOMER);
  if (!id) {
    id = `web-${randomId()}`;
    writeItem('localStorage', STORED_CUSTOMER, id);
  }
  return id;
}
