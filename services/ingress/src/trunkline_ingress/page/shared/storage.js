// @ts-check
/**
 * The browser's storage. A browser may deny it, even its mere access; values then live as long as the page.
 *
 * Suites below different paths of one host share its storage: the keys of each have its path.
 *
 * @typedef {'localStorage'|'sessionStorage'} StorageName
 */

/**
 * Return the key that an item has in the storage.
 * @param {string} key
 * @param {string} [page]  address of the page
 */
export function storedKey(key, page = document.baseURI) {
  const { pathname } = new URL('.', page);
  return pathname === '/' ? key : `${key} ${pathname}`;
}

/**
 * Read an item; null if it does not exist or if the storage is denied.
 * @param {StorageName} storage
 * @param {string} key
 */
export function readItem(storage, key) {
  try {
    return window[storage].getItem(storedKey(key));
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
    window[storage].setItem(storedKey(key), value);
    return true;
  } catch {
    return false;
  }
}
