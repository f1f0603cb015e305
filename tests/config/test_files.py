"""Settings in files: what a user writes and what a run leaves, and that a hostile file is text and nothing else."""

import json
import math
import os
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from upswing.config import (
    FIELDS,
    WORDS,
    TrainConfig,
    check,
    code_names,
    config_to_json,
    read_config,
    refuse_code,
    write_toml,
)
from upswing.errors import ConfigError


class Wheel:
    """Stands for a user's own environment or policy."""


def halve(remaining):
    return 3e-4 * (0.5 + remaining / 2)


@pytest.fixture
def toml(tmp_path):
    """Writes a TOML file and returns its path."""

    def write(text, name="settings.toml"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def error_of(path):
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    message = str(caught.value)
    assert str(path) in message
    return message


def test_a_toml_file_is_read(toml):
    path = toml("""
        env = "Pendulum-v1"
        n_envs = 4
        learning_rate = "linear:1e-3"   # a schedule
        gamma = 0.9
        normalize_obs = true
        total_timesteps = 1e5
        [policy_kwargs]
        net_arch = { pi = [64], vf = [256, 256] }
    """)
    settings = read_config(path)
    assert settings == {
        "env": "Pendulum-v1",
        "n_envs": 4,
        "learning_rate": "linear:1e-3",
        "gamma": 0.9,
        "normalize_obs": True,
        "total_timesteps": 100_000,
        "policy_kwargs": {"net_arch": {"pi": [64], "vf": [256, 256]}},
    }
    assert check(TrainConfig(**settings)).total_timesteps == 100_000


def test_other_frameworks_words_are_understood(toml):
    path = toml('env-id = "CartPole-v1"\nnum_envs = 8\nnum-steps = 32\nupdate_epochs = 4\n')
    assert read_config(path) == {"env": "CartPole-v1", "n_envs": 8, "n_steps": 32, "n_epochs": 4}


def test_a_setting_under_two_names_is_refused(toml):
    assert "num_envs sets n_envs a second time: keep one of them." in error_of(toml("n_envs = 4\nnum_envs = 8\n"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("n_env = 4", "n_env is not a setting: did you mean n_envs?"),
        ("[learning]\ngamma = 0.9", "learning is not a setting"),
        ('n_envs = "many"', "n_envs = 'many' is not a whole number"),
        ("n_envs = 2.5", "n_envs = 2.5 is not a whole number"),
        ("n_envs = true", "n_envs = True is not a whole number"),
        ("n_envs = [1]", "n_envs = [1] is not a whole number"),
        ("gamma = nan", "gamma = nan is not a finite number"),
        ("gamma = 2025-01-01", "gamma = datetime.date(2025, 1, 1) is not a number"),
        ("learning_rate = [1]", "learning_rate = [1] is not a schedule"),
        ("learning_rate = inf", "learning_rate = inf is not a schedule"),
        ("engine = 'warp'", "engine = 'warp' is not known: choose one of auto, torch, native."),
        ("env = 5", "env = 5 is not a text"),
        ("env_kwargs = 'x'", "is not a table of settings"),
        ("n_envs = ", "is not valid TOML: Invalid value (at end of document)"),
        ("n_envs = 1\nn_envs = 2", "is not valid TOML: Cannot overwrite a value"),
        ("a = " + "[" * 100_000, "is not valid TOML"),
        (b"name = '\xff'", "is not text in UTF-8: save it as such."),
    ],
)
def test_wrong_files_are_one_sentence_with_file_key_and_value(toml, text, sentence):
    message = error_of(toml(text))
    assert sentence in message and "\n" not in message


def test_a_json_file_of_settings_is_read(toml):
    assert read_config(toml('{"n_envs": 4, "target_kl": null}', "s.json")) == {"n_envs": 4, "target_kl": None}
    for text in ("[1]", "7", '{"n_envs": NaN}', "{", '{"a":' * 100_000):
        error_of(toml(text, "s.json"))


def test_only_toml_and_json_are_read(toml, tmp_path):
    assert "is neither TOML nor JSON" in error_of(toml("n_envs: 4", "settings.yaml"))
    assert "does not exist" in error_of(tmp_path / "nowhere.toml")
    assert "does not exist" in error_of(tmp_path)  # a folder that is no run
    os.mkfifo(tmp_path / "pipe.toml")
    assert "does not exist or is not a file" in error_of(tmp_path / "pipe.toml")


def test_a_huge_file_is_not_read(tmp_path):
    path = tmp_path / "huge.toml"
    with path.open("wb") as file:
        file.truncate(2**40)
    assert "larger than 1 MiB" in error_of(path)


def test_a_config_survives_json_and_back(tmp_path):
    config = check(
        TrainConfig(
            env="LunarLander-v3",
            env_kwargs={"gravity": np.float32(-9.5), "continuous": True, "size": (3, 4), "where": Path("a/b")},
            policy_kwargs={"net_arch": {"pi": [np.int64(64)], "vf": []}},
            learning_rate="linear:3e-4",
            clip_range_vf=None,
            target_kl=0.02,
            n_minibatches=4,
            seed=7,
        )
    )
    document = config_to_json(config)
    assert list(document) == list(FIELDS)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"schema": 1, "config": document, "versions": {}}, allow_nan=False))
    again = check(TrainConfig(**read_config(path)))
    assert config_to_json(again) == document
    assert again.env_kwargs == {"gravity": -9.5, "continuous": True, "size": [3, 4], "where": "a/b"}
    assert read_config(tmp_path) == read_config(path)


def test_a_run_is_repeated_in_a_folder_of_its_own(tmp_path):
    config = TrainConfig(name="first", seed=3)
    (tmp_path / "config.json").write_text(json.dumps({"config": config_to_json(config)}))
    settings = read_config(tmp_path)
    assert "name" not in settings and settings["seed"] == 3


def test_python_objects_say_that_they_cannot_be_read_back(tmp_path):
    config = TrainConfig(
        env=Wheel,
        learning_rate=halve,
        clip_range=lambda remaining: 0.2,
        policy_kwargs={"features_extractor_class": Wheel, "limit": math.inf, "helper": Wheel()},
    )
    document = config_to_json(config)
    assert document["env"] == f"<not reloadable: class Wheel of {__name__}>"
    assert document["learning_rate"] == f"<not reloadable: function halve of {__name__}>"
    assert document["clip_range"].startswith("<not reloadable: function ")
    assert document["policy_kwargs"] == {
        "features_extractor_class": f"<not reloadable: class Wheel of {__name__}>",
        "limit": "<not reloadable: inf>",
        "helper": f"<not reloadable: Wheel of {__name__}>",
    }
    (tmp_path / "config.json").write_text(json.dumps({"config": document}, allow_nan=False))
    settings = read_config(tmp_path)
    assert code_names(settings) == []
    with pytest.raises(ConfigError, match=r"env was a Python object, .*Wheel.* set env again"):
        check(TrainConfig(**settings))
    mended = settings | {"env": "CartPole-v1", "learning_rate": 1e-3, "clip_range": 0.2, "policy_kwargs": {}}
    assert check(TrainConfig(**mended)).learning_rate == 1e-3


def test_a_policy_class_and_activations_can_be_read_back():
    import torch

    config = TrainConfig(policy=Wheel, policy_kwargs={"activation_fn": torch.nn.ReLU})
    document = config_to_json(config)
    assert document["policy"] == f"{__name__}:Wheel"
    assert document["policy_kwargs"] == {"activation_fn": "nn.ReLU"}

    class Inside:
        pass

    assert config_to_json(TrainConfig(policy=Inside))["policy"].startswith("<not reloadable: class ")


def test_code_in_a_file_is_named_and_needs_trust(toml):
    path = toml("""
        env = "my_envs:Hill-v0"
        policy = "my_code.nets:Wide"
        policy_kwargs = { features_extractor_class = "evil:Reader", net_arch = [64] }
        env_kwargs = { url = "http://host:80" }
        learning_rate = "linear:1e-3"
    """)
    settings = read_config(path)
    found = ["env = my_envs:Hill-v0", "policy = my_code.nets:Wide", "policy_kwargs = evil:Reader"]
    assert code_names(settings) == found
    with pytest.raises(
        ConfigError, match=r"settings.toml names code to import \(env = my_envs:Hill-v0, .*--trust-code"
    ):
        refuse_code(settings, path)
    refuse_code({"env": "ALE/Pong-v5", "policy": "MlpPolicy", "learning_rate": "cosine:1:0"}, path)


@pytest.mark.parametrize(
    "text",
    [
        'env = "evil_module:X"',
        'policy = "evil_module:X"',
        'env = "evil_module:X()"',
        'env = " evil_module : X"',
        'policy_kwargs = { activation_fn = "evil_module:X" }',
        "env = \"__import__('evil_module')\"",
        "learning_rate = \"__import__('evil_module')\"",
        'env = "!!python/object/apply:evil_module.X []"',
        'n_envs = "!!python/name:evil_module.X"',
    ],
)
def test_nothing_in_a_file_is_imported_or_evaluated(toml, tmp_path, monkeypatch, text):
    (tmp_path / "evil_module.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    try:
        settings = read_config(toml(text))
    except ConfigError:
        settings = {}
    if ":" in text and settings:
        assert code_names(settings)
    assert "evil_module" not in sys.modules


def test_a_yaml_file_is_not_even_parsed(toml):
    """A tag that would run a program."""
    error_of(toml("!!python/object/apply:os.system ['touch executed']", "settings.yml"))
    error_of(toml("!!python/object/apply:os.system ['touch executed']"))


@pytest.mark.parametrize("name", ["../up", "<script>alert(1)</script>", "/etc", "a\\\\b"])
def test_hostile_names_are_refused_before_a_folder_is_made(toml, name):
    settings = read_config(toml(f'name = "{name}"'))
    with pytest.raises(ConfigError, match="cannot be a folder's name"):
        check(TrainConfig(**settings))


def test_a_written_toml_file_says_everything_and_reads_back(tmp_path):
    config = check(
        TrainConfig(
            env="my_envs:Hill-v0",
            env_kwargs={"名": 'quote " and \\ back', "deep": {"a": [1, 2.5, True]}},
            learning_rate="cosine:1e-3:1e-5",
            n_minibatches=4,
            name="mine",
        )
    )
    path = write_toml(config, tmp_path / "all.toml")
    text = path.read_text(encoding="utf-8")
    assert check(TrainConfig(**read_config(path))) == config
    for name, word in WORDS.items():
        assert f"{name} =" in text and word.help.split()[0] in text
    assert "# target_kl =\n" in text
    assert max(len(line) for line in text.splitlines()) <= 120


def test_a_written_toml_file_is_not_overwritten(tmp_path):
    path = write_toml(TrainConfig(), tmp_path / "all.toml")
    with pytest.raises(ConfigError, match="exists already and is not overwritten"):
        write_toml(TrainConfig(), path)
    with pytest.raises(ConfigError, match="cannot be written"):
        write_toml(TrainConfig(), tmp_path / "nowhere" / "all.toml")


def test_what_toml_cannot_hold_is_a_comment_or_an_error(tmp_path):
    path = write_toml(TrainConfig(learning_rate=halve, env=Wheel), tmp_path / "lost.toml")
    assert read_config(path).keys().isdisjoint({"learning_rate", "env"})
    assert '# learning_rate = "<not reloadable: function halve' in path.read_text()
    assert tomllib.loads(path.read_text())["n_steps"] == 2048
    with pytest.raises(ConfigError, match="cannot hold these settings as TOML"):
        write_toml(TrainConfig(policy_kwargs={"net_arch": None}), tmp_path / "none.toml")
    assert not (tmp_path / "none.toml").exists()
