// @ts-check
/**
 * The browser's storage. A browser may deny it, even its mere access; values then live as long as the page.
 *
 * @typedef {'localStorage'|'sessionStorage'} StorageName
 */

/**
 * Read an item; null if it does not exist or if the storage is denied.
 * @param {StorageName} storage
 * @param {string} key
 */
export function readItem(storage, key) {
  try {
    return window[storage].getItem(key);
  } catch {
    return null;
  }
}

/**
 * Write an item; return false if the storage is denied or full.
 * @param {StorageName} storage
 * @param {string} key
 * @param {string} value
 */
export function writeItem(storage, key, value) {
  try {
    window[storage].setItem(key, value);
    return true;
  } catch {
    return false;
  }
}
