"""Studies: one thing changed at a time, several seeds, and what may be concluded. Reads and writes run folders."""
