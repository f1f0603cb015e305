"""Warns before a run starts, explains it while it runs and afterwards. Reads records and settings, never torch."""
