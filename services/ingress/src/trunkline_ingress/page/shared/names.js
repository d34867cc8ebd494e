// @ts-check
/** How specialties, agents and people are called where customers and operators read it. */

/** `tech_support` → `Tech support`. */
export function prettify(name) {
  const words = String(name ?? '').replace(/[_\-\s]+/g, ' ').trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** The agent `billing-refunds` of `billing` → `Refunds specialist`; '' when it adds nothing. */
export function prettifyAgent(agent, specialty) {
  let words = prettify(agent);
  const field = prettify(specialty);
  if (field && `${words} `.toLowerCase().startsWith(`${field} `.toLowerCase())) {
    words = prettify(words.slice(field.length));
  }
  if (!words) return '';
  // Not every agent is a specialist by name; a person (two capitals) is none.
  return /(specialist|agent|assistant|desk|team)$/i.test(words) || /[A-Z].*[A-Z]/.test(words)
    ? words : `${words} specialist`;
}

/** A sentence from the server, or a bare code made readable. */
export function readable(text) {
  return /^[a-z]+(?:[_-][a-z]+)+$/.test(text) || /^[a-z]+$/.test(text) ? prettify(text) : text;
}

/** How people at the desk are called where agents have a specialty. */
export const PERSON = 'person';

/** Specialties that are no field of knowledge have words of their own. */
const OWN_WORDS = { escalation: 'Senior team', triage: 'Front desk', person: 'A person' };

/** A specialty as a name: `Billing`, `Senior team`. */
export function specialtyName(specialty) {
  return OWN_WORDS[specialty] ?? prettify(specialty);
}

/** A specialty in the middle of a sentence: `Billing`, `the senior team`. */
export function inSentence(specialty) {
  const name = OWN_WORDS[specialty];
  if (!name) return prettify(specialty);
  return specialty === PERSON ? name.toLowerCase() : `the ${name.toLowerCase()}`;
}

/** Whether agents of a specialty know a field, so that a conversation can be given to them. */
export function isField(specialty) {
  return !Object.hasOwn(OWN_WORDS, specialty);
}

/** A customer as operators read it: the pseudonyms of the chat page's visitors are too long to tell apart. */
export function customerName(customer) {
  return /^web-[0-9a-f]{32}$/.test(customer) ? `Visitor ${customer.slice(4, 8)}` : customer;
}
