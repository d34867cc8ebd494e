// @ts-check
/**
 * Entry point of the console: which view is shown, who sits at it, and whether
 * what it shows is live.
 */
import { createBoard } from './board.js';
import { createDesk } from './desk.js';
import { ask, field } from './dialogs.js';
import { el, setAttribute, setText } from '../shared/dom.js';
import { OperationError, Operators } from './operators.js';
import { Poll } from './poll.js';
import { createSuite } from './suite.js';

const STORED_PERSON = 'trunkline.person';
const VIEWS = ['desk', 'notices', 'suite'];
const DESK_EVERY_MS = 1000;
const VIEW_EVERY_MS = 2000;

const byId = (id) => document.getElementById(id);

// ----------------------------------------------------------------- who

let person = '';
try {
  person = localStorage.getItem(STORED_PERSON) ?? '';
} catch {
  // Storage may be refused by the browser; the name is then asked on every visit.
}

function showPerson() {
  setText(byId('person'), person || 'Your name');
  setAttribute(byId('person'), 'aria-label', person ? `You are ${person}. Change your name` : null);
}

/** The name that customers read; asked the first time that it is needed. '' when it was not given. */
async function whoAmI({ again = false } = {}) {
  if (person && !again) return person;
  const answer = await ask({
    title: 'Who is at the desk?',
    text: 'Customers see this name when you write to them.',
    fields: [field('Your name', el('input', {
      name: 'person', required: true, maxlength: 100, value: person, pattern: '.*\\S.*', 'data-testid': 'person-name',
    }))],
    confirm: 'Save', testid: 'who',
  });
  if (answer) {
    person = answer.person.trim();
    try {
      localStorage.setItem(STORED_PERSON, person);
    } catch {
      // As above.
    }
    showPerson();
  }
  return answer || !again ? person : '';
}

const operators = new Operators(async (refused) => {
  const answer = await ask({
    title: 'Operators only',
    text: refused ? 'That token was not accepted.' : 'This suite asks operators for their token. It is forgotten when the tab is closed.',
    fields: [field('Operator token', el('input', { name: 'token', type: 'password', required: true, autocomplete: 'off', 'data-testid': 'operator-token' }))],
    confirm: 'Enter', must: true, testid: 'token',
  });
  return answer.token.trim();
});

// ----------------------------------------------------------------- what is wrong

function tell(text) {
  byId('trouble').hidden = !text;
  setText(byId('trouble-text'), text ?? '');
}
byId('trouble-close').addEventListener('click', () => tell(''));

function showLink(error) {
  const state = error ? 'reconnecting' : 'open';
  setAttribute(byId('connection'), 'data-state', state);
  setText(byId('connection-text'), error ? error.message : 'Live');
}

/** Do what the operator asked for; what prevents it is said in one line. Returns undefined when it failed. */
async function attempt(action) {
  try {
    tell('');
    return await action();
  } catch (error) {
    if (!(error instanceof OperationError)) throw error;
    tell(error.message);
    return undefined;
  }
}

/** Ask again and again; whether it succeeds shows in the lamp. */
function watch(task) {
  return async () => {
    try {
      await task();
      showLink(null);
    } catch (error) {
      if (error instanceof OperationError) showLink(error);
      else reportError(error);
      throw error;
    }
  };
}

// ----------------------------------------------------------------- views

const around = {
  operators, attempt, whoAmI, me: () => person, tell,
  go: (hash) => { location.hash = hash; },
  news: (text) => setText(byId('news'), text),
};
const desk = createDesk({ ...around, refresh: () => polls.desk.now() });
const board = createBoard({ ...around, refresh: () => polls.notices.now() }, byId('view-notices'));
const suite = createSuite({ ...around, refresh: () => polls.suite.now() }, byId('view-suite'));

const polls = {
  // Always: who waits must be seen from every view.
  desk: new Poll(watch(async () => {
    await desk.update();
    showTitle();
  }), DESK_EVERY_MS),
  notices: new Poll(watch(() => board.update()), VIEW_EVERY_MS),
  suite: new Poll(watch(() => suite.update()), VIEW_EVERY_MS),
};

let view = '';
let companyName = '';

function showTitle() {
  const waiting = desk.waiting();
  byId('desk-count').hidden = waiting === 0;
  setText(byId('desk-count'), `${waiting}`);
  setAttribute(byId('tab-desk'), 'aria-label', waiting ? `Desk, ${waiting} waiting` : null);
  const name = { desk: 'Desk', notices: 'Notices', suite: 'Suite' }[view];
  document.title = `${waiting ? `(${waiting}) ` : ''}${name} – ${companyName || 'Console'}`;
}

function route() {
  const [name, rest = ''] = location.hash.slice(1).split('/', 2);
  view = VIEWS.includes(name) ? name : 'desk';
  for (const each of VIEWS) {
    byId(`view-${each}`).hidden = each !== view;
    setAttribute(byId(`tab-${each}`), 'aria-current', each === view ? 'page' : null);
    if (each !== 'desk') polls[each][each === view ? 'start' : 'stop']();
  }
  tell('');
  if (view === 'desk') desk.open(rest);
  if (view === 'suite') suite.trace(rest);
  showTitle();
}

async function showCompany() {
  try {
    const response = await fetch('/v1/company');
    if (response.ok) companyName = (await response.json()).name;
  } catch {
    // Only an ornament here.
  }
  setText(byId('company'), companyName || 'Console');
  showTitle();
}

byId('person').addEventListener('click', () => whoAmI({ again: true }).then(() => polls.desk.now()));
window.addEventListener('hashchange', route);
showPerson();
route();
polls.desk.start();
showCompany();
