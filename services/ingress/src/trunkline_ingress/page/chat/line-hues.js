// @ts-check
/**
 * Colours of the line beside the transcript: each specialty has one, and a handoff changes it. Pure.
 *
 * @import {Item} from './types.js'
 */
import { Palette } from '../shared/palette.js';

/**
 * Return the colour of the line at each item, and after it if the item is a handoff; null is the neutral colour.
 * @param {Item[]} items
 * @returns {{hue: number|null, hueTo: number|null}[]}
 */
export function lineHues(items) {
  const palette = new Palette();
  /** @param {string|null} specialty */
  const hueOf = (specialty) => (specialty ? palette.hueOf(specialty) : null);
  /** @type {string|null} */
  let owner = null;
  return items.map((item) => {
    const before = owner;
    if (item.kind === 'break') {
      owner = null;
    } else if (item.kind === 'reply') {
      owner = item.specialty || owner;
    } else if (item.kind === 'handoff') {
      owner = item.to || owner;
      hueOf(item.from); // Colours are assigned in order of appearance, so `from` precedes `to`.
      return { hueTo: hueOf(owner), hue: hueOf(before ?? item.from) };
    }
    return { hue: hueOf(owner), hueTo: null };
  });
}
