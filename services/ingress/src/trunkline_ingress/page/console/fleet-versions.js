// @ts-check
/**
 * Versions of the fleet: the current one, and a rollback to an earlier one.
 *
 * @import {ConsoleContext, CurrentFleet, FleetVersion} from './types.js'
 */
import { el, keyed, query, setAttribute, setText } from '../shared/dom.js';
import { openDialog } from './dialogs.js';
import { loadedText, versionText } from './suite-texts.js';

export class FleetVersions {
  #context;
  #summary = el('p', { class: 'facts', 'data-testid': 'fleet-sum' });
  #list = el('ol', { class: 'versions' });
  /** The element of the section. */
  root = el('section', { class: 'card', 'aria-labelledby': 'fleet' },
    el('div', { class: 'card-head' }, el('h2', { id: 'fleet' }, 'Fleet'), this.#summary), this.#list);

  /** @param {ConsoleContext} context */
  constructor(context) {
    this.#context = context;
  }

  /**
   * @param {FleetVersion[]} versions  oldest first
   * @param {CurrentFleet} current
   */
  render(versions, current) {
    const now = this.#context.ops.now();
    keyed(this.#list, versions.toReversed(), ({ version }) => String(version),
      (version) => this.#createVersion(version), (node, version) => {
        const isCurrent = version.version === current.version;
        setAttribute(node, 'data-current', isCurrent || null);
        query(node, 'button').hidden = isCurrent;
        setText(query(node, '.description'), ` – ${versionText(version, isCurrent, now)}`);
      });
    setText(this.#summary, loadedText(current));
  }

  /** @param {FleetVersion} version */
  #createVersion({ version }) {
    return el('li', { 'data-testid': 'version', 'data-version': version },
      el('p', {}, el('strong', {}, `Version ${version}`), el('span', { class: 'description' })),
      el('button', {
        type: 'button', class: 'small', 'data-testid': 'roll-back', 'aria-label': `Roll back to version ${version}`,
        onclick: () => this.#rollBack(version),
      }, 'Roll back'));
  }

  /** @param {number} version */
  async #rollBack(version) {
    const { ops, attempt, person, refresh } = this.#context;
    const confirmed = await openDialog({
      title: `Roll back to version ${version}?`,
      text: 'It is published again as a new version. Agents use it from their next turn; turns in flight keep theirs.',
      confirm: 'Roll back', testid: 'rollback-form',
    });
    if (!confirmed) return;
    await attempt(() => ops.rollBack(version, person() || 'operator'));
    await refresh();
  }
}
