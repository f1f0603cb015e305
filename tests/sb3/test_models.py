"""Models: acting, saving, loading, seeds and settings."""

import io
import zipfile
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from upswing import PPO
from upswing.config import TrainConfig
from upswing.errors import ConfigError, StorageError
from upswing.policies import ActionHead, ActorCritic
from upswing.sb3 import VecNormalize, make_vec_env
from upswing.sb3.model_file import space_from_json, space_to_json
from upswing.training import prepare, train

SMALL = {"n_steps": 32, "batch_size": 32, "n_epochs": 2, "seed": 0}
PIXELS = spaces.Box(0, 255, (36, 36, 1), np.uint8)


class World(gym.Env):
    """A world of any spaces, whose episodes last five steps."""

    def __init__(self, observation_space, action_space):
        self.observation_space, self.action_space = observation_space, action_space

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.t += 1
        return self.observation_space.sample(), 1.0, self.t == 5, False, {}


WORLDS = {
    "box": ("MlpPolicy", spaces.Box(-1, 1, (3,)), spaces.Discrete(3, start=2)),
    "discrete": ("MlpPolicy", spaces.Discrete(5, start=1), spaces.Box(-0.5, 0.5, (2, 2), np.float64)),
    "multi": ("MlpPolicy", spaces.MultiDiscrete([2, 3]), spaces.MultiDiscrete([2, 3], start=[1, 1])),
    "binary": ("MlpPolicy", spaces.MultiBinary(3), spaces.MultiBinary(4)),
    "image": ("CnnPolicy", PIXELS, spaces.Discrete(2)),
    "dict": (
        "MultiInputPolicy",
        spaces.Dict({"camera": PIXELS, "place": spaces.Discrete(4), "speed": spaces.Box(-1, 1, (2,))}),
        spaces.Box(-1, 1, (1,)),
    ),
}


def weights(model):
    return {name: tensor.clone() for name, tensor in model.policy.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def stack(space, n):
    values = [space.sample() for _ in range(n)]
    if isinstance(space, spaces.Dict):
        return {key: np.stack([np.asarray(value[key]) for value in values]) for key in space.spaces}
    return np.stack([np.asarray(value) for value in values])


@pytest.mark.parametrize("name", WORLDS)
def test_acting_on_one_observation_and_on_several(name, tmp_path):
    policy, observation_space, action_space = WORLDS[name]
    for space in (observation_space, action_space):
        space.seed(0)
    slim = {"features_dim": 16} if policy != "MlpPolicy" else {}
    model = PPO(policy, World(observation_space, action_space), policy_kwargs=slim, n_steps=8, batch_size=8, n_epochs=1)
    model.learn(8)
    one, several = observation_space.sample(), stack(observation_space, 6)
    for deterministic in (True, False):
        action, state = model.predict(one, deterministic=deterministic)
        assert state is None and isinstance(action, np.ndarray)
        assert action_space.contains(action if action.shape else action[()]), action
        actions, _ = model.predict(several, deterministic=deterministic)
        assert len(actions) == 6 and actions[0].shape == action.shape
    model.save(tmp_path / "model")
    again = PPO.load(tmp_path / "model")
    assert (again.observation_space, again.action_space) == (observation_space, action_space)
    expected = model.predict(several, deterministic=True)[0]
    assert np.array_equal(again.predict(several, deterministic=True)[0], expected)
    tensors, batch = again.policy.obs_to_tensor(several)
    values, log_prob, entropy = again.policy.evaluate_actions(tensors, again.policy(tensors, deterministic=True)[0])
    assert batch and values.shape == (6, 1) and log_prob.shape == entropy.shape == (6,)
    torch.testing.assert_close(values, again.policy.predict_values(tensors))


@pytest.mark.parametrize(
    ("observation", "complaint"),
    [
        ((np.zeros(4, np.float32), {}), "hand over the observation alone"),
        (np.zeros(3), r"shape \(3,\), where the observation space says \(4,\)"),
        (np.zeros((2, 2, 4)), r"or \(n, …\) for several"),
    ],
)
def test_observations_that_do_not_fit(observation, complaint):
    with pytest.raises(ConfigError, match=complaint):
        PPO("MlpPolicy", "CartPole-v1", **SMALL).predict(observation)


def test_observations_of_other_spaces_that_do_not_fit():
    policy, observation_space, action_space = WORLDS["dict"]
    model = PPO(policy, World(observation_space, action_space), **SMALL)
    with pytest.raises(ConfigError, match="a dict with camera, place, speed"):
        model.predict({"camera": 1})
    model = PPO("MlpPolicy", World(*WORLDS["discrete"][1:]), **SMALL)
    with pytest.raises(ConfigError, match="outside Discrete"):
        model.predict(7)


def test_a_memoryless_policy_hands_the_state_back():
    model = PPO("MlpPolicy", "CartPole-v1", **SMALL)
    assert model.predict(np.zeros(4), state=("memory",), episode_start=np.ones(1))[1] == ("memory",)


@pytest.mark.parametrize("env", ["CartPole-v1", "FrozenLake-v1"])
def test_the_seed_decides_everything(env):
    first, second, other = (PPO("MlpPolicy", env, **(SMALL | {"seed": seed})).learn(64) for seed in (3, 3, 4))
    assert same(weights(first), weights(second))
    assert not same(weights(first), weights(other))
    assert [e["l"] for e in first.ep_info_buffer] == [e["l"] for e in second.ep_info_buffer]


def test_without_a_seed_torchs_own_decides():
    def model():
        return PPO("MlpPolicy", "CartPole-v1", **(SMALL | {"seed": None}))

    torch.manual_seed(5)
    first, other = model(), model()
    torch.manual_seed(5)
    assert same(weights(first), weights(model()))
    assert not same(weights(first), weights(other))
    assert first.seed is None


def test_setting_the_seed_anew_repeats_what_follows():
    model = PPO("MlpPolicy", "CartPole-v1", **SMALL)
    start = weights(model)
    ends = []
    for _ in range(2):
        model.policy.load_state_dict(start)
        fresh = PPO("MlpPolicy", "CartPole-v1", **(SMALL | {"seed": 9}))
        fresh.policy.load_state_dict(start)
        fresh.set_random_seed(11)
        ends.append(weights(fresh.learn(64)))
    assert same(*ends)


def test_nothing_is_written_unless_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    PPO("MlpPolicy", "CartPole-v1", **SMALL).learn(64)
    assert list(tmp_path.iterdir()) == []


def test_training_goes_on_from_a_file_with_its_optimiser(tmp_path):
    model = PPO("MlpPolicy", make_vec_env("CartPole-v1", 2, seed=0), learning_rate="linear:1e-3", **SMALL)
    model.learn(128)
    path = model.save(tmp_path / "m")
    assert path == tmp_path / "m.safetensors"
    again = PPO.load(path, make_vec_env("CartPole-v1", 4, seed=1))
    was, now = (m.training.engine.snapshot(environments=False).optimizer for m in (model, again))
    assert was.keys() == now.keys() and all(np.array_equal(was[key], now[key]) for key in was)
    assert (again.learning_rate, again.n_steps, again.n_envs) == ("linear:1e-3", 32, 4)
    again.learn(128, reset_num_timesteps=False)
    assert (again.num_timesteps, again._n_updates) == (256, model._n_updates + 2)

    without = PPO.load(path)
    assert without.get_env() is None and without.num_timesteps == 128
    copied = PPO.load(without.save(tmp_path / "copy"), "CartPole-v1")
    held = copied.training.engine.snapshot(environments=False).optimizer
    assert all(np.array_equal(was[key], held[key]) for key in was), "a model without environment keeps its optimiser"
    with pytest.raises(ConfigError, match="no environment to learn from"):
        without.learn(32)
    without.set_env("CartPole-v1")
    assert without.learn(32).num_timesteps == 32


def test_loading_with_other_settings(tmp_path):
    model = PPO("MlpPolicy", "CartPole-v1", policy_kwargs={"net_arch": [8], "activation_fn": torch.nn.ELU}, **SMALL)
    model.save(tmp_path / "m.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["m.zip.safetensors"]
    again = PPO.load(tmp_path / "m.zip", "CartPole-v1", n_steps=64, ent_coef=0.1, custom_objects={"clip_range": 0.3})
    assert (again.n_steps, again.ent_coef, again.clip_range(1.0)) == (64, 0.1, 0.3)
    assert again.learn(64).training.config.clip_range == 0.3
    with pytest.raises(ConfigError, match="n_step is not a setting"):
        PPO.load(tmp_path / "m.zip", n_step=3)
    with pytest.raises(ConfigError, match="observation_space is"):
        PPO.load(tmp_path / "m.zip", "Acrobot-v1")


def test_functions_are_handed_over_again(tmp_path):
    PPO("MlpPolicy", "CartPole-v1", learning_rate=lambda remaining: 1e-3 * remaining, **SMALL).save(tmp_path / "m")
    model = PPO.load(tmp_path / "m", "CartPole-v1")
    assert model.predict(np.zeros(4))[0].shape == ()
    with pytest.raises(ConfigError, match=r"learning_rate was a Python function.*learning_rate=\.\.\."):
        model.learn(32)
    model.learning_rate = 1e-4
    assert model.learn(32).training.config.learning_rate == 1e-4
    given = PPO.load(tmp_path / "m", "CartPole-v1", learning_rate=lambda remaining: 2e-3)
    assert given.learn(32).logger.name_to_value["train/learning_rate"] == 2e-3


class Tiny(ActorCritic):
    def __init__(self, observation_space, action_space):
        super().__init__(observation_space, action_space)
        self.action_head = ActionHead(action_space, 4)
        self.value_net = torch.nn.Linear(4, 1)

    def forward(self, obs):
        return self.action_head(obs), self.value_net(obs).squeeze(-1)


class Features(torch.nn.Linear):
    def __init__(self, space, features_dim=3):
        super().__init__(space.shape[0], features_dim)
        self.features_dim = features_dim


def test_code_is_handed_over_and_never_imported_from_a_file(tmp_path):
    PPO(Tiny, "CartPole-v1", **SMALL).learn(32).save(tmp_path / "tiny")
    with pytest.raises(ConfigError, match="policy class of one's own"):
        PPO.load(tmp_path / "tiny")
    model = PPO.load(tmp_path / "tiny", custom_objects={"policy_class": Tiny})
    assert model.predict(np.zeros(4))[0].shape == ()
    kwargs = {"features_extractor_class": Features, "features_extractor_kwargs": {"features_dim": 5}}
    PPO("MlpPolicy", "CartPole-v1", policy_kwargs=kwargs, **SMALL).save(tmp_path / "features")
    with pytest.raises(ConfigError, match="policy_kwargs that hold Python objects"):
        PPO.load(tmp_path / "features")
    assert PPO.load(tmp_path / "features", policy_kwargs=kwargs).policy.features.features_dim == 5


def test_files_that_are_not_models(tmp_path):
    with zipfile.ZipFile(tmp_path / "theirs.zip", "w") as archive:
        archive.writestr("data", "{}")
    for name in ("theirs", "theirs.zip"):
        with pytest.raises(StorageError, match="saved by Stable-Baselines3 with pickle"):
            PPO.load(tmp_path / name)
    with pytest.raises(StorageError, match="does not exist"):
        PPO.load(tmp_path / "nothing")
    (tmp_path / "damaged.safetensors").write_bytes(b"not at all")
    with pytest.raises(StorageError, match="damaged"):
        PPO.load(tmp_path / "damaged")
    run = train(
        TrainConfig(
            env="CartPole-v1", out_dir=str(tmp_path), name="run", n_steps=32, total_timesteps=32, n_eval_episodes=1
        )
    )
    with pytest.raises(StorageError, match="not a whole model"):
        PPO.load(run.run_dir)
    model = PPO("MlpPolicy", "CartPole-v1", **SMALL)
    model.set_parameters(run.run_dir)
    trained = prepare(TrainConfig(env="CartPole-v1", checkpoint_path=run.run_dir))
    assert same(weights(model), dict(trained.engine.policy.state_dict()))


def test_a_saved_model_starts_other_trainings(tmp_path):
    model = PPO("MlpPolicy", "CartPole-v1", **SMALL).learn(64)
    path = model.save(tmp_path / "m")
    started = prepare(TrainConfig(env="CartPole-v1", checkpoint_path=str(path)))
    assert same(weights(model), dict(started.engine.policy.state_dict()))


def test_open_files():
    model = PPO("MlpPolicy", "CartPole-v1", **SMALL)
    file = io.BytesIO()
    assert model.save(file) is None
    file.seek(0)
    assert same(weights(PPO.load(file)), weights(model))


def test_parameters_in_and_out():
    model, other = (PPO("MlpPolicy", "CartPole-v1", **(SMALL | {"seed": seed})) for seed in (1, 2))
    other.set_parameters(model.get_parameters())
    assert same(weights(model), weights(other))
    part = {"policy": {"pi.0.weight": torch.zeros(64, 4)}}
    with pytest.raises(RuntimeError, match="Missing key"):
        other.set_parameters(part)
    other.set_parameters(part, exact_match=False)
    assert not other.policy.state_dict()["pi.0.weight"].any()
    with pytest.raises(ConfigError, match="the key 'policy'"):
        other.set_parameters({})


def test_settings_reach_the_configuration_and_no_preset_does():
    settings = {"gamma": 0.9, "gae_lambda": 0.8, "vf_coef": 0.7, "max_grad_norm": 0.3, "normalize_advantage": False}
    settings |= {"ent_coef": 0.01, "clip_range": 0.1, "clip_range_vf": 0.2, "target_kl": 0.02, "stats_window_size": 7}
    model = PPO(
        "MlpPolicy",
        "Pendulum-v1",
        use_sde=True,
        sde_sample_freq=4,
        policy_kwargs={"optimizer_kwargs": {"eps": 1e-6}},
        **SMALL,
        **settings,
    )
    config = model.training.config
    assert {name: getattr(config, name) for name in settings} == settings
    assert (config.use_sde, config.sde_sample_freq, config.adam_eps, config.n_steps) == (True, 4, 1e-6, 32)
    plain = PPO("MlpPolicy", "Pendulum-v1", seed=0).training.config
    assert plain == TrainConfig(
        env="Pendulum-v1", batch_size=64, seed=0, action_masks=False, eval_freq=0, checkpoint_freq=0
    )


def test_what_is_refused():
    with pytest.raises(ConfigError, match="rollout_buffer_class"):
        PPO("MlpPolicy", "CartPole-v1", rollout_buffer_class=dict)
    with pytest.raises(ConfigError, match="optimizer_class"):
        PPO("MlpPolicy", "CartPole-v1", policy_kwargs={"optimizer_class": torch.optim.SGD})
    with pytest.raises(ConfigError, match="learning_rate"):
        PPO("MlpPolicy", "CartPole-v1", learning_rate="fast")
    with pytest.warns(UserWarning, match="batch_size 100 does not divide the rollout"):
        PPO("MlpPolicy", "CartPole-v1", n_steps=128, batch_size=100)


def test_a_gpu_that_is_not_there(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.warns(UserWarning, match="the CPU is used instead"):
        model = PPO("MlpPolicy", "CartPole-v1", device="cuda", **SMALL)
    assert model.device == torch.device("cpu")
    assert PPO("MlpPolicy", "CartPole-v1", device=torch.device("cpu"), **SMALL).learn(6.4e1).num_timesteps == 64


def test_a_model_can_be_set_up_later():
    model = PPO("MlpPolicy", "CartPole-v1", _init_setup_model=False, **SMALL)
    model.n_steps = 64
    model._setup_model()
    assert model.learn(64).num_timesteps == 64


def test_no_steps_at_all():
    model = PPO("MlpPolicy", "CartPole-v1", **SMALL)
    before = weights(model)
    assert model.learn(0).num_timesteps == 0
    assert same(before, weights(model))


def test_the_policy_is_the_module_that_trains():
    model = PPO("MlpPolicy", "CartPole-v1", **SMALL)
    policy, before = model.policy, weights(model)
    assert "action_head" in repr(policy)
    model.learn(32)
    assert model.policy is policy
    assert not same(before, weights(model))
    assert sum(p.numel() for p in policy.parameters()) == sum(tensor.numel() for tensor in before.values())
    policy.set_training_mode(False)
    assert not policy.training
    with pytest.raises(AttributeError):
        policy.nothing_of_that_name  # noqa: B018


@pytest.mark.parametrize("space", [space for _, *pair in WORLDS.values() for space in pair], ids=str)
def test_spaces_survive_their_file(space):
    assert space_from_json(space_to_json(space)) == space
    unbounded = spaces.Box(np.array([-np.inf, 0], np.float32), np.array([1, np.inf], np.float32))
    assert space_from_json(space_to_json(unbounded)) == unbounded


def test_a_file_lacking_a_part(tmp_path):
    from upswing.run.model_file import load_model, save_model

    path = PPO("MlpPolicy", "CartPole-v1", **SMALL).save(tmp_path / "m")
    arrays, metadata = load_model(path)
    for part in ("config", "spaces", "rest", "n_updates"):
        save_model(tmp_path / "cut", arrays, {key: value for key, value in metadata.items() if key != part})
        with pytest.raises(StorageError, match="lacks a part of its settings"):
            PPO.load(Path(tmp_path / "cut"))
    arrays.pop("pi.0.weight")
    save_model(tmp_path / "cut", arrays, metadata)
    with pytest.raises(ConfigError, match=r"no pi\.0\.weight"):
        PPO.load(tmp_path / "cut")


def test_normalisation_is_part_of_the_model(tmp_path):
    env = VecNormalize(make_vec_env("Pendulum-v1", 2, seed=0), clip_obs=5.0)
    assert env.obs_rms is None and env.ret_rms is None
    model = PPO("MlpPolicy", env, n_steps=128, batch_size=64, n_epochs=2, seed=0)
    model.learn(512)
    config = model.training.config
    assert (config.normalize_obs, config.normalize_reward, config.clip_obs) == (True, True, 5.0)
    assert env.obs_rms.count > 500 and env.ret_rms.var > 1
    raw = env.reset()
    scaled = env.normalize_obs(raw)
    np.testing.assert_allclose(scaled, (raw - env.obs_rms.mean) / np.sqrt(env.obs_rms.var + 1e-8), rtol=1e-4)
    assert torch.equal(model.policy.obs_to_tensor(raw)[0], torch.as_tensor(scaled))
    assert all(info["r"] < -100 for info in model.ep_info_buffer), "reports stay raw"
    env.save(tmp_path / "asked.json")
    model.save(tmp_path / "m")

    held_out = VecNormalize.load(tmp_path / "asked.json", make_vec_env("Pendulum-v1", 1, seed=1))
    held_out.training = False
    again, bare = PPO.load(tmp_path / "m", env=held_out), PPO.load(tmp_path / "m")
    expected = model.predict(raw, deterministic=True)[0]
    for other in (again, bare):
        assert np.array_equal(other.predict(raw, deterministic=True)[0], expected)
    assert held_out.clip_obs == 5.0 and held_out.obs_rms.count == env.obs_rms.count
    with pytest.raises(ConfigError, match="training is False"):
        again.learn(128)
    held_out.training = True
    again.learn(128)
    assert held_out.obs_rms.count > env.obs_rms.count
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(StorageError, match=r"not written by VecNormalize\.save"):
        VecNormalize.load(tmp_path / "other.json", "Pendulum-v1")
    with pytest.raises(ConfigError, match="norm_obs_keys"):
        VecNormalize("Pendulum-v1", norm_obs_keys=["a"])


def test_normalised_training_survives_a_stop_in_the_middle_of_a_rollout():
    env = VecNormalize(make_vec_env("Pendulum-v1", 2, seed=0))
    model = PPO("MlpPolicy", env, **SMALL)
    model.learn(1000, callback=lambda found, _: found["self"].num_timesteps < 100)
    assert model.num_timesteps == 100
    model.learn(64, reset_num_timesteps=False)
    assert np.isfinite(env.obs_rms.mean).all() and env.obs_rms.count >= 100


def test_helpers_scripts_import():
    from upswing.sb3.common.env_checker import check_env
    from upswing.sb3.common.utils import set_random_seed

    set_random_seed(3)
    first = (torch.rand(1), np.random.rand())
    set_random_seed(3)
    assert first == (torch.rand(1), np.random.rand())
    check_env(gym.make("CartPole-v1").unwrapped, warn=False)
    with pytest.raises(AssertionError):  # its first observation does not follow from the seed
        check_env(World(spaces.Box(-1, 1, (2,)), spaces.Discrete(2)), warn=False)
