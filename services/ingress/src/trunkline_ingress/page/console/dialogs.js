/** Questions to the operator in modal dialogs: who they are, whether they mean it. */
import { el } from '../shared/dom.js';

/**
 * Ask with a form and wait for the answer.
 * @param {object} question
 * @param {string} question.title
 * @param {string} [question.text]       a sentence below the title
 * @param {HTMLElement[]} [question.fields]  made with `field`
 * @param {string} question.confirm      the label of the button that goes on
 * @param {boolean} [question.grave]     what is confirmed cannot be undone
 * @param {boolean} [question.must]      there is no way around an answer
 * @param {string} question.testid
 * @returns {Promise<Record<string, string>|null>} the fields by name; null when cancelled
 */
export function ask({ title, text = '', fields = [], confirm, grave = false, must = false, testid }) {
  return new Promise((resolve) => {
    const dialog = el('dialog', { class: 'ask', 'aria-labelledby': 'ask-title', 'data-testid': testid });
    const cancel = el('button', { type: 'button', class: 'quiet', 'data-testid': 'cancel' }, 'Cancel');
    const form = el('form', { method: 'dialog', autocomplete: 'off' },
      el('h2', { id: 'ask-title' }, title),
      ...(text ? [el('p', {}, text)] : []),
      ...fields,
      el('div', { class: 'ask-actions' }, ...(must ? [] : [cancel]),
        el('button', { type: 'submit', class: grave ? 'primary grave' : 'primary', 'data-testid': 'confirm' }, confirm)));
    let answer = null;
    form.addEventListener('submit', () => { answer = Object.fromEntries(new FormData(form)); });
    cancel.addEventListener('click', () => dialog.close());
    if (must) dialog.addEventListener('cancel', (event) => event.preventDefault());
    dialog.addEventListener('close', () => {
      dialog.remove();
      // Escape may close even what must be answered, when it is pressed twice.
      resolve(answer ?? (must ? ask({ title, text, fields, confirm, grave, must, testid }) : null));
    });
    dialog.append(form);
    document.body.append(dialog);
    dialog.showModal();
    (form.querySelector('input, textarea, select') ?? form.querySelector('.primary')).focus();
  });
}

/** A labelled field of a dialog or form. */
export function field(label, control, hint = '') {
  return el('label', { class: 'field' }, el('span', {}, label), control,
    ...(hint ? [el('small', {}, hint)] : []));
}
