// @ts-check
/**
 * The company's public data.
 *
 * @import {NoticeFrame} from '../chat/types.js'
 *
 * @typedef {object} Company
 * @property {string} name
 * @property {string} description
 * @property {string} greeting
 * @property {string[]} examples
 * @property {NoticeFrame[]} notices  active notices for all customers
 */

/**
 * Fetch the company's public data.
 * @returns {Promise<Company>}
 * @throws {Error} if the server cannot be reached or rejects the request
 */
export async function fetchCompany() {
  const response = await fetch('v1/company');
  if (!response.ok) throw new Error(`company: status ${response.status}`);
  return response.json();
}
