/**
 * Renders the conversation state. Items are keyed and compared by identity, so
 * a frame touches only the nodes of the item it changed.
 */
import { el, hiddenText, icon, setAttribute, setText } from '../shared/dom.js';
import { inQueue, isTyping, mayRate, shownNotices } from './conversation.js';
import { renderMarkdown } from '../shared/markdown.js';
import { PERSON, inSentence, prettify, prettifyAgent, readable, specialtyName } from '../shared/names.js';

const HUES = 8;
/** Distance from the end, in pixels, within which new text keeps the end in view. */
const NEAR_END = 96;

/**
 * Bind the view to index.html.
 * @param {Record<string, Function>} on  the customer's actions, by name
 */
export function createView(on) {
  const byId = (id) => document.getElementById(id);
  const parts = Object.fromEntries([
    'company', 'connection', 'connection-text', 'end', 'new', 'scroller', 'welcome', 'greeting',
    'description', 'examples', 'transcript', 'typing', 'typing-text', 'rating', 'latest', 'banner',
    'banner-text', 'banner-action', 'form', 'composer', 'send', 'room', 'keys', 'notices',
  ].map((id) => [id, byId(id)]));
  byId('latest-icon').append(icon('down'));

  let companyName = 'Support';
  /** @type {Map<string, {node: HTMLElement, item: object, hue: string}>} */
  const drawn = new Map();
  let followsEnd = true;
  let bannerAction = null;

  // ------------------------------------------------------------- transcript

  const draw = {
    own(item, node) {
      setAttribute(node, 'data-testid', 'own-message');
      setAttribute(node, 'data-id', item.id);
      setAttribute(node, 'data-state', item.state);
      if (!node.firstChild) node.append(hiddenText('You: '), el('div', { class: 'bubble' }, item.text), el('div', { class: 'tick' }));
      const tick = node.lastElementChild;
      const what = item.state === 'accepted' ? ['tick', 'Delivered'] : ['clock', 'Sending'];
      if (item.trouble) {
        tick.replaceChildren(el('span', { class: 'trouble' }, icon('warning'), item.trouble), ' ', tryAgain(item));
      } else {
        tick.replaceChildren(icon(what[0]), hiddenText(what[1]));
      }
    },

    reply(item, node, before) {
      setAttribute(node, 'data-testid', 'reply');
      setAttribute(node, 'data-turn', item.turn);
      setAttribute(node, 'data-specialty', item.specialty ?? '');
      setAttribute(node, 'data-final', String(item.final));
      // Held back while it streams; see below for how the whole is announced.
      setAttribute(node, 'aria-busy', !item.final);
      if (!node.firstChild) node.append(el('p', { class: 'speaker' }), el('div', { class: 'text' }));
      const speaker = node.firstElementChild;
      const [who, role] = item.specialty === PERSON
        ? [item.agent || 'A person', companyName]
        : [item.specialty ? specialtyName(item.specialty) : companyName, prettifyAgent(item.agent, item.specialty)];
      speaker.replaceChildren(
        el('span', { class: 'specialty' }, who),
        ...(role ? [el('span', { class: 'agent' }, ` · ${role}`)] : []),
        ...(item.consulted.length ? [el('span', { class: 'agent', 'data-testid': 'consulted' }, advice(item.consulted))] : []),
      );
      let text = node.children[1];
      if (item.final && before && !before.final) {
        // Screen readers announce nodes that are added, and few of them look
        // back at what was busy: fresh nodes are read out once, as one reply.
        const fresh = el('div', { class: 'text' });
        text.replaceWith(fresh);
        text = fresh;
      }
      renderMarkdown(text, item.text);
      node.querySelector('.citations')?.remove();
      if (item.citations.length > 0) node.append(citations(item));
    },

    handoff(item, node) {
      setAttribute(node, 'data-testid', 'handoff');
      setAttribute(node, 'data-from', item.from);
      setAttribute(node, 'data-to', item.to);
      const moved = item.to === PERSON ? 'A person has taken over'
        : item.back ? `Back with ${inSentence(item.to)}`
          : item.from ? `Moved from ${inSentence(item.from)} to ${inSentence(item.to)}`
            : `Moved to ${inSentence(item.to)}`;
      node.replaceChildren(el('p', {}, el('strong', {}, moved),
        ...(item.reason ? [el('span', { class: 'reason' }, ` – ${readable(item.reason)}`)] : [])));
    },

    escalation(item, node) {
      setAttribute(node, 'data-testid', 'escalated');
      setAttribute(node, 'data-stage', item.stage);
      setAttribute(node, 'data-position', item.position);
      const waits = item.stage === 'waiting';
      const heading = {
        senior: 'Passed on to the senior team',
        waiting: Number.isInteger(item.position) && item.position > 0
          ? `You are number ${item.position} in the queue` : 'You are in the queue',
        leaving: 'Leaving the queue', left: 'You left the queue for a person', over: 'A person was asked to help',
      }[item.stage];
      const facts = waits ? [
        item.position === 1 ? 'a person takes over next' : 'a person takes over as soon as it is your turn',
        item.urgency === 'high' || item.urgency === 'critical' ? `${item.urgency} urgency` : null,
      ].filter(Boolean) : [];
      if (!node.firstChild) node.append(el('p'));
      node.firstElementChild.replaceChildren(el('strong', {}, heading),
        ...(facts.length ? [el('span', { class: 'reason' }, ` – ${facts.join(', ')}`)] : []));
      // The button stays the same node while the place changes: it may have the focus.
      const leave = node.children[1];
      if (waits && !leave) {
        node.append(el('button', { type: 'button', class: 'small', 'data-testid': 'leave-queue', onclick: () => on.leaveQueue() }, 'Stop waiting'));
      } else if (!waits && leave) {
        const hadFocus = leave === document.activeElement;
        leave.remove();
        if (hadFocus) parts.composer.focus();
      }
    },

    break(item, node) {
      setAttribute(node, 'data-testid', 'break');
      node.replaceChildren(el('p', {}, item.text));
    },

    closed(item, node) {
      setAttribute(node, 'data-testid', 'closed');
      node.replaceChildren(el('p', {}, el('strong', {}, 'Conversation ended'),
        ...(item.text ? [el('span', { class: 'reason' }, ` – ${readable(item.text)}`)] : [])));
    },
  };

  /** `, with advice from Billing and Returns`. */
  function advice(consulted) {
    const names = [...new Set(consulted.map(({ specialty }) => inSentence(specialty)))];
    return `, with advice from ${names.length > 1 ? `${names.slice(0, -1).join(', ')} and ${names.at(-1)}` : names[0]}`;
  }

  function tryAgain(item) {
    const again = item.state === 'failed' ? () => on.retry(item.id) : () => on.askAgain(item.id);
    return el('button', { type: 'button', class: 'small again', onclick: again },
      item.state === 'failed' ? 'Try again' : 'Ask again');
  }

  function citations(item) {
    return el('ol', { class: 'citations', 'aria-label': 'Sources' },
      ...item.citations.map((citation, at) => {
        const chip = el('button', {
          type: 'button', class: 'chip', 'data-testid': 'citation', 'data-document': citation.document,
          'aria-haspopup': 'dialog',
        }, el('span', { class: 'number' }, String(at + 1)), el('span', { class: 'name' }, citation.title || citation.document));
        chip.addEventListener('click', () => on.openCitation(citation, chip));
        return el('li', {}, chip);
      }));
  }

  function renderItems(state) {
    const hueOf = hues(state.items);
    const keep = new Set();
    let running = null;
    let place = parts.transcript.firstElementChild;
    for (const item of state.items) {
      const from = running;
      if (item.kind === 'break') running = null;
      else if (item.kind === 'reply' && item.specialty) running = item.specialty;
      else if (item.kind === 'handoff' && item.to) running = item.to;
      const hue = item.kind === 'handoff'
        ? `${hueOf.get(from ?? item.from) ?? ''}/${hueOf.get(running) ?? ''}`
        : `${hueOf.get(running) ?? ''}`;
      keep.add(item.key);

      let entry = drawn.get(item.key);
      if (!entry) {
        entry = { node: el(item.kind === 'reply' ? 'article' : 'div', { class: `item ${item.kind}` }), item: null, hue: null };
        drawn.set(item.key, entry);
      }
      if (entry.hue !== hue) {
        const [first, second] = hue.split('/');
        setAttribute(entry.node, 'data-hue', first === '' ? null : first);
        setAttribute(entry.node, 'data-hue-to', second === undefined || second === '' ? null : second);
        entry.hue = hue;
      }
      if (entry.item !== item) {
        draw[item.kind](item, entry.node, entry.item);
        entry.item = item;
      }
      if (entry.node === place) place = place.nextElementSibling;
      else parts.transcript.insertBefore(entry.node, place);
    }
    for (const [key, entry] of drawn) {
      if (keep.has(key)) continue;
      entry.node.remove();
      drawn.delete(key);
    }
  }

  /** A colour for each specialty in order of appearance: never two alike by chance. */
  function hues(items) {
    const order = new Map();
    const meet = (name) => name && !order.has(name) && order.set(name, order.size % HUES);
    for (const item of items) {
      if (item.kind === 'handoff') { meet(item.from); meet(item.to); }
      if (item.kind === 'reply') meet(item.specialty);
    }
    return order;
  }

  // ------------------------------------------------------------- the rest

  const CONNECTION_TEXT = {
    connecting: 'Connecting', open: 'Connected', reconnecting: 'Reconnecting', closed: 'Disconnected',
  };

  function renderConnection(link) {
    setAttribute(parts.connection, 'data-state', link.state);
    setText(parts['connection-text'], CONNECTION_TEXT[link.state]);
  }

  function renderTyping(state, link) {
    const typing = isTyping(state) && link.state === 'open';
    if (parts.typing.hidden === !typing) return;
    parts.typing.hidden = !typing;
    setText(parts['typing-text'], typing ? 'An answer is being prepared' : '');
  }

  let ratingDrawn = '';
  function renderRating(state, link) {
    const shown = mayRate(state) && (state.rating !== null || !state.ended || link.state === 'open');
    parts.rating.hidden = !shown;
    const wanted = !shown ? '' : `${state.conversation.id}:${state.rating ?? 'ask'}`;
    if (wanted === ratingDrawn) return;
    const hadFocus = parts.rating.contains(document.activeElement);
    ratingDrawn = wanted;
    if (!shown) return;
    if (state.rating !== null) {
      parts.rating.replaceChildren(el('p', { role: 'status' }, `Thank you. You rated this ${state.rating} of 5.`));
      if (hadFocus) parts.composer.focus();
      return;
    }
    parts.rating.replaceChildren(
      el('p', { id: 'rating-label' }, 'Did this help?'),
      el('div', { class: 'scale', role: 'group', 'aria-labelledby': 'rating-label' },
        ...[1, 2, 3, 4, 5].map((value) => el('button', {
          type: 'button', 'data-testid': `rate-${value}`, onclick: () => on.rate(value),
          'aria-label': `${value} of 5${value === 1 ? ', not at all' : value === 5 ? ', very much' : ''}`,
        }, String(value)))),
    );
  }

  /** The one thing that stands in the way, if any, and what can be done about it. */
  function obstacle(state, link) {
    if (link.elsewhere) {
      return ['This conversation was continued in another tab or window.', 'Continue here', on.continueHere, 'continue-here'];
    }
    if (state.ended) return ['This conversation has ended.', 'New conversation', on.newConversation, 'start-over'];
    if (state.ending) return ['Ending the conversation.'];
    if (link.state === 'reconnecting' && link.long) {
      return ['The connection is lost. What you write is kept and sent once it is back.', 'Try now', on.tryNow, 'try-now'];
    }
    if (state.problem) return [state.problem.message || 'Something went wrong.', 'Dismiss', on.dismissProblem, 'dismiss'];
    return null;
  }

  function renderBanner(state, link) {
    const [text, label, action, testid] = obstacle(state, link) ?? [];
    parts.banner.hidden = !text;
    setText(parts['banner-text'], text ?? '');
    parts['banner-action'].hidden = !label;
    setText(parts['banner-action'], label ?? '');
    setAttribute(parts['banner-action'], 'data-testid', testid);
    bannerAction = action ?? null;
  }

  function renderComposer(state, link) {
    const shut = state.ended || link.elsewhere;
    parts.form.hidden = shut;
    parts.keys.hidden = shut;
    parts.composer.disabled = shut;
    parts.send.disabled = shut || !parts.composer.value.trim();
    setAttribute(parts.composer, 'placeholder', inQueue(state) ? 'Add a detail while you wait'
      : state.person ? `Write to ${state.person}` : 'Write a message');
  }

  const noticesDrawn = new Map();
  /** Broadcasts stand above the conversation: they are true of now and not of a moment in it. */
  function renderNotices(state) {
    const shown = shownNotices(state);
    parts.notices.hidden = shown.length === 0;
    // What is told again after a reconnect is no news: it must not be read out again.
    const keyOf = (notice) => `${notice.id} ${notice.severity} ${notice.text}`;
    const keep = new Set(shown.map(keyOf));
    for (const [key, node] of noticesDrawn) {
      if (keep.has(key)) continue;
      if (node.contains(document.activeElement)) parts.composer.focus();
      node.remove();
      noticesDrawn.delete(key);
    }
    for (const notice of shown) {
      if (noticesDrawn.has(keyOf(notice))) continue;
      const node = el('div', { class: 'notice', 'data-testid': 'notice', 'data-id': notice.id, 'data-severity': notice.severity },
        icon('warning'), el('p', {}, notice.severity === 'info' ? null : el('strong', {}, `${prettify(notice.severity)}: `), notice.text),
        el('button', { type: 'button', class: 'small', 'aria-label': `Hide notice: ${notice.text}`, onclick: () => on.hideNotice(notice.id) }, 'Hide'));
      noticesDrawn.set(keyOf(notice), node);
      parts.notices.append(node);
    }
  }

  // ------------------------------------------------------------- scrolling

  function atEnd() {
    const { scrollHeight, scrollTop, clientHeight } = parts.scroller;
    return scrollHeight - scrollTop - clientHeight < NEAR_END;
  }

  function toEnd() {
    followsEnd = true;
    parts.scroller.scrollTop = parts.scroller.scrollHeight;
    parts.latest.hidden = true;
  }

  parts.scroller.addEventListener('scroll', () => {
    followsEnd = atEnd();
    if (followsEnd) parts.latest.hidden = true;
  }, { passive: true });
  // A growing composer or keyboard shrinks the view without a scroll event.
  new ResizeObserver(() => { if (followsEnd && parts.welcome.hidden) toEnd(); }).observe(parts.scroller);

  // ------------------------------------------------------------- events

  function fitComposer() {
    const { composer, room } = parts;
    if (!CSS.supports('field-sizing', 'content')) {
      composer.style.height = 'auto';
      composer.style.height = `${composer.scrollHeight}px`;
    }
    const left = composer.maxLength - composer.value.length;
    room.hidden = left > 500;
    setText(room, left > 500 ? '' : `${left} characters left.`);
  }

  function submit() {
    const text = parts.composer.value.trim();
    if (!text || parts.composer.disabled) return;
    parts.composer.value = '';
    fitComposer();
    on.draft('');
    on.say(text);
    toEnd();
  }

  parts.form.addEventListener('submit', (event) => {
    event.preventDefault();
    submit();
    parts.composer.focus();
  });
  parts.composer.addEventListener('keydown', (event) => {
    // While an input method composes, Enter chooses a candidate.
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    submit();
  });
  parts.composer.addEventListener('input', () => {
    fitComposer();
    parts.send.disabled = !parts.composer.value.trim();
    on.draft(parts.composer.value);
  });
  parts.end.addEventListener('click', () => on.end());
  parts.new.addEventListener('click', () => on.newConversation());
  parts.latest.addEventListener('click', () => { toEnd(); parts.composer.focus(); });
  parts['banner-action'].addEventListener('click', () => {
    const action = bannerAction;
    action?.();
    parts.composer.focus();
  });

  // ------------------------------------------------------------- interface

  return {
    /** Bring the page up to date with the state. */
    render(state, link) {
      const length = parts.scroller.scrollHeight;
      renderItems(state);
      renderConnection(link);
      renderTyping(state, link);
      renderRating(state, link);
      renderBanner(state, link);
      renderComposer(state, link);
      renderNotices(state);
      const begun = state.items.some((item) => item.kind === 'own' || item.kind === 'reply');
      parts.welcome.hidden = begun || !parts.greeting.textContent;
      parts.end.hidden = !state.conversation || state.ended || state.ending;
      parts.new.hidden = !begun;
      if (!begun) parts.latest.hidden = true;
      else if (followsEnd) toEnd();
      else if (parts.scroller.scrollHeight > length) parts.latest.hidden = false;
    },

    /** Show who is being talked to. */
    showCompany({ name, description, greeting, examples }) {
      companyName = name || companyName;
      setText(parts.company, companyName);
      document.title = companyName;
      setText(parts.greeting, greeting || 'How can we help?');
      setText(parts.description, description || '');
      parts.description.hidden = !description;
      parts.examples.replaceChildren(...(examples ?? []).map((text) => el('li', {},
        el('button', { type: 'button', 'data-testid': 'example', onclick: () => { on.say(text); parts.composer.focus(); } }, text))));
    },

    /** Put an unsent text back after a reload. */
    restoreDraft(text) {
      parts.composer.value = text;
      fitComposer();
    },

    /** Put the cursor where writing goes on, unless that would raise a touch keyboard. */
    focusComposer() {
      if (window.matchMedia('(pointer: fine)').matches) parts.composer.focus();
    },
  };
}
