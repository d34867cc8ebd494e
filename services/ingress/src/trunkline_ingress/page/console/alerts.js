// @ts-check
/**
 * Alerts of the desk by sound and by notifications of the browser. Both are off until the operator switches them on. A
 * notification names the customer and holds no text of a message: other people may see the screen.
 *
 * @import {QueueEntry} from './types.js'
 */
import { el, setText } from '../shared/dom.js';
import { customerName } from '../shared/names.js';
import { readItem, writeItem } from '../shared/storage.js';

const STORED_CHOICES = 'trunkline.alerts';
const TONE_HZ = 660;
const TONE_S = 0.25;
const VOLUME = 0.15;
const RESUME_TIMEOUT_MS = 500;

/**
 * Return the texts of the alerts between two states of the queue.
 * @param {Map<string, {waiting: boolean, unread: number}>} before  by conversation
 * @param {Map<string, {waiting: boolean, unread: number}>} after
 * @param {(conversation: string) => string} nameOf  the customer's name
 * @returns {string[]}
 */
export function alertTexts(before, after, nameOf) {
  return [...after].flatMap(([conversation, { waiting, unread }]) => {
    const last = before.get(conversation);
    if (unread > (last?.unread ?? 0)) return [`New message from ${nameOf(conversation)}`];
    return waiting && !last?.waiting ? [`${nameOf(conversation)} is waiting for a person`] : [];
  });
}

export class Alerts {
  #choices = stored();
  #note = el('small', { role: 'status' });
  /** @type {AudioContext|null} */
  #audio = null;
  /** @type {Map<string, {waiting: boolean, unread: number}>|null} */
  #last = null;
  /** The element with the choices. */
  root = el('fieldset', { class: 'alerts', 'data-testid': 'alerts' }, el('legend', {}, 'Alerts'),
    el('div', { class: 'choices' },
      this.#choice('sound', 'Sound', () => this.#onSound()),
      this.#choice('notifications', 'Notifications', (control) => this.#onNotifications(control))),
    this.#note);

  /**
   * Compare the queue with its last state, and alert the operator to new messages and conversations.
   * @param {QueueEntry[]} entries
   * @param {(entry: QueueEntry) => number} unread
   */
  update(entries, unread) {
    const names = new Map(entries.map((entry) => [entry.conversation, customerName(entry.customer)]));
    const states = new Map(entries.map((entry) => (
      [entry.conversation, { waiting: !entry.claimed_by, unread: unread(entry) }])));
    const texts = this.#last === null ? [] : alertTexts(this.#last, states, (id) => names.get(id) ?? '');
    this.#last = states;
    if (texts.length === 0) return;
    if (this.#choices.sound) void this.#play();
    // A visible page shows the news itself.
    if (this.#choices.notifications && !isInFront()) this.#notify(texts);
  }

  /**
   * @param {'sound'|'notifications'} name
   * @param {string} label
   * @param {(control: HTMLInputElement) => unknown} onSwitchedOn
   */
  #choice(name, label, onSwitchedOn) {
    const control = el('input', { type: 'checkbox', 'data-testid': `alert-${name}` });
    control.checked = this.#choices[name];
    control.addEventListener('change', async () => {
      setText(this.#note, '');
      if (control.checked) await onSwitchedOn(control);
      this.#choices[name] = control.checked;
      writeItem('localStorage', STORED_CHOICES, JSON.stringify(this.#choices));
    });
    return el('label', { class: 'choice' }, control, label);
  }

  async #onSound() {
    await this.#play();
  }

  /** @param {HTMLInputElement} control */
  async #onNotifications(control) {
    const isPermitted = 'Notification' in window && await Notification.requestPermission() === 'granted';
    if (isPermitted) return;
    control.checked = false;
    setText(this.#note, 'The browser does not permit notifications from this page.');
  }

  async #play() {
    try {
      this.#audio ??= new AudioContext();
      // Before the first click on the page the browser keeps it silent: a late tone would be of no use.
      await Promise.race([this.#audio.resume(), new Promise((resolve) => setTimeout(resolve, RESUME_TIMEOUT_MS))]);
      if (this.#audio.state !== 'running') return;
      const tone = new OscillatorNode(this.#audio, { frequency: TONE_HZ });
      const volume = new GainNode(this.#audio, { gain: VOLUME });
      volume.gain.setTargetAtTime(0, this.#audio.currentTime + TONE_S / 2, TONE_S / 8);
      tone.connect(volume).connect(this.#audio.destination);
      tone.start();
      tone.stop(this.#audio.currentTime + TONE_S);
    } catch {
      setText(this.#note, 'The browser cannot play a sound.');
    }
  }

  /** @param {string[]} texts */
  #notify(texts) {
    if (!('Notification' in window) || Notification.permission !== 'granted') return;
    try {
      const notification = new Notification('Support desk', { body: texts.join('\n'), tag: 'trunkline-desk' });
      notification.addEventListener('click', () => {
        window.focus();
        notification.close();
      });
    } catch {
      setText(this.#note, 'This browser shows no notifications of a page.');
    }
  }
}

/** Return whether the operator has this page in view. */
export function isInFront() {
  return document.visibilityState === 'visible' && document.hasFocus();
}

/** @returns {{sound: boolean, notifications: boolean}} */
function stored() {
  try {
    const { sound = false, notifications = false } = JSON.parse(readItem('localStorage', STORED_CHOICES) ?? '{}');
    return { sound: sound === true, notifications: notifications === true };
  } catch {
    return { sound: false, notifications: false };
  }
}
