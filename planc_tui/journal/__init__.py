"""The only incident I/O: an append-only, hash-chained event journal."""
