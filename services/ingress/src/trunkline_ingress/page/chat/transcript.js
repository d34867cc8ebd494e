// @ts-check
/**
 * The transcript. Items are compared by identity, so a frame changes only the nodes of its item.
 *
 * @import {EscalationItem, Item, OwnItem, ReplyItem} from './types.js'
 * @import {Source} from '../shared/sources.js'
 *
 * @typedef {(source: Source, opener: HTMLElement, quote?: string) => void} OpenSource
 * @typedef {object} TranscriptActions
 * @property {(id: string) => void} retry
 * @property {(id: string) => void} askAgain
 * @property {() => void} leaveQueue
 * @property {OpenSource} openSource
 * @property {() => void} moveFocus  called if the focused button disappears
 */
import { byId, el, hiddenText, icon, setAttribute } from '../shared/dom.js';
import { renderMarkdown } from '../shared/markdown.js';
import { PERSON, readable } from '../shared/names.js';
import { addReferences } from '../shared/references.js';
import { groupSources } from '../shared/sources.js';
import { clock } from '../shared/times.js';
import { lineHues } from './line-hues.js';
import { adviceText, authorOf, endText, escalationText, handoffText, isSystemText } from './wording.js';

/**
 * Create a line of the transcript: a statement and a detail.
 * @param {string} statement
 * @param {string} detail  may be ''
 */
function statementNodes(statement, detail) {
  return [el('strong', {}, statement), ...(detail ? [el('span', { class: 'reason' }, ` – ${detail}`)] : [])];
}

/**
 * Create the time of a message; null if it is not known.
 * @param {number|null|undefined} at  Unix seconds
 */
function timeNode(at) {
  if (!at) return null;
  return el('time', { datetime: new Date(at * 1000).toISOString() }, clock(at, Date.now() / 1000));
}

export class Transcript {
  /** The company's name, the author of replies without a specialty. */
  company = 'Support';
  #root = byId('transcript');
  #actions;
  /** @type {Map<string, {node: HTMLElement, item: Item|null}>} */
  #entries = new Map();

  /** @param {TranscriptActions} actions */
  constructor(actions) {
    this.#actions = actions;
  }

  /** @param {Item[]} items */
  render(items) {
    const hues = lineHues(items);
    const keys = new Set();
    let position = this.#root.firstElementChild;
    items.forEach((item, at) => {
      keys.add(item.key);
      const entry = this.#entryOf(item);
      setAttribute(entry.node, 'data-hue', hues[at].hue);
      setAttribute(entry.node, 'data-hue-to', hues[at].hueTo);
      if (entry.item !== item) {
        this.#draw(entry.node, item, entry.item);
        entry.item = item;
      }
      if (entry.node === position) position = position.nextElementSibling;
      else this.#root.insertBefore(entry.node, position);
    });
    for (const [key, entry] of this.#entries) {
      if (keys.has(key)) continue;
      entry.node.remove();
      this.#entries.delete(key);
    }
  }

  /** @param {Item} item */
  #entryOf(item) {
    let entry = this.#entries.get(item.key);
    if (!entry) {
      const node = el(item.kind === 'reply' ? 'article' : 'div', { class: `item ${item.kind}` });
      entry = { node, item: null };
      this.#entries.set(item.key, entry);
    }
    return entry;
  }

  /**
   * Bring a node up to date with its item.
   * @param {HTMLElement} node
   * @param {Item} item
   * @param {Item|null} before  the item that the node shows
   */
  #draw(node, item, before) {
    switch (item.kind) {
      case 'own': this.#drawOwn(node, item); break;
      case 'reply': this.#drawReply(node, item, before?.kind === 'reply' && !before.final); break;
      case 'handoff':
        setAttribute(node, 'data-testid', 'handoff');
        setAttribute(node, 'data-from', item.from);
        setAttribute(node, 'data-to', item.to);
        node.replaceChildren(el('p', {}, ...statementNodes(handoffText(item), readable(item.reason))));
        break;
      case 'escalation': this.#drawEscalation(node, item); break;
      case 'break':
        setAttribute(node, 'data-testid', 'break');
        node.replaceChildren(el('p', {}, item.text));
        break;
      case 'closed':
        setAttribute(node, 'data-testid', 'closed');
        node.replaceChildren(el('p', {}, ...statementNodes('Conversation ended', endText(item.text))));
        break;
    }
  }

  /**
   * @param {HTMLElement} node
   * @param {OwnItem} item
   */
  #drawOwn(node, item) {
    setAttribute(node, 'data-testid', 'own-message');
    setAttribute(node, 'data-id', item.id);
    setAttribute(node, 'data-state', item.state);
    if (!node.firstChild) {
      node.append(
        hiddenText('You: '), el('div', { class: 'bubble', dir: 'auto' }, item.text), el('div', { class: 'delivery' }),
      );
    }
    const delivery = /** @type {HTMLElement} */ (node.lastElementChild);
    delivery.replaceChildren(...[timeNode(item.at), ...this.#deliveryNodes(item)].filter((part) => part !== null));
  }

  /**
   * @param {OwnItem} item
   * @returns {(Node|string)[]}
   */
  #deliveryNodes(item) {
    if (item.trouble) {
      return [el('span', { class: 'error' }, icon('warning'), item.trouble), ' ', this.#retryButton(item)];
    }
    if (item.held && item.waitMs) return [icon('clock'), 'Many messages at the moment: yours is sent again shortly'];
    return item.state === 'accepted'
      ? [icon('tick'), hiddenText('Delivered')] : [icon('clock'), hiddenText('Sending')];
  }

  /** @param {OwnItem} item */
  #retryButton({ id, state }) {
    const failed = state === 'failed';
    const onclick = failed ? () => this.#actions.retry(id) : () => this.#actions.askAgain(id);
    return el('button', { type: 'button', class: 'small', onclick }, failed ? 'Try again' : 'Ask again');
  }

  /**
   * @param {HTMLElement} node
   * @param {ReplyItem} item
   * @param {boolean} wasStreaming
   */
  #drawReply(node, item, wasStreaming) {
    setAttribute(node, 'data-testid', 'reply');
    setAttribute(node, 'data-turn', item.turn);
    setAttribute(node, 'data-specialty', item.specialty ?? '');
    setAttribute(node, 'data-final', String(item.final));
    setAttribute(node, 'data-system', isSystemText(item));
    // Screen readers skip a busy node; they announce the final text below.
    setAttribute(node, 'aria-busy', !item.final);
    if (!node.firstChild) node.append(el('p', { class: 'speaker' }), el('div', { class: 'text' }));
    const [speaker, shownText] = node.children;
    const { name, role } = authorOf(item, this.company);
    speaker.replaceChildren(
      el('span', { class: 'specialty' }, name),
      ...(role ? [el('span', { class: 'agent' }, ` · ${role}`)] : []),
      ...(item.consulted.length
        ? [el('span', { class: 'agent', 'data-testid': 'consulted' }, adviceText(item.consulted))] : []),
      timeNode(item.at) ?? '',
    );
    const sources = groupSources(item.citations);
    let text = shownText;
    if (item.final && (wasStreaming || sources.length > 0)) {
      // Screen readers announce added nodes, but few of them return to a node that was busy: a new node is announced
      // once, as a whole. Numbers of sources are added to a new node too.
      text = el('div', { class: 'text' });
    }
    // An agent's addresses come from a model: they are shown as text.
    const links = item.specialty === PERSON;
    renderMarkdown(text, item.text, { links, addresses: links, headingLevel: 2 });
    addReferences(/** @type {HTMLElement} */ (text), sources, (source, quote) => this.#reference(source, quote));
    if (text !== shownText) shownText.replaceWith(text);
    node.querySelector('.citations')?.remove();
    if (sources.length > 0) node.append(this.#sourceList(sources));
  }

  /** @param {Source[]} sources */
  #sourceList(sources) {
    return el('ol', { class: 'citations', 'aria-label': 'Sources' },
      ...sources.map((source) => el('li', {}, this.#sourceChip(source))));
  }

  /** @param {Source} source */
  #sourceChip(source) {
    const chip = el('button', {
      type: 'button', class: 'chip', 'data-testid': 'citation', 'data-document': source.document,
      'aria-haspopup': 'dialog',
    }, el('span', { class: 'number' }, String(source.number)), el('span', { class: 'name' }, source.title));
    chip.addEventListener('click', () => this.#actions.openSource(source, chip));
    return chip;
  }

  /**
   * Create the number of a source in the text; the style sheet shows it.
   * @param {Source} source
   * @param {string} quote
   */
  #reference(source, quote) {
    const button = el('button', {
      type: 'button', 'data-testid': 'reference', 'data-number': source.number, 'aria-label': `Source ${source.number}`,
      'aria-haspopup': 'dialog',
    });
    button.addEventListener('click', () => this.#actions.openSource(source, button, quote));
    return el('sup', { class: 'ref' }, button);
  }

  /**
   * @param {HTMLElement} node
   * @param {EscalationItem} item
   */
  #drawEscalation(node, item) {
    setAttribute(node, 'data-testid', 'escalated');
    setAttribute(node, 'data-stage', item.stage);
    setAttribute(node, 'data-position', item.position);
    const { heading, facts } = escalationText(item);
    if (!node.firstElementChild) node.append(el('p'));
    const [paragraph, leave] = node.children;
    paragraph.replaceChildren(...statementNodes(heading, facts.join(', ')));
    const waits = item.stage === 'waiting';
    if (waits && !leave) {
      // The button stays the same node while the position changes, since it may have the focus.
      node.append(el('button', {
        type: 'button', class: 'small', 'data-testid': 'leave-queue', onclick: () => this.#actions.leaveQueue(),
      }, 'Leave the queue'));
    } else if (!waits && leave) {
      const hadFocus = leave === document.activeElement;
      leave.remove();
      if (hadFocus) this.#actions.moveFocus();
    }
  }
}
