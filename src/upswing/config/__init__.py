"""Every hyperparameter: declared in `fields`, checked and derived in `resolve`, read and written in `files`."""

from upswing.config.fields import ALIASES, FIELDS, SCHEDULED, WORDS, TrainConfig, Word
from upswing.config.files import code_names, config_to_json, read_config, refuse_code, write_toml
from upswing.config.resolve import Derived, canonical, check, coerce, derive, is_folder_name, warnings

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
    "code_names",
    "coerce",
    "config_to_json",
    "derive",
    "is_folder_name",
    "read_config",
    "refuse_code",
    "warnings",
    "write_toml",
]
