"""Pure incident logic: lifecycle, escalation, messages, indicators, post-mortem."""
