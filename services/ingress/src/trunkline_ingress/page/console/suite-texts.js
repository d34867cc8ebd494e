// @ts-check
/**
 * Texts about processes, versions of the fleet and traces. Pure.
 *
 * @import {CurrentFleet, FleetVersion, ProcessStatus, SuiteStatus, TraceProof, TraceStep} from './types.js'
 */
import { clock } from '../shared/times.js';

const NUMBER = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 });

/**
 * Format a duration in milliseconds.
 * @param {number} ms
 */
export function milliseconds(ms) {
  return `${NUMBER.format(ms)} ms`;
}

/**
 * Summarise the supervision tree.
 * @param {SuiteStatus} status
 */
export function suiteText({ ready, processes, missing = [] }) {
  const restarts = processes.reduce((total, process) => total + process.restarts, 0);
  const without = missing.length ? ` · no process is ready of: ${missing.join(', ')}` : '';
  return `${ready ? 'Ready' : 'Not ready'} · ${processes.length} processes · ${restarts} restarts${without}`;
}

/**
 * Return the cells of a process after its name and state: restarts, queue, p50, p95, version and pid.
 * @param {ProcessStatus} process
 */
export function processCells({ restarts, queue_depth: depth = 0, p50_ms: p50, p95_ms: p95, version, pid }) {
  return [
    String(restarts), String(depth), p50 ? milliseconds(p50) : '–', p95 ? milliseconds(p95) : '–', version || '–',
    String(pid),
  ];
}

const ORIGINS = { start: 'published at start', apply: 'applied', rollback: 'rolled back' };

/**
 * Describe a version of the fleet.
 * @param {FleetVersion} version
 * @param {boolean} isCurrent
 * @param {number} now
 */
export function versionText(version, isCurrent, now) {
  return [
    ...(isCurrent ? ['current'] : []),
    `${version.agents} agents, ${version.specialties.length} specialties`,
    `${ORIGINS[version.origin] ?? version.origin} by ${version.published_by}`,
    clock(version.published_at, now),
    ...(version.note ? [version.note] : []),
  ].join(' · ');
}

/**
 * Describe which processes have loaded the current version.
 * @param {CurrentFleet} current
 */
export function loadedText({ version, loaded_by: loadedBy }) {
  const all = Object.keys(loadedBy);
  const pending = all.filter((instance) => loadedBy[instance] !== version);
  return pending.length === 0
    ? `All ${all.length} processes that use the fleet have loaded version ${version}`
    : `${all.length - pending.length} of ${all.length} processes have loaded version ${version}; `
      + `pending: ${pending.join(', ')}`;
}

/**
 * Classify a step of a trace by the participants.
 * @param {TraceStep} step
 * @returns {'customer'|'person'|'commit'|'internal'}
 */
export function stepKind({ from, to, type }) {
  if (from === 'customer' || to === 'customer') return 'customer';
  if (from.startsWith('person ') || to === 'people') return 'person';
  return type === 'commit' ? 'commit' : 'internal';
}

/**
 * Add the time since the previous step, in seconds.
 * @param {TraceStep[]} steps
 */
export function withGaps(steps) {
  return steps.map((step, at) => ({ step, gap: at ? step.at - steps[at - 1].at : 0 }));
}

/**
 * Return the note of an archived conversation; '' if the streams have all of it.
 * @param {string[]} archives  names of the archives that it was read from
 */
export function archivedText(archives) {
  return archives.length ? `This conversation is archived; it was read from ${archives.join(', ')}.` : '';
}

/**
 * Return the state of a trace's proof, for its colour.
 * @param {TraceProof} proof
 * @returns {'proven'|'partly'|'faulty'|'unproven'}
 */
export function proofState({ records, proven, faults }) {
  if (faults.length) return 'faulty';
  if (proven === 0) return 'unproven';
  return proven === records ? 'proven' : 'partly';
}

/**
 * Return the fields of a step's record as names and texts, without empty ones; the place of the record is the last.
 * @param {TraceStep} step
 * @returns {[string, string][]}
 */
export function recordFields({ detail, stream, sequence, leaf }) {
  const place = leaf === null ? 'not proven' : `leaf ${leaf} of the tree of records`;
  return [
    ...Object.entries(detail).filter(([, value]) => !isEmpty(value)).map(([name, value]) => fieldText(name, value)),
    ['record', `${stream} ${sequence}, ${place}`],
  ];
}

/** @param {unknown} value */
function isEmpty(value) {
  return value === null || value === '' || (Array.isArray(value) && value.length === 0);
}

/**
 * @param {string} name
 * @param {unknown} value
 * @returns {[string, string]}
 */
function fieldText(name, value) {
  return [name.replaceAll('_', ' '), typeof value === 'string' ? value : JSON.stringify(value)];
}
