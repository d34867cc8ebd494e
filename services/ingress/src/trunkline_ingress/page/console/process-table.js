// @ts-check
/**
 * The supervision tree as a table.
 *
 * @import {ProcessStatus, SuiteStatus} from './types.js'
 */
import { el, keyed, query, setAttribute, setText } from '../shared/dom.js';
import { processCells, suiteText } from './suite-texts.js';

const COLUMNS = ['Process', 'State', 'Restarts', 'Queue', 'p50', 'p95', 'Version', 'PID'];
/** Index of the first column with figures. */
const FIRST_FIGURE = 2;

export class ProcessTable {
  #summary = el('p', { class: 'facts', 'data-testid': 'suite-sum' });
  #rows = el('tbody');
  /** The element of the table's section. */
  root = el('section', { class: 'card', 'aria-labelledby': 'processes' },
    el('div', { class: 'card-head' }, el('h2', { id: 'processes' }, 'Processes'), this.#summary),
    el('div', { class: 'table', tabindex: 0, role: 'region', 'aria-labelledby': 'processes' },
      el('table', { class: 'processes' }, el('thead', {}, el('tr', {}, ...COLUMNS.map((name, at) => (
        el('th', { scope: 'col', class: at < FIRST_FIGURE ? null : 'number-cell' }, name))))), this.#rows)));

  /** @param {SuiteStatus} status */
  render(status) {
    keyed(this.#rows, status.processes, (process) => process.instance, createRow, drawRow);
    setText(this.#summary, suiteText(status));
  }
}

function createRow() {
  return el('tr', { 'data-testid': 'process' },
    el('th', { scope: 'row' }, el('span', { class: 'name' }), el('small')),
    el('td', {}, el('span', { class: 'state' })),
    ...COLUMNS.slice(FIRST_FIGURE).map(() => el('td', { class: 'number-cell' })));
}

/**
 * @param {HTMLTableRowElement} row
 * @param {ProcessStatus} process
 */
function drawRow(row, process) {
  setAttribute(row, 'data-state', process.state);
  setAttribute(row, 'data-root', process.service === 'supervisor' || null);
  setText(query(row, '.name'), process.instance);
  const detail = Object.entries(process.detail ?? {}).map(([name, value]) => `${name}: ${value}`).join(', ');
  setText(query(row, 'small'), detail);
  setText(query(row, '.state'), process.state);
  processCells(process).forEach((text, at) => setText(row.cells[at + FIRST_FIGURE], text));
}
