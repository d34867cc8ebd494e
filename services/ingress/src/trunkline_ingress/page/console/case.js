/**
 * One conversation at the desk: what it is about, what was said, and what a
 * person can do with it – take it, write, hand it back, close it.
 */
import { ask, field } from './dialogs.js';
import { el, icon, keyed, setAttribute, setText } from '../shared/dom.js';
import { renderMarkdown } from '../shared/markdown.js';
import { customerName, isField, prettify, prettifyAgent, specialtyName } from '../shared/names.js';
import { clock, dueIn, span } from '../shared/times.js';

const HUES = 8;
const NEAR_END = 96;
const STORED_WORDS = 'trunkline.desk';

/** Bind to the section of console.html. */
export function createCase({ operators, attempt, whoAmI, me, line, refresh }, section) {
  const words = createWords();
  let id = '';
  let said = null;
  let state = null;
  let wrong = '';
  let follows = true;
  let wantsFocus = false;

  // ------------------------------------------------------------- what it is made of

  const back = el('a', { class: 'back', href: '#desk' }, 'Queue');
  const title = el('h2', { id: 'case-title', tabindex: -1 });
  const urgency = el('span', { class: 'urgency' });
  const facts = el('p', { class: 'facts' });
  const traceLink = el('a', { 'data-testid': 'to-trace' }, 'Trace');
  const handBack = el('button', { type: 'button', class: 'quiet', 'data-testid': 'hand-back', onclick: onHandBack }, 'Hand back');
  const close = el('button', { type: 'button', class: 'quiet', 'data-testid': 'close', onclick: onClose }, 'Close');
  const head = el('header', { class: 'case-head' }, back,
    el('div', { class: 'case-title' }, el('div', { class: 'case-name' }, title, urgency), facts),
    el('div', { class: 'case-actions' }, traceLink, handBack, close));

  const summaryLines = el('ul');
  const summary = el('details', { class: 'summary', 'data-testid': 'summary' }, el('summary', {}, 'What it is about'), summaryLines);
  const log = el('div', { class: 'log', role: 'log', 'aria-label': 'Transcript', 'data-testid': 'log' });
  const pending = el('div', { class: 'log' });
  const column = el('div', { class: 'column' }, summary, log, pending);
  const scroller = el('div', { class: 'scroller', tabindex: 0, role: 'region', 'aria-labelledby': 'case-title' }, column);

  const standing = el('p', { class: 'standing', 'data-testid': 'standing', role: 'status' });
  const claim = el('button', { type: 'button', class: 'primary', 'data-testid': 'claim', onclick: onClaim }, 'Take this conversation');
  const composer = el('textarea', {
    id: 'reply', rows: 1, maxlength: 8000, placeholder: 'Write to the customer', enterkeyhint: 'send', 'data-testid': 'reply',
  });
  const send = el('button', { type: 'submit', class: 'send', 'aria-label': 'Send', 'data-testid': 'send' }, icon('up'));
  const form = el('form', { class: 'composer', autocomplete: 'off' },
    el('label', { class: 'visually-hidden', for: 'reply' }, 'Your reply'), composer, send);
  const foot = el('footer', { class: 'case-foot' }, el('div', { class: 'column' }, standing, claim, form));
  const nothing = el('p', { class: 'empty', 'data-testid': 'no-case' });
  section.append(nothing, head, scroller, foot);

  // ------------------------------------------------------------- drawing

  const hues = new Map();
  function hueOf(specialty) {
    if (!hues.has(specialty)) hues.set(specialty, hues.size % HUES);
    return hues.get(specialty);
  }

  function render() {
    const shown = Boolean(id) && state !== null;
    nothing.hidden = shown;
    head.hidden = scroller.hidden = foot.hidden = !shown;
    setText(nothing, !id ? 'Open a conversation from the queue to read it, or take the next.' : wrong || 'Loading');
    if (shown) {
      renderHead();
      renderSaid();
      renderFoot();
      if (follows) scroller.scrollTop = scroller.scrollHeight;
    }
  }

  function renderHead() {
    const waiting = line(id);
    const now = operators.now();
    if (waiting) setText(title, customerName(waiting.customer));
    else if (!title.textContent) setText(title, id);
    urgency.hidden = !waiting;
    setAttribute(urgency, 'data-urgency', waiting?.urgency);
    setText(urgency, waiting?.urgency ?? '');
    setText(facts, !waiting ? (state.closed ? 'Closed' : 'With the agents') : [
      prettify(waiting.reason),
      waiting.claimed_by ? null : `waits ${span(now - waiting.since)}`,
      waiting.claimed_by ? `answer ${dueIn(waiting.due_at, now)}` : dueIn(waiting.due_at, now),
      waiting.breaches ? `${waiting.breaches} × overdue before` : null,
      waiting.tenant === 'default' ? null : waiting.tenant,
    ].filter(Boolean).join(' · '));
    setAttribute(facts, 'data-overdue', waiting ? now > waiting.due_at : null);
    setAttribute(traceLink, 'href', `#suite/${id}`);
    const mine = isMine(waiting);
    handBack.hidden = close.hidden = !mine;
    summary.hidden = !waiting?.summary;
    const told = (waiting?.summary ?? '').split('\n').filter(Boolean).map((text, at) => ({ text, at }));
    keyed(summaryLines, told, ({ at, text }) => `${at} ${text}`, ({ text }) => {
      const [, who, what] = /^([\w-]{1,40}): (.*)$/s.exec(text) ?? [null, '', text];
      return el('li', {}, ...(who ? [el('strong', {}, specialtyName(who)), ' '] : []), what);
    }, () => {});
  }

  function renderSaid() {
    // The transcript only grows: its places are good keys.
    keyed(log, said.map((one, at) => ({ one, at })), ({ at }) => String(at), ({ one }) => drawSaid(one), () => {});
    const reply = words.of(id).reply;
    keyed(pending, reply ? [reply] : [], (one) => `${one.id} ${one.state} ${one.reason}`, drawPending, () => {});
  }

  function drawSaid(one) {
    const who = one.role === 'customer' ? title.textContent : one.role === 'person' ? one.author : specialtyName(one.specialty);
    const role = one.role === 'agent' ? prettifyAgent(one.author, one.specialty) : '';
    const node = el('article', {
      class: 'item said', 'data-testid': 'said', 'data-role': one.role,
      'data-hue': one.role === 'agent' ? hueOf(one.specialty) : null,
    }, el('p', { class: 'speaker' }, el('span', { class: 'specialty' }, who),
      ...(role ? [el('span', { class: 'agent' }, ` · ${role}`)] : []),
      el('time', { datetime: new Date(one.at * 1000).toISOString() }, clock(one.at, operators.now()))));
    const text = el('div', { class: one.role === 'agent' ? 'text' : 'bubble' });
    if (one.role === 'agent') renderMarkdown(text, one.text);
    else text.textContent = one.text;
    node.append(text);
    const sources = [...new Set(one.citations.map((citation) => citation.title))];
    if (sources.length) node.append(el('p', { class: 'sources' }, `From ${sources.join('; ')}`));
    return node;
  }

  function drawPending(reply) {
    const failed = reply.state === 'failed';
    return el('article', { class: 'item said unsent', 'data-testid': 'unsent', 'data-role': 'person', 'data-state': reply.state },
      el('p', { class: 'speaker' }, el('span', { class: 'specialty' }, me()), el('span', { class: 'agent' }, failed ? '' : ' · sending')),
      el('div', { class: 'bubble' }, reply.text),
      ...(failed ? [el('p', { class: 'sources trouble' }, `${reply.reason} `,
        el('button', { type: 'button', class: 'small', 'data-testid': 'send-again', onclick: () => deliver(id) }, 'Send again'), ' ',
        el('button', { type: 'button', class: 'small', onclick: takeBack }, 'Take back'))] : []));
  }

  /** Give up sending, and have the text where it was written. */
  function takeBack() {
    const { reply, draft } = words.of(id);
    composer.value = draft || reply.text;
    words.set(id, { reply: null, draft: composer.value });
    render();
    composer.focus();
  }

  const isMine = (waiting) => Boolean(waiting?.claimed_by) && waiting.claimed_by === me();

  function renderFoot() {
    const waiting = line(id);
    const mine = isMine(waiting) && !state.closed;
    const free = waiting && !waiting.claimed_by && !state.closed;
    setText(standing, state.closed ? 'This conversation is closed.'
      : !waiting ? 'The agents answer in this conversation.'
        : waiting.claimed_by && !mine ? `${waiting.claimed_by} has this conversation.` : '');
    standing.hidden = !standing.textContent;
    claim.hidden = !free;
    form.hidden = !mine;
    send.disabled = !composer.value.trim() || Boolean(words.of(id).reply);
    if (mine && wantsFocus) {
      wantsFocus = false;
      composer.focus();
    }
  }

  // ------------------------------------------------------------- orders

  function order(name, body) {
    return operators.post(`/v1/ops/desk/${encodeURIComponent(id)}/${name}`, body);
  }

  async function onClaim() {
    const person = await whoAmI();
    if (!person) return;
    const done = await attempt(() => order('claim', { person }));
    await refresh();
    if (done) composer.focus();
  }

  async function onHandBack() {
    const specialties = await attempt(handBackTargets) ?? [];
    const answer = await ask({
      title: 'Hand back to the agents',
      text: 'From now on the customer is answered by agents again.',
      fields: [
        field('Note for whoever goes on', el('textarea', { name: 'note', rows: 3, maxlength: 2000, 'data-testid': 'note' }), 'The customer does not see it.'),
        field('Who goes on', el('select', { name: 'to', 'data-testid': 'to' }, el('option', { value: '' }, 'Whoever had it before'),
          ...specialties.map((name) => el('option', { value: name }, prettify(name))))),
      ],
      confirm: 'Hand back', testid: 'hand-back-form',
    });
    if (!answer) return;
    await attempt(() => order('hand_back', { person: me(), note: answer.note.trim(), to: answer.to }));
    await refresh();
    title.focus();
  }

  /** Where a conversation can go: not to those who would only pass it on to people again. */
  async function handBackTargets() {
    const versions = await operators.get('/v1/ops/fleet/versions');
    return (versions.at(-1)?.specialties ?? []).filter(isField);
  }

  async function onClose() {
    const answer = await ask({
      title: 'Close the conversation',
      text: 'The customer cannot write in it any more.',
      fields: [field('Reason', el('input', { name: 'reason', required: true, maxlength: 200, value: 'settled by a person', 'data-testid': 'reason' }), 'The customer reads it.')],
      confirm: 'Close', grave: true, testid: 'close-form',
    });
    if (!answer) return;
    await attempt(() => order('close', { person: me(), reason: answer.reason.trim() }));
    await refresh();
    title.focus();
  }

  /** Send the reply that waits. Its id was drawn when it was written: however often it is sent, it is one. */
  async function deliver(conversation) {
    const { reply } = words.of(conversation);
    if (!reply) return;
    words.set(conversation, { reply: { ...reply, state: 'sending', reason: '' } });
    render();
    try {
      await operators.post(`/v1/ops/desk/${encodeURIComponent(conversation)}/reply`, { person: me(), reply_id: reply.id, text: reply.text });
    } catch (error) {
      if (error.uncertain) {
        words.set(conversation, { reply: { ...reply, state: 'failed', reason: `Not known to have arrived: ${error.message}` } });
      } else {
        // Refused: it was not said, and goes back to where it was written.
        words.set(conversation, { reply: null, draft: reply.text });
        if (conversation === id) composer.value = reply.text;
        await attempt(() => Promise.reject(error));
      }
      render();
      return;
    }
    await refresh();
    words.set(conversation, { reply: null });
    render();
  }

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const text = composer.value.trim();
    if (!text || words.of(id).reply) return;
    composer.value = '';
    words.set(id, { draft: '', reply: { id: newId(), text, state: 'sending', reason: '' } });
    follows = true;
    deliver(id);
  });
  composer.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });
  composer.addEventListener('input', () => {
    words.set(id, { draft: composer.value });
    renderFoot();
  });
  scroller.addEventListener('scroll', () => {
    follows = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR_END;
  }, { passive: true });

  // ------------------------------------------------------------- interface

  render();

  return {
    /** Show another conversation, '' for none. */
    open(conversation) {
      if (conversation === id) return;
      id = conversation;
      state = said = null;
      wrong = '';
      follows = true;
      hues.clear();
      log.replaceChildren();
      setText(title, '');
      composer.value = words.of(id).draft;
      const { reply } = words.of(id);
      // What a closed tab left in the air is offered again.
      if (reply) words.set(id, { reply: { ...reply, state: 'failed', reason: 'Not known to have arrived.' } });
      render();
    },

    /** Look at the conversation again. */
    async update() {
      if (!id) return;
      const asked = id;
      try {
        const found = await operators.get(`/v1/ops/desk/${encodeURIComponent(asked)}`);
        if (asked !== id) return;
        summary.open ||= state === null && !isMine(found.waiting);
        state = found;
        said = found.transcript;
        wrong = '';
      } catch (error) {
        if (asked !== id || error.status === 0 || error.status >= 500) throw error;
        state = null;
        wrong = error.message;
      }
      render();
    },

    /** Put the cursor where one writes, once one can. */
    focus() {
      wantsFocus = true;
    },
  };
}

/** What is being written, by conversation: kept over a reload, as the reply's id must be. */
function createWords() {
  let all = {};
  try {
    all = JSON.parse(sessionStorage.getItem(STORED_WORDS) ?? '{}');
  } catch {
    // Unreadable or refused: begin with nothing.
  }
  const of = (conversation) => ({ draft: '', reply: null, ...all[conversation] });
  return {
    of,
    set(conversation, change) {
      const changed = { ...of(conversation), ...change };
      if (changed.draft || changed.reply) all[conversation] = changed;
      else delete all[conversation];
      try {
        sessionStorage.setItem(STORED_WORDS, JSON.stringify(all));
      } catch {
        // It then lives as long as the page.
      }
    },
  };
}

function newId() {
  // Not crypto.randomUUID: that exists only on secure origins.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
