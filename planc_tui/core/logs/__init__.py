"""Log lines as values: their time, their level, the stack trace under them and the pattern they share."""
