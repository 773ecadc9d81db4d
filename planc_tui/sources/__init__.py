"""One file per topic: each reads a port on its own daemon thread and puts what it read into the store."""
