"""Subcommands of `planc` that need no screen. Each module loads only what it runs."""
