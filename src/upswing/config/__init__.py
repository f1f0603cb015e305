"""Every hyperparameter: declared in `fields`, checked and derived in `resolve`, read and written in `files`."""

from upswing.config.fields import ALIASES, FIELDS, SCHEDULED, WORDS, TrainConfig, Word
from upswing.config.resolve import Derived, canonical, check, coerce, derive, warnings

__all__ = [
    "ALIASES",
    "FIELDS",
    "SCHEDULED",
    "WORDS",
    "Derived",
    "TrainConfig",
    "Word",
    "canonical",
    "check",
    "coerce",
    "derive",
    "warnings",
]
