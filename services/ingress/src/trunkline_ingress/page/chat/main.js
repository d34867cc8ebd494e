// @ts-check
/**
 * Entry point of the chat page: connects the state with the connection and the view.
 *
 * @import {Citation, ClientFrame, Link, State} from './types.js'
 * @import {Article} from './passage.js'
 */
import { fetchCompany } from '../shared/company.js';
import { randomId } from '../shared/ids.js';
import { readItem, writeItem } from '../shared/storage.js';
import { AccessToken } from './access.js';
import { Connection, retryDelay } from './connection.js';
import * as conversation from './conversation.js';
import { PassagePanel } from './passage.js';
import { ChatView } from './view.js';

const STORED_STATE = 'trunkline.conversation';
const STORED_DRAFT = 'trunkline.draft';
const STORED_CUSTOMER = 'trunkline.customer';
/** Shorter interruptions show no banner: they end before it could be read. */
const LONG_OUTAGE_MS = 2500;
/** Browsers store the delay of a timer in 31 bits. */
const MAX_TIMER_MS = 2 ** 31 - 1;
/** Delay after a notice's expiry, so that the clock has passed it. */
const EXPIRY_MARGIN_MS = 50;
const COMPANY_ATTEMPTS = 5;

// -- state ---

let state = conversation.restore(readItem('sessionStorage', STORED_STATE));
/** @type {Link} */
let link = { state: 'connecting', elsewhere: false, long: false };
let frameRequest = 0;
let outageTimer = 0;
let expiryTimer = 0;
/** @type {Map<string, number>} */
const retryTimers = new Map();

/** Store the state as one value, so that transcript and last sequence number agree after a reload. */
function save() {
  let stored = state;
  while (!writeItem('sessionStorage', STORED_STATE, conversation.serialise(stored)) && stored.items.length > 1) {
    stored = conversation.thin(stored);
  }
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
  for (const { id, attempts } of conversation.heldMessages(state)) {
    if (retryTimers.has(id)) continue;
    retryTimers.set(id, setTimeout(() => {
      retryTimers.delete(id);
      apply(conversation.retry(state, id));
    }, retryDelay(attempts)));
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

/** Return the visitor's pseudonym, the same in all tabs and on later visits. */
function customer() {
  let id = readItem('localStorage', STORED_CUSTOMER);
  if (!id) {
    id = `web-${randomId()}`;
    writeItem('localStorage', STORED_CUSTOMER, id);
  }
  return id;
}

/** Build the `start` frame; tenant and region are parameters of the page's address. */
function startFrame() {
  /** @type {ClientFrame} */
  const frame = { type: 'start', customer: customer(), channel: 'web', locale: navigator.language || 'en' };
  const access = accessToken.startFields();
  const parameters = new URLSearchParams(location.search);
  for (const name of ['tenant', 'region']) {
    const value = parameters.get(name);
    if (value) frame[name] = value;
  }
  return { ...frame, ...access };
}

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

const address = new URL('/v1/chat', location.href);
address.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
address.search = '';
address.hash = '';

const accessToken = new AccessToken();

const connection = new Connection(address.href, {
  resume: resumeFrame,
  start: startFrame,
  outbox: () => conversation.outbox(state),
  isOver: () => state.ended,
  isWaiting: () => conversation.isTyping(state) || conversation.isStreamed(state),
  onResuming: () => apply(conversation.resuming(state), { durable: false }),
  onFrame: (frame) => apply(conversation.receive(state, frame), { durable: frame.type !== 'delta' }),
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
 * Fetch the article of a citation in the quoted version.
 * @param {Citation} citation
 */
async function fetchArticle({ document: name, rev = 0 }) {
  const path = `/v1/articles/${encodeURIComponent(name)}${rev ? `?rev=${rev}` : ''}`;
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
  const end = state.conversation && !state.ended && !link.elsewhere ? { type: 'end' } : null;
  for (const timer of retryTimers.values()) clearTimeout(timer);
  retryTimers.clear();
  passage.close();
  // The new state precedes the new socket, which must find nothing to resume.
  state = { ...conversation.initialState(), notices: state.notices, hidden: state.hidden };
  save();
  connection.restart(end);
  render();
  view.focusComposer();
}

/** Request a person: here, and in a new conversation if this one has ended. */
function requestPerson() {
  if (link.elsewhere) connection.connect();
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
  requestPerson,
  leaveQueue: () => apply(conversation.leaveQueue(state)),
  hideNotice: (id) => apply(conversation.hideNotice(state, id)),
  end: () => apply(conversation.end(state)),
  dismissProblem: () => apply(conversation.dismissProblem(state)),
  openCitation: (citation, chip) => { void passage.open(citation, chip); },
  tryNow: () => connection.retryNow(),
  continueHere: () => connection.connect(),
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

view.restoreDraft(readItem('sessionStorage', STORED_DRAFT) ?? '');
if (state.ended) connection.close();
else void accessToken.refresh().then(() => connection.connect());
void showCompany();
apply(conversation.expireNotices(state, now()));
scheduleExpiry();
// At once, so that a screen reader does not announce a restored transcript as new.
renderNow();
view.focusComposer();

window.addEventListener('online', () => connection.retryNow());
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) connection.retryNow();
});

/** For browser tests: lose the connection as in a network failure. */
Object.assign(window, { trunkline: { dropConnection: () => connection.drop() } });
