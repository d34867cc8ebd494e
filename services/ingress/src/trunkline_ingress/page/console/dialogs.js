// @ts-check
/** Modal dialogs with a form. */
import { el, query } from '../shared/dom.js';

/**
 * @typedef {object} DialogOptions
 * @property {string} title
 * @property {string} [text]  a sentence below the title
 * @property {HTMLElement[]} [fields]  made with `field`
 * @property {string} confirm  label of the button that submits the form
 * @property {boolean} [destructive]  the action cannot be undone
 * @property {boolean} [mandatory]  the dialog cannot be cancelled
 * @property {string} testid
 */

/**
 * Open a dialog and wait for its form.
 * @param {DialogOptions} options
 * @returns {Promise<Record<string, string>|null>} the fields by name; null if the dialog was cancelled
 */
export function openDialog(options) {
  const { title, text = '', fields = [], confirm, destructive = false, mandatory = false, testid } = options;
  return new Promise((resolve) => {
    const dialog = el('dialog', { class: 'dialog', 'aria-labelledby': 'dialog-title', 'data-testid': testid });
    const cancel = el('button', { type: 'button', class: 'quiet', 'data-testid': 'cancel' }, 'Cancel');
    const submit = el('button', {
      type: 'submit', class: destructive ? 'primary destructive' : 'primary', 'data-testid': 'confirm',
    }, confirm);
    const form = el('form', { method: 'dialog', autocomplete: 'off' },
      el('h2', { id: 'dialog-title' }, title),
      ...(text ? [el('p', {}, text)] : []),
      ...fields,
      el('div', { class: 'actions' }, ...(mandatory ? [] : [cancel]), submit));
    /** @type {Record<string, string>|null} */
    let values = null;
    form.addEventListener('submit', () => { values = valuesOf(form); });
    cancel.addEventListener('click', () => dialog.close());
    if (mandatory) dialog.addEventListener('cancel', (event) => event.preventDefault());
    dialog.addEventListener('close', () => {
      dialog.remove();
      // A second Escape closes even a mandatory dialog, so it is opened again.
      resolve(values ?? (mandatory ? openDialog(options) : null));
    });
    dialog.append(form);
    document.body.append(dialog);
    dialog.showModal();
    (fields.length > 0 ? query(form, 'input, textarea, select') : submit).focus();
  });
}

/**
 * Return the text fields of a form by name; of several with one name, the last.
 * @param {HTMLFormElement} form
 */
function valuesOf(form) {
  return Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, String(value)]));
}

/**
 * Create a labelled field of a form.
 * @param {string} label
 * @param {HTMLElement} control
 * @param {string} [hint]
 */
export function field(label, control, hint = '') {
  return el('label', { class: 'field' }, el('span', {}, label), control, ...(hint ? [el('small', {}, hint)] : []));
}
