// @ts-check
/**
 * Types of the chat: frames of the server and the state of a conversation. Imported by JSDoc only.
 *
 * Frames with `seq` are durable, see `trunkline_protocols.frames`.
 *
 * @import {Citation} from '../shared/sources.js'
 *
 * @typedef {{specialty: string, agent: string}} Consulted
 *
 * @typedef {{type: 'started', conversation: string, resume_token: string, seq: number}} StartedFrame
 * @typedef {{type: 'resumed', conversation: string, recovered: boolean}} ResumedFrame
 * @typedef {{type: 'accepted', id: string, seq: number}} AcceptedFrame
 * @typedef {{type: 'delta', turn: string, text: string, replace?: boolean}} DeltaFrame
 * @typedef {{type: 'message', turn: string, seq: number, text: string, specialty?: string, agent?: string,
 *            citations?: Citation[], consulted?: Consulted[], in_reply_to: string|string[],
 *            title?: string, at?: number}} MessageFrame  `at` in Unix seconds
 * @typedef {{type: 'handoff', turn: string, seq: number, from?: string, to?: string, reason?: string}} HandoffFrame
 * @typedef {{type: 'escalated', turn: string, seq: number, urgency?: string, position?: number,
 *            level?: string}} EscalatedFrame
 * @typedef {{type: 'position', urgency: string, position: number, claimed_by?: string}} PositionFrame
 * @typedef {{type: 'notice', id: string, text: string, severity?: string, expires_at?: number}} NoticeFrame
 * @typedef {{type: 'notice_recalled', id: string}} NoticeRecalledFrame
 * @typedef {{type: 'closed', seq: number, reason?: string}} ClosedFrame
 * @typedef {{type: 'error', code: string, message: string, retryable?: boolean, id?: string|null,
 *            retry_after_s?: number, site?: string|null}} ErrorFrame
 * @typedef {StartedFrame|ResumedFrame|AcceptedFrame|DeltaFrame|MessageFrame|HandoffFrame|EscalatedFrame|PositionFrame
 *           |NoticeFrame|NoticeRecalledFrame|ClosedFrame|ErrorFrame} ServerFrame
 *
 * @typedef {{type: string, [field: string]: string|number}} ClientFrame
 * @typedef {{key: string, frame: ClientFrame}} OutboxEntry  `key` identifies one attempt
 *
 * @typedef {object} OwnItem  a message of the customer
 * @property {'own'} kind
 * @property {string} key
 * @property {string} id
 * @property {string} text
 * @property {number|null} at  when it was written, in Unix seconds
 * @property {boolean} person  it requests a person
 * @property {'pending'|'accepted'|'failed'} state
 * @property {boolean} sent
 * @property {boolean} held  rejected for now; another attempt is scheduled
 * @property {number} [waitMs]  least time until that attempt, as the server demands it
 * @property {number} attempts
 * @property {boolean} answered
 * @property {string|null} trouble  the error to show
 *
 * @typedef {{kind: 'reply', key: string, turn: string, text: string, final: boolean,
 *            specialty: string|null, agent: string|null, title: string, at: number|null,
 *            citations: Citation[], consulted: Consulted[]}} ReplyItem  `title`: the agent's, may be ''; `at`: null while
 *   it streams
 * @typedef {{kind: 'handoff', key: string, turn: string, from: string|null, to: string|null, reason: string,
 *            back: boolean}} HandoffItem  `back`: from a person, or from the queue for one
 * @typedef {'senior'|'waiting'|'leaving'|'left'|'over'} EscalationStage
 * @typedef {{kind: 'escalation', key: string, turn: string, urgency: string|null, position: number|null,
 *            stage: EscalationStage}} EscalationItem
 * @typedef {{kind: 'break'|'closed', key: string, text: string}} MarkItem
 * @typedef {OwnItem|ReplyItem|HandoffItem|EscalationItem|MarkItem} Item
 * @typedef {Omit<OwnItem, 'key'>|Omit<ReplyItem, 'key'>|Omit<HandoffItem, 'key'>|Omit<EscalationItem, 'key'>
 *           |Omit<MarkItem, 'key'>} NewItem
 *
 * @typedef {{id: string, text: string, severity: string, expiresAt: number, stale: boolean}} Notice  `stale`: from
 *   before the last connection, and not repeated on it yet
 *
 * @typedef {object} State  the conversation; immutable, and stored in this form
 * @property {number} version
 * @property {string} owner  whom the conversation belongs to, as `Visitor.owner` returns it
 * @property {{id: string, token: string}|null} conversation
 * @property {number} lastSeq
 * @property {boolean} ended
 * @property {boolean} ending  `end` was requested; repeated after a reconnect until `closed` arrives
 * @property {boolean} resync  a durable frame is missing: the socket must be replaced and resumed
 * @property {number|null} gapAt  `lastSeq` at the last gap, so that each gap is requested once
 * @property {boolean} resuming  a `resume` is in flight; the next error answers it
 * @property {string[]} cut  own messages whose streamed answer may lack its beginning
 * @property {string|null} specialty  the current owner, as far as known
 * @property {string|null} person  the person who has claimed the conversation; null while agents own it
 * @property {Notice[]} notices  active notices
 * @property {string[]} hidden  ids of notices that the customer has hidden
 * @property {number|null} rating
 * @property {string|null} comment  the reason of a low rating; '' if the customer gave none, null before
 * @property {{code: string, message: string, retryable: boolean}|null} problem
 * @property {OutboxEntry[]} controls  frames without an acknowledgement, kept until sent
 * @property {Item[]} items
 * @property {number} base  items before this index belong to a lost conversation
 * @property {number} nextKey
 *
 * @typedef {'connecting'|'open'|'reconnecting'|'closed'} ConnectionState
 * @typedef {object} Link
 * @property {ConnectionState} state
 * @property {boolean} elsewhere  another tab or window has resumed the conversation
 * @property {boolean} long  reconnecting for long enough to show it
 */
export {};
