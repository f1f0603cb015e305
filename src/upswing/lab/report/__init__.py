"""A report: a comparison, its curves and diagnoses as one page that needs nothing else, and as pictures."""
