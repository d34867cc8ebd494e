/** Wires the connection, the conversation and the view together. */
import { Connection, retryDelay } from './connection.js';
import * as conversation from './conversation.js';
import { createPassage } from './passage.js';
import { createView } from './view.js';

const STORED_STATE = 'trunkline.conversation';
const STORED_DRAFT = 'trunkline.draft';
const STORED_CUSTOMER = 'trunkline.customer';
/** A shorter interruption is over before a sentence about it could be read. */
const LONG_OUTAGE_MS = 2500;
/** Browsers keep the time of a timer in 31 bits. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

// ----------------------------------------------------------------- storage

/** Storage may be refused by the browser; the chat then lives as long as the page. */
function read(storage, key) {
  try {
    return window[storage].getItem(key);
  } catch {
    return null;
  }
}

function write(storage, key, value) {
  try {
    window[storage].setItem(key, value);
    return true;
  } catch {
    return false;
  }
}

function save() {
  // One value, so that the transcript and the last sequence number can never
  // disagree after a reload.
  let kept = state;
  while (!write('sessionStorage', STORED_STATE, conversation.serialise(kept)) && kept.items.length > 1) {
    kept = conversation.thin(kept);
  }
}

function newId() {
  // Not crypto.randomUUID: that exists only on secure origins, and a trial on a
  // local network has none.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** The visitor's own pseudonym, the same in every tab and later visit. */
function customer() {
  let id = read('localStorage', STORED_CUSTOMER);
  if (!id) {
    id = `web-${newId()}`;
    write('localStorage', STORED_CUSTOMER, id);
  }
  return id;
}

// ----------------------------------------------------------------- state

let state = conversation.restore(read('sessionStorage', STORED_STATE));
let link = { state: 'connecting', elsewhere: false, long: false };
let drawing = 0;
let outageTimer = 0;
let expiryTimer = 0;
const retryTimers = new Map();

/** Take over the next state: store it, draw it, send what it wants sent. */
function apply(next, { durable = true } = {}) {
  if (next === state) return;
  const before = state;
  state = next;
  if (durable) save();
  draw();
  if (state.resync && !before.resync) connection.cut();
  scheduleRetries();
  scheduleExpiry();
  connection.flush();
}

/** Take notices down when their time is over. */
function scheduleExpiry() {
  clearTimeout(expiryTimer);
  const next = Math.min(...state.notices.map((notice) => notice.expiresAt));
  if (!Number.isFinite(next)) return;
  const wait = Math.min(Math.max(0, next * 1000 - Date.now()) + 50, LONGEST_TIMER_MS);
  expiryTimer = setTimeout(() => {
    apply(conversation.expireNotices(state, Date.now() / 1000));
    scheduleExpiry();
  }, wait);
}

function draw() {
  // Deltas can outpace the display; one drawing per frame is all that is seen.
  drawing ||= requestAnimationFrame(drawNow);
}

function drawNow() {
  cancelAnimationFrame(drawing);
  drawing = 0;
  view.render(state, link);
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

// ----------------------------------------------------------------- connection

/** Where the page was opened for a tenant or region, its address says so. */
function startFrame() {
  const query = new URLSearchParams(location.search);
  const frame = { type: 'start', customer: customer(), channel: 'web', locale: navigator.language || 'en' };
  for (const name of ['tenant', 'region']) {
    if (query.get(name)) frame[name] = query.get(name);
  }
  return frame;
}

function resumeFrame() {
  const known = state.conversation;
  return known && {
    type: 'resume', conversation: known.id, resume_token: known.token, last_seq: state.lastSeq,
  };
}

const address = new URL('/v1/chat', location.href);
address.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
address.search = '';
address.hash = '';

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
    if (next.state === 'reconnecting') {
      outageTimer ||= setTimeout(() => {
        link = { ...link, long: link.state === 'reconnecting' };
        draw();
      }, LONG_OUTAGE_MS);
    } else {
      clearTimeout(outageTimer);
      outageTimer = 0;
    }
    draw();
  },
});

// ----------------------------------------------------------------- the customer

const articles = new Map();

/** The article in the version that a citation quotes: it may have changed since. */
async function fetchArticle({ document: name, rev = 0 }) {
  const path = `/v1/articles/${encodeURIComponent(name)}${rev ? `?rev=${rev}` : ''}`;
  if (!articles.has(path)) {
    const response = await fetch(path);
    if (!response.ok) throw new Error(`article ${name}: ${response.status}`);
    articles.set(path, await response.json());
  }
  return articles.get(path);
}

const passage = createPassage(fetchArticle);

const view = createView({
  say(text) {
    apply(conversation.compose(state, newId(), text));
    drawNow(); // One's own words must be there when the key comes up again.
  },
  draft: (text) => write('sessionStorage', STORED_DRAFT, text),
  retry: (id) => apply(conversation.retry(state, id)),
  askAgain: (id) => apply(conversation.askAgain(state, id, newId())),
  rate: (value) => apply(conversation.rate(state, value)),
  leaveQueue: () => apply(conversation.leaveQueue(state)),
  hideNotice: (id) => apply(conversation.hideNotice(state, id)),
  end: () => apply(conversation.end(state)),
  dismissProblem: () => apply(conversation.dismissProblem(state)),
  openCitation: (citation, chip) => passage.open(citation, chip),
  tryNow: () => connection.hurry(),
  continueHere: () => connection.connect(),
  newConversation() {
    const farewell = state.conversation && !state.ended ? { type: 'end' } : null;
    for (const timer of retryTimers.values()) clearTimeout(timer);
    retryTimers.clear();
    passage.close();
    // The state first: the fresh socket must find nothing to resume.
    state = { ...conversation.initialState(), notices: state.notices, hidden: state.hidden };
    save();
    connection.restart(link.elsewhere ? null : farewell);
    draw();
    view.focusComposer();
  },
});

async function showCompany(attempt = 0) {
  try {
    const response = await fetch('/v1/company');
    if (!response.ok) throw new Error(String(response.status));
    const company = await response.json();
    view.showCompany(company);
    // Whoever has not said anything yet has no conversation that notices could come with.
    if (!state.conversation) apply(company.notices.reduce(conversation.receive, state));
  } catch {
    // The conversation works without its introduction; it is only worth a few tries.
    if (attempt === 0) view.showCompany({});
    if (attempt < 4) setTimeout(() => showCompany(attempt + 1), retryDelay(attempt + 1));
  }
  draw();
}

// ----------------------------------------------------------------- start

view.restoreDraft(read('sessionStorage', STORED_DRAFT) ?? '');
if (state.ended) connection.close();
else connection.connect();
showCompany();
apply(conversation.expireNotices(state, Date.now() / 1000));
scheduleExpiry();
// At once, so that a restored transcript is part of the page and not news.
drawNow();
view.focusComposer();

window.addEventListener('online', () => connection.hurry());
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) connection.hurry();
});

/** For the browser test: lose the connection the way a network cut does. */
window.trunkline = { dropConnection: () => connection.cut() };
