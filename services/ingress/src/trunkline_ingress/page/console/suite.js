// @ts-check
/**
 * The view of the suite: its processes, the versions of the fleet, and the trace of one conversation.
 *
 * @import {ConsoleContext} from './types.js'
 */
import { el } from '../shared/dom.js';
import { FleetVersions } from './fleet-versions.js';
import { ProcessTable } from './process-table.js';
import { TraceView } from './trace.js';

export class SuiteView {
  #ops;
  #processes = new ProcessTable();
  #versions;
  #trace;

  /**
   * @param {ConsoleContext} context
   * @param {HTMLElement} section
   */
  constructor(context, section) {
    this.#ops = context.ops;
    this.#versions = new FleetVersions(context);
    this.#trace = new TraceView(context);
    section.append(el('div', { class: 'wide-column' }, this.#processes.root, this.#versions.root, this.#trace.root));
  }

  /** Update all parts. */
  async update() {
    const [status, versions, current] = await Promise.all([
      this.#ops.status(), this.#ops.fleetVersions(), this.#ops.fleet(), this.#trace.update(),
    ]);
    this.#processes.render(status);
    this.#versions.render(versions, current);
  }

  /**
   * Show the trace of a conversation; '' for none.
   * @param {string} conversation
   */
  trace(conversation) {
    this.#trace.open(conversation);
  }
}
