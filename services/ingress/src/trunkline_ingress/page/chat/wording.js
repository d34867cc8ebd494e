// @ts-check
/**
 * Texts that depend on the state of the conversation. Pure.
 *
 * @import {ConnectionState, Consulted, EscalationItem, HandoffItem, Link, ReplyItem, State} from './types.js'
 *
 * @typedef {'continueHere'|'newConversation'|'tryNow'|'dismissProblem'} BannerAction
 * @typedef {{text: string, label?: string, action?: BannerAction, testid?: string}} BannerContent
 */
import { PERSON, inSentence, readable, specialtyName } from '../shared/names.js';
import { isInQueue } from './items.js';
import { inQueue, isPersonRequested } from './state.js';

/** @type {Record<ConnectionState, string>} */
export const CONNECTION_TEXTS = {
  connecting: 'Connecting', open: 'Connected', reconnecting: 'Reconnecting', closed: 'Disconnected',
};

/**
 * Return whether a reply is a text of the system, such as the note of the queue: no agent wrote it.
 * @param {Pick<ReplyItem, 'specialty'|'agent'|'title'>} reply  `agent` is null while it streams
 */
export function isSystemText({ specialty, agent, title }) {
  return agent !== null && !title && specialty !== PERSON;
}

/**
 * Return the name and the role of a reply's author: specialty and title of an agent, a person and the company, or the
 * company alone for a text of the system. The role may be ''.
 * @param {Pick<ReplyItem, 'specialty'|'agent'|'title'>} reply
 * @param {string} company
 */
export function authorOf({ specialty, agent, title }, company) {
  if (specialty === PERSON) return { name: agent || 'A person', role: company };
  if (!specialty || isSystemText({ specialty, agent, title })) return { name: company, role: '' };
  return { name: specialtyName(specialty), role: title };
}

/**
 * Name the consulted specialties: `, with advice from Billing and Returns`.
 * @param {Consulted[]} consulted  at least one
 */
export function adviceText(consulted) {
  const names = [...new Set(consulted.map(({ specialty }) => inSentence(specialty)))];
  return `, with advice from ${names.length > 1 ? `${names.slice(0, -1).join(', ')} and ${names.at(-1)}` : names[0]}`;
}

/**
 * Describe a handoff.
 * @param {HandoffItem} handoff
 */
export function handoffText({ from, to, back }) {
  if (to === PERSON) return 'A person has taken over';
  if (back) return `Back with ${inSentence(to)}`;
  return from ? `Moved from ${inSentence(from)} to ${inSentence(to)}` : `Moved to ${inSentence(to)}`;
}

/**
 * Describe an escalation: a heading, and facts while the customer waits.
 * @param {EscalationItem} escalation
 * @returns {{heading: string, facts: string[]}}
 */
export function escalationText({ stage, position, urgency }) {
  switch (stage) {
    case 'senior': return { heading: 'Passed on to the senior team', facts: [] };
    case 'leaving': return { heading: 'Leaving the queue', facts: [] };
    case 'left': return { heading: 'You left the queue for a person', facts: [] };
    case 'over': return { heading: 'A person was asked to help', facts: [] };
    default: return {
      heading: position !== null && position > 0
        ? `You are number ${position} in the queue` : 'You are in the queue',
      facts: [
        position === 1 ? 'a person takes over next' : 'a person takes over as soon as it is your turn',
        ...(urgency === 'high' || urgency === 'critical' ? [`${urgency} urgency`] : []),
      ],
    };
  }
}

/** Reason of the server if the customer has ended the conversation. */
const ENDED_BY_CUSTOMER = 'ended by the customer';

/**
 * Explain to the customer why the conversation ended; '' without a reason.
 * @param {string} reason
 */
export function endText(reason) {
  return reason === ENDED_BY_CUSTOMER ? 'you ended it' : readable(reason);
}

/**
 * Describe how far the customer is from a person; '' if none is requested.
 * @param {State} state
 */
export function personText(state) {
  if (state.ended) return '';
  if (state.person !== null) return state.person ? `You are talking to ${state.person}` : 'You are talking to a person';
  const waiting = state.items.find(isInQueue);
  if (waiting) return escalationText(waiting).heading;
  return isPersonRequested(state) ? 'Asking for a person' : '';
}

/**
 * Return the most important obstacle and the action against it; null if there is none.
 * @param {State} state
 * @param {Link} link
 * @returns {BannerContent|null}
 */
export function bannerContent(state, link) {
  if (link.elsewhere) {
    return {
      text: 'This conversation continues in another tab or window.',
      label: 'Continue here', action: 'continueHere', testid: 'continue-here',
    };
  }
  if (state.ended) {
    return {
      text: 'This conversation has ended.',
      label: 'New conversation', action: 'newConversation', testid: 'start-over',
    };
  }
  if (state.ending) return { text: 'Ending the conversation.' };
  const isElsewhere = state.resuming && state.problem !== null; // Another site has the conversation: this one says so.
  if (link.state === 'reconnecting' && link.long && !isElsewhere) {
    return {
      text: 'The connection is lost. Your messages are saved and will be sent once it is back.',
      label: 'Try now', action: 'tryNow', testid: 'try-now',
    };
  }
  if (state.problem) {
    return {
      text: state.problem.message || 'Something went wrong.',
      label: 'Dismiss', action: 'dismissProblem', testid: 'dismiss',
    };
  }
  return null;
}

/**
 * Return the placeholder of the composer.
 * @param {State} state
 */
export function composerPlaceholder(state) {
  if (inQueue(state)) return 'Add a detail while you wait';
  return state.person ? `Write to ${state.person}` : 'Write a message';
}
