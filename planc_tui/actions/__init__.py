"""Everything that changes a system: one executor, one file per action."""
