"""Names of the entries that change an incident. Any other type is a line of the timeline and nothing more.

Invariant: a name never changes its meaning, because old journals are read with it.
"""

from __future__ import annotations

from typing import Final

DECLARED: Final = "incident.declared"
CONFIRMED: Final = "incident.confirmed"
ACKNOWLEDGED: Final = "incident.acknowledged"
UNACKNOWLEDGED: Final = "incident.unacknowledged"
ACK_EXPIRED: Final = "incident.ack_expired"
SNOOZED: Final = "incident.snoozed"
SNOOZE_ENDED: Final = "incident.snooze_ended"
SEVERITY: Final = "incident.severity"
MITIGATED: Final = "incident.mitigated"
RESOLVED: Final = "incident.resolved"
REOPENED: Final = "incident.reopened"
REVIEW: Final = "incident.review"
CLOSED: Final = "incident.closed"
CANCELLED: Final = "incident.cancelled"
EVIDENCE: Final = "incident.evidence"
FACTS: Final = "incident.facts"
EXPORTED: Final = "incident.exported"

ROLE_ASSUMED: Final = "role.assumed"
ROLE_RENOUNCED: Final = "role.renounced"

NOTE: Final = "note"
DECISION: Final = "decision"
HYPOTHESIS: Final = "hypothesis"
TODO: Final = "todo"
TODO_DONE: Final = "todo.done"
CORRECTED: Final = "entry.corrected"
TICKED: Final = "check.ticked"

PAGE_DUE: Final = "page.due"
PAGE_REACHED: Final = "page.reached"
CATCH_UP: Final = "escalation.catch_up"

MESSAGE_QUEUED: Final = "message.queued"
DELIVERY_QUEUED: Final = "delivery.queued"
DELIVERY_STARTED: Final = "delivery.started"
DELIVERY_SENT: Final = "delivery.sent"
DELIVERY_FAILED: Final = "delivery.failed"

ACTION_CONFIRMED: Final = "action.confirmed"
ACTION_DECLINED: Final = "action.declined"
ACTION_STARTED: Final = "action.started"
ACTION_RESULT: Final = "action.result"
ACTION_REFUSED: Final = "action.refused"
SNAPSHOT: Final = "snapshot"

FINDING_RAISED: Final = "finding.raised"
FINDING_CLEARED: Final = "finding.cleared"

BUDGET: Final = "slo.budget"
WORST: Final = "slo.worst"
SPENT: Final = "slo.spent"

SILENCE_CREATED: Final = "silence.created"
SILENCE_ENDED: Final = "silence.ended"

WRITTEN: Final = frozenset({NOTE, DECISION, HYPOTHESIS, TODO})
"""What people write with one key; these can be corrected."""
