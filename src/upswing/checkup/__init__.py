"""upswing check: an environment looked at before it is learned from, and what to mend in it."""
