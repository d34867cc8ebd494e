/** The notice board: what is in force and who has confirmed it; publishing and recalling. */
import { ask, field } from './dialogs.js';
import { el, keyed, setAttribute, setText } from '../shared/dom.js';
import { prettify } from '../shared/names.js';
import { clock, span } from '../shared/times.js';

const TIMES = [['900', '15 minutes'], ['3600', '1 hour'], ['14400', '4 hours'], ['86400', '1 day'], ['604800', '7 days']];
const AUDIENCES = { agents: 'Agents', customers: 'Customers', all: 'Agents and customers' };

/** Fill the section of console.html. */
export function createBoard({ operators, attempt, refresh, news }, section) {
  // ------------------------------------------------------------- publishing

  const text = el('textarea', { name: 'text', rows: 3, required: true, maxlength: 2000, 'data-testid': 'notice-text' });
  const audience = el('select', { name: 'audience', 'data-testid': 'notice-audience' },
    ...Object.entries(AUDIENCES).map(([value, label]) => el('option', { value }, label)));
  const severity = el('select', { name: 'severity', 'data-testid': 'notice-severity' },
    ...['info', 'warning', 'critical'].map((value) => el('option', { value }, prettify(value))));
  const ttl = el('select', { name: 'ttl_s', 'data-testid': 'notice-ttl' },
    ...TIMES.map(([value, label]) => el('option', { value, selected: value === '3600' }, label)));
  const tenants = el('input', { name: 'tenants', 'data-testid': 'notice-tenants' });
  const choices = el('div', { class: 'choices' });
  const only = el('fieldset', { hidden: true }, el('legend', {}, 'Only agents of'), choices,
    el('small', {}, 'None chosen: all of them.'));
  const publish = el('button', { type: 'submit', class: 'primary', 'data-testid': 'publish' }, 'Publish');
  const form = el('form', { class: 'card publish', autocomplete: 'off' },
    el('h2', {}, 'Publish a notice'),
    field('Text', text, 'Agents take it into account in what they answer; customers read it as it is.'),
    el('div', { class: 'row' }, field('For', audience), field('Severity', severity), field('In force for', ttl)),
    field('Only tenants', tenants, 'Names with commas between them. None: all of them.'),
    only, el('div', { class: 'ask-actions' }, publish));

  const list = el('ol', { class: 'cards', 'aria-labelledby': 'in-force' });
  const empty = el('p', { class: 'empty', 'data-testid': 'no-notices', hidden: true }, 'No notice is in force.');
  section.append(el('div', { class: 'wide-column' }, form, el('h2', { id: 'in-force' }, 'In force'), empty, list));

  let specialties = null;
  async function offerSpecialties() {
    if (specialties !== null) return;
    specialties = (await operators.get('/v1/ops/fleet/versions')).at(-1)?.specialties ?? [];
    choices.replaceChildren(...specialties.map((name) => el('label', { class: 'choice' },
      el('input', { type: 'checkbox', name: 'specialties', value: name }), prettify(name))));
    showOnly();
  }
  function showOnly() {
    only.hidden = audience.value === 'customers' || !specialties?.length;
  }
  audience.addEventListener('change', showOnly);

  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const said = new FormData(form);
    publish.disabled = true;
    const done = await attempt(() => operators.post('/v1/ops/notices', {
      text: said.get('text').trim(), audience: said.get('audience'), severity: said.get('severity'),
      ttl_s: Number(said.get('ttl_s')), specialties: only.hidden ? [] : said.getAll('specialties'),
      tenants: said.get('tenants').split(',').map((name) => name.trim()).filter(Boolean),
    }));
    publish.disabled = false;
    if (done) {
      form.reset();
      showOnly();
      news('The notice is published');
    }
    await refresh();
  });

  // ------------------------------------------------------------- in force

  async function recall(notice) {
    const sure = await ask({
      title: 'Recall the notice?', text: `“${notice.text}” no longer holds, for anybody.`, confirm: 'Recall', grave: true, testid: 'recall-form',
    });
    if (!sure) return;
    await attempt(() => operators.delete(`/v1/ops/notices/${encodeURIComponent(notice.notice)}`));
    await refresh();
  }

  function make({ notice }) {
    return el('li', { class: 'card notice-card', 'data-testid': 'notice', 'data-id': notice.notice, 'data-severity': notice.severity },
      el('div', { class: 'card-head' }, el('p', { class: 'facts' }),
        el('button', { type: 'button', class: 'small', 'data-testid': 'recall', 'aria-label': `Recall: ${notice.text}`, onclick: () => recall(notice) }, 'Recall')),
      el('p', { class: 'notice-text' }, notice.text),
      el('p', { class: 'receipts' }),
      el('details', {}, el('summary', {}, 'Receipts'), el('p', { class: 'names' })));
  }

  function draw(node, { notice, received_by: received, missing }) {
    const now = operators.now();
    const specialtiesOf = notice.specialties?.length ? ` (${notice.specialties.map(prettify).join(', ')})` : '';
    const tenantsOf = notice.tenants?.length ? ` of ${notice.tenants.join(', ')}` : '';
    setText(node.querySelector('.facts'), [
      prettify(notice.severity), `${AUDIENCES[notice.audience]}${specialtiesOf}${tenantsOf}`,
      `${span(notice.expires_at - now)} left, until ${clock(notice.expires_at, now)}`,
    ].join(' · '));
    const all = received.length + missing.length;
    const receipts = node.querySelector('.receipts');
    setAttribute(receipts, 'data-complete', missing.length === 0);
    setText(receipts, missing.length === 0 ? `All ${all} processes have confirmed it` : `${received.length} of ${all} processes have confirmed it`);
    setText(node.querySelector('.names'), [
      missing.length ? `Not yet: ${missing.join(', ')}.` : '', received.length ? `Confirmed: ${received.join(', ')}.` : '',
    ].filter(Boolean).join(' '));
  }

  return {
    /** Look at the board. */
    async update() {
      const shown = await operators.get('/v1/ops/notices');
      shown.reverse();
      keyed(list, shown, ({ notice }) => notice.notice, make, draw);
      empty.hidden = shown.length > 0;
      await offerSpecialties();
    },
  };
}
