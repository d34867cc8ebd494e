// @ts-check
/** Random identifiers. */

/** Return a random id of 32 hexadecimal digits. */
export function randomId() {
  // Not crypto.randomUUID: it exists on secure origins only, and a trial on a local network has none.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
