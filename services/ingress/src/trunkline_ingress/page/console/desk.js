/**
 * The desk: who waits for a person, the most pressing first, who is with one,
 * and the conversation that is open beside them.
 */
import { createCase } from './case.js';
import { el, keyed, setAttribute, setText } from '../shared/dom.js';
import { customerName, prettify } from '../shared/names.js';
import { dueIn, span } from '../shared/times.js';

/** Bind the desk to console.html. */
export function createDesk(around) {
  const { operators, attempt, whoAmI, me, go, news, refresh } = around;
  const byId = (id) => document.getElementById(id);
  const next = byId('take-next');
  let lines = [];
  let loaded = false;
  let openId = '';
  let counted = null;
  const opened = createCase({ ...around, line: lineOf }, byId('case'));

  function lineOf(conversation) {
    return lines.find((line) => line.conversation === conversation) ?? null;
  }

  const waiting = () => lines.filter((line) => !line.claimed_by);

  // ------------------------------------------------------------- the queue

  function make(line) {
    const node = el('li', { class: 'line', 'data-testid': 'line', 'data-conversation': line.conversation },
      el('span', { class: 'place' }),
      el('a', { href: `#desk/${line.conversation}` },
        el('span', { class: 'customer' }), el('span', { class: 'urgency' }), el('span', { class: 'reason' }),
        el('span', { class: 'since' }), el('span', { class: 'due' }),
        el('span', { class: 'sla', 'aria-hidden': 'true' }, el('i'))));
    return node;
  }

  function draw(node, line) {
    const now = operators.now();
    const part = (name) => node.querySelector(`.${name}`);
    setAttribute(node, 'data-urgency', line.urgency);
    setAttribute(node, 'data-position', line.position);
    setAttribute(node, 'data-claimed-by', line.claimed_by);
    setAttribute(node, 'data-overdue', now > line.due_at);
    setAttribute(part('reason').parentElement, 'aria-current', line.conversation === openId ? 'true' : null);
    setText(part('place'), line.position ? String(line.position) : '');
    setText(part('customer'), customerName(line.customer));
    setAttribute(part('customer'), 'title', line.customer);
    setText(part('urgency'), line.urgency);
    setText(part('reason'), line.claimed_by ? `with ${line.claimed_by === me() ? 'you' : line.claimed_by}` : prettify(line.reason));
    setText(part('since'), line.claimed_by ? `asked ${span(now - line.since)} ago` : `waits ${span(now - line.since)}`);
    setText(part('due'), dueIn(line.due_at, now));
    const used = (now - line.since) / Math.max(1, line.due_at - line.since);
    part('sla').firstElementChild.style.setProperty('width', `${Math.min(100, Math.max(0, used * 100)).toFixed(1)}%`);
  }

  function render() {
    const queue = waiting();
    const served = lines.filter((line) => line.claimed_by);
    // One's own come first: they are what one comes back to.
    served.sort((one, other) => (other.claimed_by === me()) - (one.claimed_by === me()));
    keyed(byId('waiting'), queue, (line) => line.conversation, make, draw);
    keyed(byId('served'), served, (line) => line.conversation, make, draw);
    byId('nobody').hidden = !loaded || queue.length > 0;
    byId('served-title').hidden = served.length === 0;
    setText(byId('waiting-title'), queue.length ? `Waiting: ${queue.length}` : 'Waiting');
    next.disabled = queue.length === 0;
    if (counted !== null && queue.length > counted) {
      news(queue.length === 1 ? 'One conversation waits for a person' : `${queue.length} conversations wait for a person`);
    }
    counted = queue.length;
  }

  next.addEventListener('click', async () => {
    const person = await whoAmI();
    if (!person) return;
    const taken = await attempt(() => operators.post('/v1/ops/desk/next', { person }));
    await refresh();
    if (!taken) return;
    go(`#desk/${taken.conversation}`);
    opened.focus();
  });

  // From line to line with the arrows, over both lists.
  byId('view-desk').addEventListener('keydown', (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const links = [...byId('view-desk').querySelectorAll('.line a')];
    const at = links.indexOf(document.activeElement);
    if (!step || at < 0) return;
    event.preventDefault();
    links[at + step]?.focus();
  });

  // ------------------------------------------------------------- interface

  return {
    /** How many wait. */
    waiting: () => waiting().length,

    /** Look at the queue and at the open conversation. */
    async update() {
      lines = await operators.get('/v1/ops/desk');
      loaded = true;
      render();
      await opened.update();
    },

    /** Open a conversation; '' for none. */
    open(conversation) {
      openId = conversation;
      setAttribute(byId('view-desk'), 'data-open', conversation || null);
      opened.open(conversation);
      render();
      refresh();
    },
  };
}
