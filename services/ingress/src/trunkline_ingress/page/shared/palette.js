// @ts-check
/** Colours of specialties. Pure. */

/** Number of line colours in base.css. */
export const HUES = 8;

/** Assigns colours in order of first use: the first `HUES` names all differ. */
export class Palette {
  /** @type {Map<string, number>} */
  #hues = new Map();

  /**
   * Return the colour of a name, assigning the next one on first use.
   * @param {string} name
   */
  hueOf(name) {
    const known = this.#hues.get(name);
    if (known !== undefined) return known;
    const hue = this.#hues.size % HUES;
    this.#hues.set(name, hue);
    return hue;
  }

  /** Forget all assignments. */
  clear() {
    this.#hues.clear();
  }
}
