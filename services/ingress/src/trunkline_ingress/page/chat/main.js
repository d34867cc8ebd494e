// @ts-check
/**
 * Entry point of the chat page: connects the state with the connection and the view.
 *
 * @import {Link, State} from './types.js'
 * @import {Source} from '../shared/sources.js'
 * @import {Article} from './passage.js'
 */
import { fetchCompany } from '../shared/company.js';
import { randomId } from '../shared/ids.js';
import { readItem, writeItem } from '../shared/storage.js';
import { AccessToken } from './access.js';
import { Connection, retryDelay } from './connection.js';
import * as conversation from './conversation.js';
import { PassagePanel } from './passage.js';
import { load, store, watch } from './store.js';
import * as tabs from './tabs.js';
import { ChatView } from './view.js';
import { Visitor } from './visitor.js';

const STORED_DRAFT = 'trunkline.draft';
/** Shorter interruptions show no banner: they end before it could be read. */
const LONG_OUTAGE_MS = 2500;
/** Browsers store the delay of a timer in 31 bits. */
const MAX_TIMER_MS = 2 ** 31 - 1;
/** Delay after a notice's expiry, so that the clock has passed it. */
const EXPIRY_MARGIN_MS = 50;
/** Time within which the server repeats the active notices on a new connection. */
const NOTICES_TIMEOUT_MS = 2_000;
const COMPANY_ATTEMPTS = 5;

// -- state ---

const accessToken = new AccessToken(checkOwner);
const visitor = new Visitor(accessToken);
let state = conversation.initialState(visitor.owner());
let started = false;
/** @type {Link} */
let link = { state: 'connecting', elsewhere: false, long: false };
let frameRequest = 0;
let outageTimer = 0;
let expiryTimer = 0;
let noticesTimer = 0;
/** @type {Map<string, number>} */
const retryTimers = new Map();

function save() {
  if (tabs.mayStore(state, link.elsewhere, () => load(state.owner))) store(state);
}

/**
 * Replace the state: store it, render it and send its outbox.
 * @param {State} next
 * @param {{durable?: boolean}} [options]  `durable`: whether to store it
 */
function apply(next, { durable = true } = {}) {
  if (next === state) return;
  const before = state;
  state = next;
  if (durable) save();
  render();
  if (state.resync && !before.resync) connection.drop();
  scheduleRetries();
  scheduleExpiry();
  connection.flush();
}

/** Remove notices when they expire. */
function scheduleExpiry() {
  clearTimeout(expiryTimer);
  const next = Math.min(...state.notices.map((notice) => notice.expiresAt));
  if (!Number.isFinite(next)) return;
  const delay = Math.min(Math.max(0, next * 1000 - Date.now()) + EXPIRY_MARGIN_MS, MAX_TIMER_MS);
  expiryTimer = setTimeout(() => {
    apply(conversation.expireNotices(state, now()));
    scheduleExpiry();
  }, delay);
}

function scheduleRetries() {
  for (const { id, attempts, waitMs } of conversation.heldMessages(state)) {
    if (retryTimers.has(id)) continue;
    retryTimers.set(id, setTimeout(() => {
      retryTimers.delete(id);
      apply(conversation.retry(state, id));
    }, Math.max(waitMs ?? 0, retryDelay(attempts))));
  }
}

/** Render with the next frame of the display, since deltas can arrive faster. */
function render() {
  frameRequest ||= requestAnimationFrame(renderNow);
}

function renderNow() {
  cancelAnimationFrame(frameRequest);
  frameRequest = 0;
  view.render(state, link);
}

/** Return the time in Unix seconds. */
function now() {
  return Date.now() / 1000;
}

// -- connection ---

function resumeFrame() {
  const known = state.conversation;
  return known && {
    type: 'resume', conversation: known.id, resume_token: known.token, last_seq: state.lastSeq,
    ...accessToken.fields(),
  };
}

/** Show a reconnect as an outage if it takes long. */
function watchOutage() {
  if (link.state !== 'reconnecting') {
    clearTimeout(outageTimer);
    outageTimer = 0;
    return;
  }
  outageTimer ||= setTimeout(() => {
    link = { ...link, long: link.state === 'reconnecting' };
    render();
  }, LONG_OUTAGE_MS);
}

// Relative, like every address of the pages: a proxy may serve the suite below a path of its own.
const address = new URL('v1/chat', document.baseURI);
address.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
address.search = '';
address.hash = '';

const connection = new Connection(address.href, {
  resume: resumeFrame,
  start: () => visitor.startFrame(),
  outbox: () => conversation.outbox(state),
  isOver: () => state.ended,
  isWaiting: () => conversation.isTyping(state) || conversation.isStreamed(state),
  onResuming: () => apply(conversation.resuming(state), { durable: false }),
  onFrame(frame) {
    apply(conversation.receive(state, frame), { durable: frame.type !== 'delta' });
    if (frame.type === 'started' || frame.type === 'resumed') {
      clearTimeout(noticesTimer);
      noticesTimer = setTimeout(() => apply(conversation.dropStaleNotices(state)), NOTICES_TIMEOUT_MS);
    }
  },
  onSent: (entry) => apply(conversation.sent(state, entry)),
  onLink(next) {
    link = { ...next, long: next.state === 'reconnecting' && link.long };
    watchOutage();
    render();
    // The token may have expired, and a new one must be there before the next socket is open.
    if (next.state === 'reconnecting') void accessToken.refresh();
  },
});

// -- view ---

/**
 * Articles by address.
 * @type {Map<string, Article>}
 */
const articles = new Map();

/**
 * Fetch a cited article in the quoted version.
 * @param {Source} source
 */
async function fetchArticle({ document: name, rev }) {
  const path = `v1/articles/${encodeURIComponent(name)}${rev ? `?rev=${rev}` : ''}`;
  const known = articles.get(path);
  if (known) return known;
  const headers = accessToken.headers();
  if (state.conversation) headers.set('Trunkline-Resume-Token', state.conversation.token);
  const response = await fetch(path, { headers });
  if (!response.ok) throw new Error(`article ${name}: status ${response.status}`);
  /** @type {Article} */
  const article = await response.json();
  articles.set(path, article);
  return article;
}

/** Start a new conversation, and end the current one. */
function newConversation() {
  const end = state.conversation && !state.ended ? { type: 'end' } : null;
  // The new state precedes the new socket, which must find nothing to resume.
  show({ ...conversation.initialState(state.owner), notices: state.notices, hidden: state.hidden });
  store(state);
  connection.restart(end);
  view.focusComposer();
}

/**
 * Show another conversation, or none.
 * @param {State} next
 */
function show(next) {
  for (const timer of retryTimers.values()) clearTimeout(timer);
  retryTimers.clear();
  passage.close();
  state = next;
  scheduleExpiry();
  render();
}

/** Take the conversation over from the tab that continues it. */
function continueHere() {
  show(tabs.adopt(state, load(state.owner)));
  connection.connect();
}

/** Follow the tab that continues the conversation. */
function onStored() {
  const stored = load(state.owner);
  const step = tabs.onStored(state, stored, link.elsewhere);
  if (!started || step === 'ignore') return;
  show(tabs.adopt(state, stored));
  if (step === 'reset') {
    connection.restart();
  } else {
    connection.close();
    link = { state: 'closed', elsewhere: step === 'follow', long: false };
  }
}

/** Show the conversation of the customer that the access token belongs to. */
function checkOwner() {
  if (!started || visitor.owner() === state.owner) return;
  show(load(visitor.owner()));
  connection.restart();
}

/** Request a person: here, and in a new conversation if this one has ended. */
function requestPerson() {
  if (link.elsewhere) continueHere();
  if (state.ended) newConversation();
  apply(conversation.requestPerson(state, randomId(), now()));
  renderNow();
}

const passage = new PassagePanel(fetchArticle);

const view = new ChatView({
  send(text) {
    apply(conversation.compose(state, randomId(), text, now()));
    renderNow(); // The customer's own message must appear at once.
  },
  saveDraft: (text) => { writeItem('sessionStorage', STORED_DRAFT, text); },
  retry: (id) => apply(conversation.retry(state, id)),
  askAgain: (id) => apply(conversation.askAgain(state, id, randomId(), now())),
  rate: (rating) => apply(conversation.rate(state, rating)),
  explainRating: (comment) => apply(conversation.explainRating(state, comment)),
  requestPerson,
  leaveQueue: () => apply(conversation.leaveQueue(state)),
  hideNotice: (id) => apply(conversation.hideNotice(state, id)),
  end: () => apply(conversation.end(state)),
  dismissProblem: () => apply(conversation.dismissProblem(state)),
  openSource: (source, opener, quote) => { void passage.open(source, opener, quote); },
  tryNow: () => connection.retryNow(),
  continueHere,
  newConversation,
});

async function showCompany(attempt = 0) {
  try {
    const company = await fetchCompany();
    view.showCompany(company);
    // A conversation brings its own notices.
    if (!state.conversation) apply(company.notices.reduce(conversation.receive, state));
  } catch {
    // The chat works without its introduction.
    if (attempt === 0) view.showCompany({});
    if (attempt + 1 < COMPANY_ATTEMPTS) setTimeout(() => showCompany(attempt + 1), retryDelay(attempt + 1));
  }
  render();
}

// -- start ---

async function start() {
  // The stored conversation may belong to another customer: the token decides.
  await accessToken.refresh();
  started = true;
  state = conversation.expireNotices(load(visitor.owner()), now());
  if (state.ended) connection.close();
  else connection.connect();
  scheduleExpiry();
  void showCompany();
  // At once, so that a screen reader does not announce a restored transcript as new.
  renderNow();
  view.focusComposer();
}

watch(onStored);
view.restoreDraft(readItem('sessionStorage', STORED_DRAFT) ?? '');
void start();

window.addEventListener('online', () => connection.retryNow());
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) connection.retryNow();
});

/** For browser tests: lose the connection as in a network failure. */
Object.assign(window, { trunkline: { dropConnection: () => connection.drop() } });
