"""How often the doctor is right: trainings that are healthy and trainings with faults, and what it says about each."""
