// @ts-check
/** Display names of specialties, agents and customers. Pure. */

/**
 * Turn an identifier into words: `tech_support` -> `Tech support`.
 * @param {string|null|undefined} name
 */
export function prettify(name) {
  const words = String(name ?? '').replace(/[_\-\s]+/g, ' ').trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/**
 * Return a server's sentence as it is, and a bare code as words.
 * @param {string} text
 */
export function readable(text) {
  return /^[a-z]+(?:[_-][a-z]+)+$/.test(text) || /^[a-z]+$/.test(text) ? prettify(text) : text;
}

/** Pseudo-specialty of people at the desk. */
export const PERSON = 'person';

/**
 * Names of pseudo-specialties, which are not fields of knowledge.
 * @type {Record<string, string>}
 */
const PSEUDO_SPECIALTIES = { escalation: 'Senior team', triage: 'Front desk', [PERSON]: 'A person' };

/**
 * Return a specialty's display name: `Billing`, `Senior team`.
 * @param {string} specialty
 */
export function specialtyName(specialty) {
  return PSEUDO_SPECIALTIES[specialty] ?? prettify(specialty);
}

/**
 * Return a specialty's name for the middle of a sentence: `Billing`, `the senior team`.
 * @param {string|null} specialty
 */
export function inSentence(specialty) {
  const name = PSEUDO_SPECIALTIES[specialty ?? ''];
  if (!name) return prettify(specialty);
  return specialty === PERSON ? name.toLowerCase() : `the ${name.toLowerCase()}`;
}

/**
 * Return whether a specialty is a field of knowledge, so that a conversation can be handed to its agents.
 * @param {string} specialty
 */
export function isField(specialty) {
  return !Object.hasOwn(PSEUDO_SPECIALTIES, specialty);
}

/**
 * Return a customer's name for operators; the chat page's long pseudonyms are shortened.
 * @param {string} customer
 */
export function customerName(customer) {
  return /^web-[0-9a-f]{32}$/.test(customer) ? `Visitor ${customer.slice(4, 8)}` : customer;
}
