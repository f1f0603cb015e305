"""FullyConvPolicy: maps in, calls out; a point is chosen where something is seen."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from torch_engines import HYPER
from upswing.config import TrainConfig
from upswing.envs.contract import ACTION_MASK
from upswing.envs.functions import FunctionSpace
from upswing.envs.spaces import encode_action_space
from upswing.errors import ConfigError
from upswing.policies import make_policy
from upswing.sb3.model_file import space_from_json, space_to_json
from upswing.training import train

FUNCTIONS = {"no_op": (), "click": ("add", "screen"), "look": ("minimap",), "frame": ("screen", "screen2")}
ARGUMENTS = {"screen": (6, 8), "minimap": (4, 4), "screen2": (6, 8), "add": 2}
ACTIONS = FunctionSpace(FUNCTIONS, ARGUMENTS)


def box(high, *size):
    high = np.broadcast_to(np.array(high, np.float32)[:, None, None], (len(high), *size)).copy()
    return spaces.Box(0.0, high, dtype=np.float32)


OBSERVATIONS = spaces.Dict(
    {
        "screen_classes": box([1, 4, 1961], 6, 8),
        "screen_scalars": box([255, 1600], 6, 8),
        "minimap_classes": box([1], 4, 4),
        "minimap_scalars": box([255], 4, 4),
        "player": spaces.Box(0, np.inf, (3,), np.float32),
        ACTION_MASK: spaces.Box(0, 1, (int(ACTIONS.nvec.sum()),), np.bool_),
    }
)


def policy_of(**kwargs):
    config = TrainConfig(policy="FullyConvPolicy", policy_kwargs=kwargs)
    return make_policy(config, OBSERVATIONS, ACTIONS, 0)


def observation(n=5):
    OBSERVATIONS.seed(0)
    drawn = [OBSERVATIONS.sample() for _ in range(n)]
    obs = {key: torch.from_numpy(np.stack([d[key] for d in drawn])) for key in OBSERVATIONS}
    for key in obs:
        if key.endswith("_classes"):
            obs[key] = obs[key].floor()
    obs[ACTION_MASK] = torch.ones_like(obs[ACTION_MASK])
    return obs


def test_a_function_space_is_a_multi_discrete_that_knows_its_arguments():
    assert isinstance(ACTIONS, spaces.MultiDiscrete)
    assert ACTIONS.nvec.tolist() == [4, 48, 16, 48, 2]
    assert ACTIONS.uses.tolist() == [
        [False, False, False, False],
        [True, False, False, True],
        [False, True, False, False],
        [True, False, True, False],
    ]
    assert encode_action_space(ACTIONS) is ACTIONS
    again = space_from_json(space_to_json(ACTIONS))
    assert isinstance(again, FunctionSpace) and again == ACTIONS
    assert FunctionSpace({"no_op": ()}, {}) != ACTIONS
    assert ACTIONS.contains(ACTIONS.sample())


def test_its_distribution_is_over_calls():
    policy = policy_of()
    obs = observation()
    obs[ACTION_MASK][:, 0] = False
    distribution, values = policy(obs)
    assert values.shape == (5,)
    actions = distribution.sample()
    assert actions.shape == (5, 5) and (actions < torch.from_numpy(ACTIONS.nvec)).all()
    assert 0 not in actions[:, 0]
    torch.testing.assert_close(distribution.uses, torch.from_numpy(ACTIONS.uses).float())
    assert torch.isfinite(distribution.log_prob(actions)).all() and torch.isfinite(distribution.entropy()).all()
    torch.testing.assert_close(policy.predict_values(obs), values)
    torch.testing.assert_close(policy.get_distribution(obs).entropy(), distribution.entropy())


def test_a_point_is_chosen_where_something_is_seen():
    """What lies elsewhere moves the logits of its surroundings and, through the hidden layer, no point's."""
    policy, obs = policy_of(), observation(1)
    before = policy(obs)[0].arguments
    obs["screen_classes"][0, 1, 0, 0] = 4.0 - obs["screen_classes"][0, 1, 0, 0]
    after = policy(obs)[0].arguments
    moved = (before[0].logits != after[0].logits).view(6, 8)
    assert moved[:4, :4].any() and not moved[4:].any() and not moved[:, 4:].any()
    assert torch.equal(before[1].logits, after[1].logits)  # the minimap's own map did not change


class Pointing(gymnasium.Env):
    """One step: a point on the square of class 2 gives a reward of 1; `wait` and the marks of class 1 give nothing."""

    observation_space = spaces.Dict(
        {
            "screen_classes": box([2], 8, 8),
            "screen_scalars": box([1], 8, 8),
            "player": spaces.Box(0, 1, (1,), np.float32),
        }
    )
    action_space = FunctionSpace({"wait": (), "point": ("screen",)}, {"screen": (8, 8)})
    render_mode = None

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        classes = (self.np_random.random((8, 8)) < 0.1).astype(np.float32)
        y, x = self.np_random.integers(7, size=2)
        classes[y : y + 2, x : x + 2] = 2
        nothing = {"screen_scalars": np.zeros((1, 8, 8), np.float32), "player": np.zeros(1, np.float32)}
        self.seen = {"screen_classes": classes[None], **nothing}
        return self.seen, {}

    def step(self, action):
        hit = action[0] == 1 and self.seen["screen_classes"][0].flat[action[1]] == 2
        return self.seen, float(hit), True, False, {}


def test_it_learns_to_point_at_what_it_sees(tmp_path):
    """From 3 % of the points by chance to nearly all, by reward alone: over 64 points, and beside a function without."""
    recipe = {"n_envs": 32, "n_steps": 8, "batch_size": 64, "n_epochs": 4, "learning_rate": 3e-3, "gamma": 0.9}
    config = TrainConfig(
        env=Pointing,
        policy="FullyConvPolicy",
        policy_kwargs={"n_channels": [8, 8], "features_dim": 32},
        vectorization="serial",
        total_timesteps=8192,
        eval_freq=0,
        n_eval_envs=8,
        n_eval_episodes=100,
        out_dir=str(tmp_path),
        threads=1,
        **recipe,
    )
    assert train(config).mean_reward > 0.9


@pytest.mark.parametrize("side", [8, 32])
def test_a_step_of_the_optimiser_leaves_the_hidden_layer_much_as_it_was(side):
    """However many points a map has: unscaled, what 513 or 8193 inputs add up to would move by 1.4 and 9 times itself."""
    parts = {"screen_classes": box([2], side, side), "screen_scalars": box([1], side, side)}
    parts["player"] = spaces.Box(0, 1, (1,), np.float32)
    policy = make_policy(
        TrainConfig(policy="FullyConvPolicy", policy_kwargs={"n_channels": [4, 8], "features_dim": 32}),
        spaces.Dict(parts),
        FunctionSpace({"wait": (), "point": ("screen",)}, {"screen": (side, side)}),
        0,
    )
    obs = {key: torch.zeros(4, *part.shape) for key, part in parts.items()}
    seen = []
    policy.hidden[1].register_forward_hook(lambda layer, given, out: seen.append(out.detach()))
    optimizer = torch.optim.Adam(policy.parameters(), 1e-3)
    policy(obs)[1].sum().backward()
    optimizer.step()
    policy(obs)
    assert 0.1 < seen[0].std() < 10
    assert (seen[1] - seen[0]).abs().mean() < 0.3 * seen[0].std()


def test_large_numbers_stay_small():
    policy, obs = policy_of(), observation(2)
    obs["player"][:] = 1e9
    obs["screen_scalars"][:] = 1e6
    obs["player"][0, 0] = -5.0
    assert policy(obs)[1].abs().max() < 1e3


def test_weights_begin_orthogonal_and_timid():
    policy = policy_of()
    assert policy.function_net.weight.std() < 0.01 and not policy.value_net.bias.any()
    entropy = policy(observation())[0].function.entropy()
    torch.testing.assert_close(entropy, torch.full((5,), float(np.log(4))), atol=1e-2, rtol=0)
    assert policy_of(ortho_init=False).value_net.bias.any()
    assert policy_of(n_channels=[4, 6], features_dim=10).value_net.in_features == 10
    assert HYPER.n_epochs == 2


@pytest.mark.parametrize(
    ("observations", "actions", "kwargs", "said"),
    [
        (OBSERVATIONS, spaces.Discrete(2), {}, "calls StarCraft II's functions"),
        (spaces.Box(0, 1, (3,), np.float32), ACTIONS, {}, "reads maps"),
        (spaces.Dict({"screen_classes": box([1], 6, 8)}), ACTIONS, {}, "reads maps"),
        (OBSERVATIONS, FunctionSpace({"f": ("screen",)}, {"screen": (9, 9)}), {}, "but no map is"),
        (OBSERVATIONS, ACTIONS, {"n_channels": [0, 3]}, "are not two widths"),
        (OBSERVATIONS, ACTIONS, {"features_dim": 1.5}, "are not two widths"),
        (OBSERVATIONS, ACTIONS, {"net_arch": [64]}, "net_arch"),
    ],
)
def test_what_cannot_be(observations, actions, kwargs, said):
    with pytest.raises(ConfigError, match=said):
        make_policy(TrainConfig(policy="FullyConvPolicy", policy_kwargs=kwargs), observations, actions, 0)
