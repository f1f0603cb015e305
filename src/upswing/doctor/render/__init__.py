"""Showing a diagnosis: in a terminal, as JSON, as a web page. All three read the same worded form (worded.py)."""
