// @ts-check
/**
 * Texts about notices, and their input. Pure.
 *
 * @import {Audience, Notice, NoticeStatus} from './types.js'
 */
import { prettify } from '../shared/names.js';
import { clock, span } from '../shared/times.js';

/** @type {Record<Audience, string>} */
export const AUDIENCES = { agents: 'Agents', customers: 'Customers', all: 'Agents and customers' };

/**
 * Return severity, audience and remaining time of a notice in one line.
 * @param {Notice} notice
 * @param {number} now
 */
export function noticeFacts({ severity, audience, specialties = [], tenants = [], expires_at: expiresAt }, now) {
  const ofSpecialties = specialties.length ? ` (${specialties.map(prettify).join(', ')})` : '';
  const ofTenants = tenants.length ? ` of ${tenants.join(', ')}` : '';
  return [
    prettify(severity), `${AUDIENCES[audience]}${ofSpecialties}${ofTenants}`,
    `${span(expiresAt - now)} left, until ${clock(expiresAt, now)}`,
  ].join(' · ');
}

/**
 * Count the receipts of a notice, and list the processes.
 * @param {NoticeStatus} status
 */
export function receiptTexts({ received_by: received, missing }) {
  const all = received.length + missing.length;
  return {
    complete: missing.length === 0,
    summary: missing.length === 0
      ? `All ${all} processes have confirmed it` : `${received.length} of ${all} processes have confirmed it`,
    processes: [
      ...(missing.length ? [`Pending: ${missing.join(', ')}.`] : []),
      ...(received.length ? [`Confirmed: ${received.join(', ')}.`] : []),
    ].join(' '),
  };
}

/**
 * Split a comma-separated list; empty items are dropped.
 * @param {string} text
 */
export function splitList(text) {
  return text.split(',').map((item) => item.trim()).filter(Boolean);
}
