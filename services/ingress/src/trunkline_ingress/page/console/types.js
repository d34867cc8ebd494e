// @ts-check
/**
 * Types of the operators' API, as `trunkline_ingress.handlers.ops` returns them, and of the console. Imported by JSDoc
 * only. Times in Unix seconds; the server omits optional fields that have their default.
 *
 * @typedef {object} QueueEntry  an escalated conversation
 * @property {string} conversation
 * @property {string} customer
 * @property {string} tenant
 * @property {'low'|'normal'|'high'|'critical'} urgency
 * @property {string} reason
 * @property {string} summary  lines of `specialty: text`
 * @property {number} since
 * @property {number} due_at
 * @property {number} position  0 if a person has claimed it
 * @property {string} claimed_by  '' if no person has
 * @property {number} breaches
 * @property {string} last_message  the customer's, shortened; '' before the first
 * @property {number} messages  of the customer so far
 * @property {number} unanswered  messages of the customer since the last answer
 * @property {number} gone_since  time since which the customer's page is closed, 0 while it is open
 *
 * @typedef {object} TranscriptEntry
 * @property {'customer'|'agent'|'person'|'note'} role  `note`: an internal note of a person
 * @property {string} text
 * @property {number} at
 * @property {string} author  an agent or a person
 * @property {string} specialty
 * @property {string} title  the agent's; '' for people and for texts of the system
 * @property {import('../shared/sources.js').Citation[]} citations
 *
 * @typedef {object} EscalatedConversation
 * @property {string} conversation
 * @property {QueueEntry|null} waiting  its entry in the queue
 * @property {boolean} closed
 * @property {string[]} archives  names of the archives that it was read from
 * @property {TranscriptEntry[]} transcript
 * @property {Customer|null} customer  the known data about the customer, now; null if it cannot be read
 * @property {string} channel
 * @property {string} locale
 * @property {string} tier
 * @property {boolean} verified  an access token named the customer
 *
 * @typedef {object} Customer
 * @property {{name: string, value: string|number|boolean|Record<string, string>, age_s: number}[]} facts
 * @property {{reader: string, age_s: number, failure: string}[]} readings  `failure`: '' after a success
 * @property {Record<string, string>} claims
 *
 * @typedef {'unanswered'|'low_rating'|'misroute'} ReviewKind
 * @typedef {object} ReviewItem  a turn or rating to review
 * @property {ReviewKind} kind
 * @property {string} conversation
 * @property {string} turn  '' for a rating
 * @property {number} at
 * @property {string} tenant
 * @property {string} specialty  that answered, or that the turn left; '' if unknown
 * @property {string} to  specialty that the turn was moved to
 * @property {number} rating  0 for a turn
 * @property {string} reason  '' for roles that may not read conversations
 * @property {string} text  the customer's; '' for roles that may not read conversations
 * @typedef {{items: ReviewItem[], since: number}} Review
 *
 * @typedef {'agents'|'customers'|'all'} Audience
 * @typedef {object} Notice
 * @property {string} notice  its id
 * @property {string} text
 * @property {'info'|'warning'|'critical'} severity
 * @property {Audience} audience
 * @property {number} published_at
 * @property {number} expires_at
 * @property {string[]} [specialties]
 * @property {string[]} [tenants]
 * @typedef {{notice: Notice, received_by: string[], missing: string[]}} NoticeStatus  with instances of processes
 * @typedef {object} NewNotice
 * @property {string} text
 * @property {string} audience
 * @property {string} severity
 * @property {number} ttl_s
 * @property {string[]} specialties  empty for all
 * @property {string[]} tenants  empty for all
 *
 * @typedef {object} ProcessStatus
 * @property {string} name
 * @property {string} service
 * @property {string} instance
 * @property {number} pid
 * @property {'starting'|'ready'|'draining'|'stopped'|'restarting'|'failed'} state
 * @property {number} restarts
 * @property {string} [version]
 * @property {number} [queue_depth]
 * @property {number} [p50_ms]
 * @property {number} [p95_ms]
 * @property {Record<string, string>} [detail]
 * @typedef {{ready: boolean, processes: ProcessStatus[], missing?: string[]}} SuiteStatus
 *
 * @typedef {object} FleetVersion
 * @property {number} version
 * @property {number} published_at
 * @property {string} published_by
 * @property {'start'|'apply'|'rollback'} origin
 * @property {string} note
 * @property {number} agents
 * @property {string[]} specialties
 * @typedef {{version: number, loaded_by: Record<string, number>}} CurrentFleet  `loaded_by`: version by instance
 *
 * @typedef {object} TraceStep
 * @property {number} at
 * @property {string} from
 * @property {string} to
 * @property {string} subject
 * @property {string} type
 * @property {number} ms
 * @property {string} summary
 * @property {Record<string, unknown>} detail
 * @property {string} stream
 * @property {number} sequence
 * @property {number|null} leaf  number in the tree of records; null if not proven
 * @typedef {{summary: string, records: number, proven: number, faults: string[], unavailable: string}} TraceProof
 * @typedef {{conversation: string, steps: TraceStep[], archives: string[], proof: TraceProof|null}} Trace
 *
 * @typedef {object} ConsoleContext  functions of the console for its views
 * @property {import('./ops-api.js').OpsApi} ops
 * @property {<Result>(action: () => Promise<Result>) => Promise<Result|undefined>} attempt  run an action of the
 *   operator; show its error and return undefined if it fails
 * @property {() => Promise<string>} requirePerson  the operator's name, requested if it is unknown; '' if not given
 * @property {() => string} person  the operator's name, '' if unknown
 * @property {(hash: string) => void} navigate
 * @property {(text: string) => void} announce  to screen readers
 * @property {() => Promise<void>} refresh  update the view now
 */
export {};
