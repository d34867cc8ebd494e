/** The suite: its processes, the fleet's versions, and the story of one conversation. */
import { ask } from './dialogs.js';
import { el, keyed, setAttribute, setText } from '../shared/dom.js';
import { clock, span } from '../shared/times.js';

const MS = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 });

/** Fill the section of console.html. */
export function createSuite({ operators, attempt, me, go, refresh }, section) {
  // ------------------------------------------------------------- processes

  const sum = el('p', { class: 'facts', 'data-testid': 'suite-sum' });
  const rows = el('tbody');
  const table = el('div', { class: 'table', tabindex: 0, role: 'region', 'aria-labelledby': 'processes' },
    el('table', { class: 'processes' }, el('thead', {}, el('tr', {},
      ...['Process', 'State', 'Restarts', 'Queue', 'p50', 'p95', 'Version', 'PID'].map((name, at) => el('th', { scope: 'col', class: at > 1 ? 'number-cell' : null }, name)))), rows));

  function makeProcess() {
    return el('tr', { 'data-testid': 'process' }, el('th', { scope: 'row' }, el('span', { class: 'name' }), el('small')),
      el('td', {}, el('span', { class: 'state' })), ...Array.from({ length: 6 }, () => el('td', { class: 'number-cell' })));
  }

  function drawProcess(row, process) {
    setAttribute(row, 'data-state', process.state);
    setAttribute(row, 'data-root', process.service === 'supervisor' || null);
    setText(row.querySelector('.name'), process.name);
    setText(row.querySelector('small'), Object.entries(process.detail ?? {}).map(([what, how]) => `${what}: ${how}`).join(', '));
    setText(row.querySelector('.state'), process.state);
    const ms = (value) => (value ? `${MS.format(value)} ms` : '–');
    const cells = [process.restarts, process.queue_depth ?? 0, ms(process.p50_ms), ms(process.p95_ms), process.version || '–', process.pid];
    cells.forEach((value, at) => setText(row.cells[at + 2], String(value)));
  }

  // ------------------------------------------------------------- fleet

  const inForce = el('p', { class: 'facts', 'data-testid': 'fleet-sum' });
  const versions = el('ol', { class: 'versions' });

  async function rollBack(version) {
    const sure = await ask({
      title: `Back to version ${version.version}?`,
      text: 'It is put in force again as a new version. Agents take it at their next turn; turns under way keep theirs.',
      confirm: 'Roll back', testid: 'rollback-form',
    });
    if (!sure) return;
    await attempt(() => operators.post('/v1/ops/fleet/rollback', { to: version.version, by: me() || 'operator' }));
    await refresh();
  }

  function makeVersion(version) {
    return el('li', { 'data-testid': 'version', 'data-version': version.version },
      el('p', {}, el('strong', {}, `Version ${version.version}`), el('span', { class: 'what' })),
      el('button', { type: 'button', class: 'small', 'data-testid': 'roll-back', 'aria-label': `Roll back to version ${version.version}`, onclick: () => rollBack(version) }, 'Roll back'));
  }

  function drawFleet(kept, current) {
    const now = operators.now();
    keyed(versions, kept.toReversed(), (version) => String(version.version), makeVersion, (node, version) => {
      const holds = version.version === current.version;
      setAttribute(node, 'data-in-force', holds || null);
      node.querySelector('button').hidden = holds;
      const how = { start: 'at the start', apply: 'applied', rollback: 'rolled back' }[version.origin] ?? version.origin;
      setText(node.querySelector('.what'), ` – ${[
        holds ? 'in force' : null, `${version.agents} agents, ${version.specialties.length} specialties`,
        `${how} by ${version.published_by}`, clock(version.published_at, now), version.note || null,
      ].filter(Boolean).join(' · ')}`);
    });
    const taken = Object.values(current.loaded_by);
    const behind = Object.entries(current.loaded_by).filter(([, version]) => version !== current.version).map(([instance]) => instance);
    setText(inForce, behind.length
      ? `Version ${current.version} is taken by ${taken.length - behind.length} of ${taken.length} processes; not yet by ${behind.join(', ')}`
      : `All ${taken.length} processes that follow the fleet have taken version ${current.version}`);
  }

  // ------------------------------------------------------------- trace

  let traced = '';
  let told = null;
  const wanted = el('input', { name: 'conversation', required: true, maxlength: 64, pattern: '[A-Za-z0-9_\\-]+', placeholder: 'Conversation', 'aria-label': 'Conversation', 'data-testid': 'trace-conversation', spellcheck: 'false' });
  const form = el('form', { class: 'trace-form', autocomplete: 'off' }, wanted, el('button', { type: 'submit', class: 'quiet', 'data-testid': 'trace-show' }, 'Show'));
  const note = el('p', { class: 'empty', 'data-testid': 'trace-note' });
  const steps = el('ol', { class: 'steps', 'data-testid': 'steps' });
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    go(`#suite/${wanted.value.trim()}`);
    refresh();
  });

  function makeStep({ step, after }) {
    const when = new Date(step.at * 1000);
    const kind = step.from === 'customer' || step.to === 'customer' ? 'customer'
      : step.from.startsWith('person ') || step.to === 'people' ? 'person' : step.type === 'commit' ? 'commit' : 'inside';
    return el('li', { class: `step ${kind}`, 'data-testid': 'step', 'data-type': step.type },
      el('p', { class: 'step-head' },
        el('time', { datetime: when.toISOString() }, clock(step.at, operators.now(), { second: '2-digit', fractionalSecondDigits: 3 })),
        el('span', { class: 'route' }, `${step.from} → ${step.to}`),
        el('span', { class: 'kind' }, step.type),
        el('span', { class: 'took' }, step.ms ? `${MS.format(step.ms)} ms` : ''),
        el('span', { class: 'gap' }, after > 1 ? `after ${span(after)}` : '')),
      el('p', { class: 'words' }, step.summary));
  }

  async function updateTrace() {
    if (!traced) return;
    const asked = traced;
    try {
      const found = await operators.get(`/v1/ops/trace/${encodeURIComponent(asked)}`);
      if (asked !== traced) return;
      const first = told === null;
      told = found.steps;
      setText(note, '');
      drawTrace();
      if (first) section.querySelector('#trace').closest('section').scrollIntoView({ block: 'start' });
      return;
    } catch (error) {
      if (asked !== traced || error.uncertain) throw error;
      told = [];
      setText(note, error.message);
    }
    drawTrace();
  }

  function drawTrace() {
    note.hidden = !note.textContent;
    const shown = (told ?? []).map((step, at, all) => ({ step, after: at ? step.at - all[at - 1].at : 0 }));
    // Late steps may belong between earlier ones: the key says where and what.
    keyed(steps, shown, ({ step }) => `${step.at} ${step.type} ${step.summary}`, makeStep, () => {});
  }

  // ------------------------------------------------------------- interface

  section.append(el('div', { class: 'wide-column' },
    el('section', { class: 'card', 'aria-labelledby': 'processes' }, el('div', { class: 'card-head' }, el('h2', { id: 'processes' }, 'Processes'), sum), table),
    el('section', { class: 'card', 'aria-labelledby': 'fleet' }, el('div', { class: 'card-head' }, el('h2', { id: 'fleet' }, 'Fleet'), inForce), versions),
    el('section', { class: 'card', 'aria-labelledby': 'trace' }, el('div', { class: 'card-head' }, el('h2', { id: 'trace', tabindex: -1 }, 'Trace of a conversation'), form), note, steps)));

  return {
    /** Look at everything again. */
    async update() {
      const [status, kept, current] = await Promise.all([
        operators.get('/v1/ops/status'), operators.get('/v1/ops/fleet/versions'), operators.get('/v1/ops/fleet'), updateTrace(),
      ]);
      keyed(rows, status.processes, (process) => process.instance, makeProcess, drawProcess);
      const restarts = status.processes.reduce((total, process) => total + process.restarts, 0);
      setText(sum, `${status.ready ? 'Ready' : 'Not ready'} · ${status.processes.length} processes · ${restarts} restarts`);
      drawFleet(kept, current);
    },

    /** Show a conversation's story; '' for none. */
    trace(conversation) {
      wanted.value = conversation;
      if (conversation !== traced) told = null;
      traced = conversation;
      if (!traced) setText(note, 'Name a conversation to read what happened in it, step by step. The desk has a link to it.');
      else if (told === null) setText(note, 'Loading');
      drawTrace();
      if (traced) refresh();
    },
  };
}
