import json

import pytest

from upswing.cli.settings import keywords, literal
from upswing.config import FIELDS, TrainConfig
from upswing.errors import ConfigError
from upswing.presets import PRESETS

ENV = "Example-v0"  # has no preset


@pytest.fixture
def configured(upswing, asked):
    """The configuration that a command line ends up with."""

    def call(*args):
        said = upswing("train", *args, "--quiet")
        assert said.code == 0, said.err
        return asked[-1]["config"]

    return call


def test_nothing_given_is_all_defaults(configured):
    assert configured(ENV) == TrainConfig(env=ENV)


@pytest.mark.parametrize("args", [["--env", ENV], ["--env-id", ENV], ["--env_id=Example-v0"], [ENV, "--env", ENV]])
def test_the_environment_may_be_a_flag(configured, args):
    assert configured(*args).env == ENV


@pytest.mark.parametrize(
    "args",
    [
        ["--n-envs", "8"],
        ["--n_envs", "8"],
        ["--n-envs=8"],
        ["--num-envs", "8"],
        ["--num_envs=8"],
        ["--n_envs", "8.0"],
    ],
)
def test_one_setting_has_many_spellings(configured, args):
    assert configured(ENV, *args).n_envs == 8


@pytest.mark.parametrize(
    ("args", "value"),
    [
        (["--norm-adv"], True),
        (["--norm-adv", "False"], False),
        (["--no-norm-adv"], False),
        (["--no_normalize_advantage"], False),
        (["--normalize-advantage=no"], False),
        (["--normalize-advantage", "--seed", "3"], True),
    ],
)
def test_switches_stand_alone_or_take_a_truth(configured, args, value):
    assert configured(ENV, *args).normalize_advantage is value


def test_a_switch_before_the_environment_does_not_swallow_it(configured):
    config = configured("--use-sde", ENV)
    assert (config.use_sde, config.env) == (True, ENV)


def test_a_command_of_cleanrl(configured):
    command = (
        "--env-id Example-v0 --num-envs 4 --num-steps 128 --num-minibatches 4 --update-epochs 4 --clip-coef 0.1 "
        "--learning-rate 2.5e-4 --total-timesteps 10000 --gamma 0.99 --anneal-lr --target-kl None --exp-name mine"
    )
    config = configured(*command.split())
    assert config == TrainConfig(
        env=ENV,
        n_envs=4,
        n_steps=128,
        n_minibatches=4,
        n_epochs=4,
        clip_range=0.1,
        learning_rate="linear:0.00025",
        total_timesteps=10_000,
        name="mine",
    )


def test_a_command_of_maniskill(configured):
    command = (
        "--env_id=Example-v0 --num_envs=256 --num_steps=50 --num_minibatches=32 --update_epochs=4 "
        "--total_timesteps=2_000_000 --num_eval_envs=8 --num-eval-steps=50 --eval-freq-iterations=25 "
        "--control_mode=pd_joint_delta_pos --no-capture-video --save-model"
    )
    config = configured(*command.split())
    assert (config.n_envs, config.n_steps, config.n_minibatches, config.n_eval_envs) == (256, 50, 32, 8)
    assert config.eval_freq == 25 * 256 * 50
    assert config.env_kwargs == {"control_mode": "pd_joint_delta_pos"}


def test_a_preset_is_used_and_said(upswing, asked):
    said = upswing("train", "CartPole-v1", "--plain")
    preset = PRESETS["CartPole-v1"]
    for name, value in preset.settings.items():
        assert getattr(asked[-1]["config"], name) == value
    view = asked[-1]["hooks"][-1]
    assert said.code == 0
    assert view.state.notices == ["Preset CartPole-v1 (RL-Zoo, expected return 500); --no-preset declines it."]


def test_an_environment_without_its_version_has_its_preset(configured):
    config = configured("CartPole")
    assert (config.env, config.n_envs) == ("CartPole", 8)
    assert configured("CartPole", "--no-preset") == TrainConfig(env="CartPole")


def test_flags_replace_single_settings_of_a_preset(upswing, asked):
    upswing("train", "CartPole-v1", "--n-envs", "4", "--num-minibatches", "2", "--policy-kwargs", "net_arch=[8]", "-q")
    config = asked[-1]["config"]
    assert (config.n_envs, config.n_minibatches, config.batch_size, config.n_steps) == (4, 2, None, 32)
    assert config.policy_kwargs == {"net_arch": [8]}
    assert "Replaced by you: n_envs." in asked[-1]["hooks"][-1].state.notices[0]


def test_keyword_arguments_of_a_preset_are_merged(configured):
    config = configured("MountainCarContinuous-v0", "--policy-kwargs", "log_std_init=-1")
    assert config.policy_kwargs == {"log_std_init": -1, "ortho_init": False}


def test_presets_can_be_declined_or_borrowed(configured):
    assert configured("CartPole-v1", "--no-preset") == TrainConfig(env="CartPole-v1")
    borrowed = configured(ENV, "--preset", "Pendulum-v1")
    assert (borrowed.env, borrowed.gamma, borrowed.use_sde) == (ENV, 0.9, True)


def test_a_file_lies_between_preset_and_flags(configured, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('env = "CartPole-v1"\nnum_envs = 2\nseed = 5\nn_minibatches = 8\n')
    config = configured("--config", file, "--seed", "6")
    assert (config.env, config.n_envs, config.seed, config.n_minibatches, config.batch_size) == (
        "CartPole-v1",
        2,
        6,
        8,
        None,
    )
    assert config.gae_lambda == PRESETS["CartPole-v1"].settings["gae_lambda"]


def test_a_finished_runs_settings_are_repeated(upswing, asked, tmp_path):
    from upswing.config import config_to_json

    first = TrainConfig(env="CartPole-v1", n_envs=2, learning_rate="linear:0.01", name="first", n_minibatches=4)
    (tmp_path / "config.json").write_text(json.dumps({"schema": 1, "config": config_to_json(first)}))
    said = upswing("train", "--config", tmp_path, "--plain")
    assert said.code == 0
    config = asked[-1]["config"]
    for name in FIELDS:
        if name != "name":
            assert getattr(config, name) == getattr(first, name), name
    assert asked[-1]["hooks"][-1].state.notices == []  # nothing of the preset is left


def test_code_in_a_file_needs_trust(upswing, asked, tmp_path):
    file = tmp_path / "theirs.toml"
    file.write_text('env = "evil:World-v0"\n')
    said = upswing("train", "--config", file)
    assert (said.code, asked) == (2, [])
    assert "evil:World-v0" in said.err
    assert "--trust-code" in said.err
    assert upswing("train", "--config", file, "--trust-code", "-q").code == 0
    assert upswing("train", "mine:World-v0", "--config", file, "-q").code == 0
    assert asked[-1]["config"].env == "mine:World-v0"


def test_settings_can_be_written_instead_of_trained(upswing, asked, tmp_path):
    file = tmp_path / "out.toml"
    said = upswing("train", "Pendulum-v1", "--gamma", "0.95", "--write-config", file)
    assert (said.code, asked) == (0, [])
    assert upswing("train", "--config", file, "-q").code == 0
    config = asked[-1]["config"]
    assert (config.env, config.gamma, config.use_sde) == ("Pendulum-v1", 0.95, True)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("0.5", 0.5),
        ("true", True),
        ("False", False),
        ("None", None),
        ("null", None),
        ("[64, 64]", [64, 64]),
        ("rgb_array", "rgb_array"),
        ('"1"', "1"),
        ("a=b", "a=b"),
    ],
)
def test_literals(text, value):
    assert literal(text) == value
    assert keywords("env_kwargs", [f"key={text}"]) == {"key": value}


def test_keyword_arguments_add_up():
    assert keywords("env_kwargs", ['{"a": 1, "b": [2]}', "c=3", "a=4"]) == {"a": 4, "b": [2], "c": 3}


@pytest.mark.parametrize("text", ["size", "=3", "{broken", "my key=3"])
def test_broken_keyword_arguments(text):
    with pytest.raises(ConfigError, match=r"^env_kwargs = "):
        keywords("env_kwargs", [text])


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ([], "An environment is needed, such as upswing train CartPole-v1"),
        ([ENV, "--n-env", "3"], "--n-env is not a flag of upswing train: did you mean --n-envs?"),
        ([ENV, "--lr", "1e-3"], "--lr is not a flag of upswing train: did you mean --learning-rate?"),
        ([ENV, "--zzz"], "--zzz is not a flag of upswing train: see upswing train --help for all flags."),
        ([ENV, "--trust-cod"], "did you mean --trust-code?"),
        ([ENV, "--n-envs"], "--n-envs needs a value: Environments that step side by side"),
        ([ENV, "--n-envs", "--seed", "1"], "--n-envs needs a value"),
        ([ENV, "--n-envs", "many"], "n_envs = 'many' is not a whole number"),
        ([ENV, "--n-envs", "0"], "n_envs = 0 is impossible: give a value of at least 1."),
        ([ENV, "--gamma", "1.5"], "gamma = 1.5 is impossible"),
        ([ENV, "--learning-rate", "fast"], "learning_rate = 'fast' is not a schedule"),
        ([ENV, "--engine", "warp"], "engine = 'warp' is not known: choose one of auto, torch, native."),
        ([ENV, "--use-sde=maybe"], "use_sde = 'maybe' is neither true nor false"),
        ([ENV, "--no-n-envs"], "--no-n-envs is not a flag of upswing train"),
        ([ENV, "--no-use-sde=1"], "--no-use-sde takes no value"),
        ([ENV, "--batch-size", "8", "--n-minibatches", "2"], "batch_size = 8 and n_minibatches = 2 are alternatives"),
        ([ENV, "--env", "Other-v0"], "Two environments are given"),
        ([ENV, "Other-v0"], "unexpected extra argument"),
        ([ENV, "--config", "nowhere.toml"], "nowhere.toml"),
        ([ENV, "--preset", "Nothing-v0"], "There is no preset for Nothing-v0: choose one of CartPole-v1"),
        ([ENV, "--finite-horizon-gae"], "--finite-horizon-gae true has no counterpart here"),
        ([ENV, "--reward-scale", "0.1"], "--reward-scale 0.1 has no counterpart here: use --normalize-reward."),
        ([ENV, "--cuda", "--lang", "fr"], "The language 'fr' is not spoken here"),
    ],
)
def test_a_wrong_command_line_gets_one_sentence(upswing, asked, args, sentence):
    said = upswing("train", *args)
    assert (said.code, said.out, asked) == (2, "", [])
    assert said.err.startswith("upswing: ")
    assert said.err.count("\n") == 1
    assert sentence in said.err


@pytest.mark.parametrize(
    ("args", "field", "value"),
    [
        (["--anneal-lr"], "learning_rate", "linear:0.0003"),
        (["--learning-rate", "1e-3", "--anneal-lr", "true"], "learning_rate", "linear:0.001"),
        (["--learning-rate", "cosine:1e-3", "--anneal-lr"], "learning_rate", "cosine:1e-3"),
        (["--learning-rate", "lin_1e-3", "--no-anneal-lr"], "learning_rate", 1e-3),
        (["--clip-vloss", "--clip-coef", "0.3"], "clip_range_vf", 0.3),
        (["--no-clip-vloss"], "clip_range_vf", None),
        (["--cuda"], "device", "cuda"),
        (["--cuda", "False"], "device", "cpu"),
        (["--num-iterations", "3", "--n-envs", "2"], "total_timesteps", 3 * 2 * 2048),
        (["--reward-scale", "1.0"], "normalize_reward", False),
        (["--track", "--wandb-project-name", "mine"], "name", None),
    ],
)
def test_borrowed_flags(configured, args, field, value):
    assert getattr(configured(ENV, *args), field) == value


def test_what_borrowed_flags_mean_is_said(upswing, asked):
    upswing("train", ENV, "--torch-deterministic", "--num-eval-steps", "50", "--track", "--eval-freq", "25", "-q")
    notices = " ".join(asked[-1]["hooks"][-1].state.notices)
    assert "--torch-deterministic changes nothing" in notices
    assert "evaluations play whole episodes" in notices
    assert "Weights & Biases is not written to" in notices
    assert "eval_freq = 25 environment steps is less than one rollout of 2048" in notices
    assert "--eval-freq-iterations" in notices
