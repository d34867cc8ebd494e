// @ts-check
/** Dialogs about the open conversation. */
import { el } from '../shared/dom.js';
import { prettify } from '../shared/names.js';
import { field, openDialog } from './dialogs.js';

/**
 * Request a note and the next specialty; null if cancelled.
 * @param {string[]} specialties
 */
export function openHandBackDialog(specialties) {
  return openDialog({
    title: 'Hand back to the agents',
    text: 'From now on, agents answer the customer again.',
    fields: [
      field('Note for the agents',
        el('textarea', { name: 'note', rows: 3, maxlength: 2000, 'data-testid': 'note' }),
        'Not visible to the customer.'),
      field('Hand back to', el('select', { name: 'to', 'data-testid': 'to' },
        el('option', { value: '' }, 'Previous specialty'),
        ...specialties.map((name) => el('option', { value: name }, prettify(name))))),
    ],
    confirm: 'Hand back', testid: 'hand-back-form',
  });
}

/**
 * Request an internal note; null if cancelled.
 * @param {string} text  the note so far
 */
export function openNoteDialog(text) {
  const control = el('textarea', {
    name: 'text', rows: 4, required: true, maxlength: 8000, 'data-testid': 'note-text',
  });
  control.value = text;
  return openDialog({
    title: 'Internal note',
    text: 'For your colleagues. Neither the customer nor the agents see it.',
    fields: [field('Note', control)],
    confirm: 'Add note', testid: 'note-form',
  });
}

/** Request the reason for closing; null if cancelled. */
export function openCloseDialog() {
  return openDialog({
    title: 'Close the conversation',
    text: 'The customer can no longer write in this conversation.',
    fields: [field('Reason', el('input', {
      name: 'reason', required: true, maxlength: 200, value: 'resolved by a person', 'data-testid': 'reason',
    }), 'Visible to the customer.')],
    confirm: 'Close', destructive: true, testid: 'close-form',
  });
}
