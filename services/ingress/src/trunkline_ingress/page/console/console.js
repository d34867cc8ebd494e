// @ts-check
/**
 * Entry point of the console: its views, the operator's name and token, and the state of the connection.
 *
 * @import {ConsoleContext} from './types.js'
 */
import { fetchCompany } from '../shared/company.js';
import { byId, el, setAttribute, setText } from '../shared/dom.js';
import { readItem, writeItem } from '../shared/storage.js';
import { DeskView } from './desk.js';
import { field, openDialog } from './dialogs.js';
import { NoticesView } from './notices.js';
import { OpsApi } from './ops-api.js';
import { OpsClient, OpsError } from './ops-client.js';
import { Poll } from './poll.js';
import { countsText } from './queue.js';
import { ReviewView } from './review.js';
import { SuiteView } from './suite.js';

const STORED_PERSON = 'trunkline.person';
/** @typedef {'desk'|'review'|'notices'|'suite'} ViewName */
/** @type {Record<ViewName, string>} */
const VIEWS = { desk: 'Desk', review: 'Review', notices: 'Notices', suite: 'Suite' };
const DESK_INTERVAL_MS = 1000;
const VIEW_INTERVAL_MS = 2000;
const REVIEW_INTERVAL_MS = 10_000;

// -- operator ---

let person = readItem('localStorage', STORED_PERSON) ?? '';

function showPerson() {
  setText(byId('person'), person || 'Your name');
  setAttribute(byId('person'), 'aria-label', person ? `You are ${person}. Change your name` : null);
}

/** Request the name that customers will see. */
async function changePerson() {
  const values = await openDialog({
    title: 'Your name',
    text: 'Customers see this name when you write to them.',
    fields: [field('Name', el('input', {
      name: 'person', required: true, maxlength: 100, value: person, pattern: '.*\\S.*', 'data-testid': 'person-name',
    }))],
    confirm: 'Save', testid: 'who',
  });
  if (!values) return;
  person = values.person.trim();
  writeItem('localStorage', STORED_PERSON, person);
  showPerson();
}

async function requirePerson() {
  if (!person) await changePerson();
  return person;
}

/** @param {boolean} rejected */
async function requestToken(rejected) {
  const values = await openDialog({
    title: 'Operators only',
    text: rejected ? 'This token is not valid.' : 'Enter the operator token. It is kept until the tab is closed.',
    fields: [field('Operator token', el('input', {
      name: 'token', type: 'password', required: true, autocomplete: 'off', 'data-testid': 'operator-token',
    }))],
    confirm: 'Sign in', mandatory: true, testid: 'token',
  });
  return values?.token.trim() ?? '';
}

// -- errors ---

/** @param {string} text  '' to hide the error */
function showError(text) {
  byId('error').hidden = !text;
  setText(byId('error-text'), text);
}

/** @param {OpsError|null} error */
function showConnection(error) {
  setAttribute(byId('connection'), 'data-state', error ? 'reconnecting' : 'open');
  setText(byId('connection-text'), error ? error.message : 'Live');
}

/** @type {ConsoleContext['attempt']} */
async function attempt(action) {
  try {
    showError('');
    return await action();
  } catch (error) {
    if (!(error instanceof OpsError)) throw error;
    showError(error.message);
    return undefined;
  }
}

/**
 * Poll a task, and show its result as the state of the connection.
 * @param {() => Promise<void>} task
 * @param {number} intervalMs
 * @param {{runsHidden?: boolean}} [options]
 */
function poll(task, intervalMs, options = {}) {
  return new Poll(async () => {
    try {
      await task();
      showConnection(null);
    } catch (error) {
      // A request that is rejected has been answered.
      if (error instanceof OpsError) showConnection(error.uncertain ? error : null);
      else reportError(error);
      throw error;
    }
  }, intervalMs, options);
}

// -- views ---

const client = new OpsClient(requestToken);

const context = {
  ops: new OpsApi(client), attempt, requirePerson,
  person: () => person,
  /** @param {string} hash */
  navigate: (hash) => { location.hash = hash; },
  /** @param {string} text */
  announce: (text) => setText(byId('announcement'), text),
};
const desk = new DeskView({ ...context, refresh: () => polls.desk.now() });
const review = new ReviewView({ ...context, refresh: () => polls.review.now() }, byId('view-review'));
const notices = new NoticesView({ ...context, refresh: () => polls.notices.now() }, byId('view-notices'));
const suite = new SuiteView({ ...context, refresh: () => polls.suite.now() }, byId('view-suite'));

const polls = {
  // Always active: every view, and the title of a hidden tab, shows the number of waiting and unread conversations.
  desk: poll(async () => {
    try {
      await adoptName();
      await desk.update();
    } catch (error) {
      if (error instanceof OpsError) desk.showFailure(error);
      throw error;
    } finally {
      showTitle();
    }
  }, DESK_INTERVAL_MS, { runsHidden: true }),
  review: poll(() => review.update(), REVIEW_INTERVAL_MS),
  notices: poll(() => notices.update(), VIEW_INTERVAL_MS),
  suite: poll(() => suite.update(), VIEW_INTERVAL_MS),
};

/** @type {ViewName} */
let view = 'desk';
let companyName = '';

function showTitle() {
  const counts = desk.counts();
  const total = counts.unread + counts.waiting;
  byId('desk-count').hidden = total === 0;
  setText(byId('desk-count'), String(total));
  setAttribute(byId('tab-desk'), 'aria-label', total ? `Desk, ${countsText(counts)}` : null);
  const mark = desk.isOutOfDate() ? '(!) ' : total ? `(${total}) ` : '';
  document.title = `${mark}${VIEWS[view]} – ${companyName || 'Console'}`;
}

/** Show the view of the address: `#desk/<conversation>`, `#review`, `#notices` or `#suite/<conversation>`. */
function route() {
  const [name, conversation = ''] = location.hash.slice(1).split('/', 2);
  view = Object.hasOwn(VIEWS, name) ? /** @type {ViewName} */ (name) : 'desk';
  for (const each of /** @type {ViewName[]} */ (Object.keys(VIEWS))) {
    byId(`view-${each}`).hidden = each !== view;
    setAttribute(byId(`tab-${each}`), 'aria-current', each === view ? 'page' : null);
    if (each !== 'desk') polls[each][each === view ? 'start' : 'stop']();
  }
  showError('');
  if (view === 'desk') desk.open(conversation);
  if (view === 'suite') suite.trace(conversation);
  showTitle();
}

async function showCompany() {
  try {
    companyName = (await fetchCompany()).name;
  } catch {
    // The console works without the company's name.
  }
  setText(byId('company'), companyName || 'Console');
  showTitle();
}

/** Sign in with the code of the link that `trunkline up` prints, and remove it from the address. */
async function redeemLink() {
  const code = new URLSearchParams(location.hash.slice(1)).get('link');
  if (!code) return;
  history.replaceState(null, '', location.pathname);
  try {
    await client.redeem(code);
  } catch (error) {
    if (!(error instanceof OpsError)) throw error;
  }
}

let isNameKnown = false;

/** A named key has a name of its own, which the operator cannot change. */
async function adoptName() {
  if (isNameKnown) return;
  /** @type {{name: string}} */
  const { name } = await client.send('GET', 'v1/ops/me');
  isNameKnown = true;
  if (!name) return;
  person = name;
  /** @type {HTMLButtonElement} */ (byId('person')).disabled = true;
  showPerson();
}

byId('error-close').addEventListener('click', () => showError(''));
byId('person').addEventListener('click', () => changePerson().then(() => polls.desk.now()));
window.addEventListener('hashchange', route);
showPerson();
void showCompany();
await redeemLink();
route();
polls.desk.start();
