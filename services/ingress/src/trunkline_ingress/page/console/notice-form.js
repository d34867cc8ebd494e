// @ts-check
/**
 * The form to publish a notice.
 *
 * @import {NewNotice} from './types.js'
 */
import { el } from '../shared/dom.js';
import { prettify } from '../shared/names.js';
import { field } from './dialogs.js';
import { AUDIENCES, splitList } from './notice-texts.js';

/** Offered durations in seconds. */
const DURATIONS = { 900: '15 minutes', 3600: '1 hour', 14400: '4 hours', 86400: '1 day', 604800: '7 days' };
const DEFAULT_DURATION = '3600';
const SEVERITIES = { info: 'Info', warning: 'Warning', critical: 'Critical' };

export class NoticeForm {
  #text = el('textarea', { name: 'text', rows: 3, required: true, maxlength: 2000, 'data-testid': 'notice-text' });
  #audience = select('audience', AUDIENCES, 'agents', 'notice-audience');
  #severity = select('severity', SEVERITIES, 'info', 'notice-severity');
  #ttl = select('ttl_s', DURATIONS, DEFAULT_DURATION, 'notice-ttl');
  #tenants = el('input', { name: 'tenants', 'data-testid': 'notice-tenants' });
  #choices = el('div', { class: 'choices' });
  #specialties = el('fieldset', { hidden: true }, el('legend', {}, 'Specialties'), this.#choices,
    el('small', {}, 'Select none to reach all agents.'));
  #publish = el('button', { type: 'submit', class: 'primary', 'data-testid': 'publish' }, 'Publish');
  /** The element of the form. */
  root = el('form', { class: 'card publish', autocomplete: 'off' },
    el('h2', {}, 'Publish a notice'),
    field('Text', this.#text, 'Agents consider it in their answers; customers read it verbatim.'),
    el('div', { class: 'row' },
      field('Audience', this.#audience), field('Severity', this.#severity), field('Active for', this.#ttl)),
    field('Tenants', this.#tenants, 'Comma-separated names. Leave empty for all tenants.'),
    this.#specialties, el('div', { class: 'actions' }, this.#publish));

  /** @param {(notice: NewNotice) => Promise<boolean>} publish  return whether it succeeded */
  constructor(publish) {
    this.#audience.addEventListener('change', () => this.#updateSpecialties());
    this.root.addEventListener('submit', async (event) => {
      event.preventDefault();
      const notice = this.#values();
      this.#publish.disabled = true;
      const published = await publish(notice);
      this.#publish.disabled = false;
      if (!published) return;
      this.root.reset();
      this.#updateSpecialties();
    });
  }

  /**
   * Set the specialties that can be selected.
   * @param {string[]} names
   */
  offerSpecialties(names) {
    this.#choices.replaceChildren(...names.map((name) => el('label', { class: 'choice' },
      el('input', { type: 'checkbox', name: 'specialties', value: name }), prettify(name))));
    this.#updateSpecialties();
  }

  #updateSpecialties() {
    this.#specialties.hidden = this.#audience.value === 'customers' || this.#choices.childElementCount === 0;
  }

  #values() {
    const selected = new FormData(this.root).getAll('specialties').map(String);
    return {
      text: this.#text.value.trim(), audience: this.#audience.value, severity: this.#severity.value,
      ttl_s: Number(this.#ttl.value), specialties: this.#specialties.hidden ? [] : selected,
      tenants: splitList(this.#tenants.value),
    };
  }
}

/**
 * @param {string} name
 * @param {Record<string, string>} options  labels by value
 * @param {string} initial
 * @param {string} testid
 */
function select(name, options, initial, testid) {
  return el('select', { name, 'data-testid': testid }, ...Object.entries(options).map(([value, label]) => (
    el('option', { value, selected: value === initial }, label))));
}
