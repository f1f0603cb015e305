"""StarCraft II through PySC2 (extra `sc2`): one game to a worker process."""
