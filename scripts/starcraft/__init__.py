"""A stand-in for StarCraft II, and what is measured on it. No figure from here is a StarCraft result."""
