"""StarCraft II: PySC2's own SC2TestEnv, and an unmodified SC2Env on a stand-in for the game, which may misbehave."""

import importlib.util
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from scripts.starcraft.install import ROOT, install

from upswing.cli import run as run_command
from upswing.config import TrainConfig
from upswing.engine.make import take_notices
from upswing.envs.make import make_vector_env
from upswing.envs.registry import StarCraftMap, find_env, list_environments
from upswing.envs.starcraft.names import MINI_GAME_FUNCTIONS, MINI_GAMES, map_name
from upswing.errors import ConfigError, EnvironmentFault, MissingExtra
from upswing.evaluation import evaluate_run
from upswing.run.records import read_metrics, read_records
from upswing.training import train

there = importlib.util.find_spec("pysc2") is not None
needs_pysc2 = pytest.mark.skipif(not there, reason="PySC2 is not installed (docs/starcraft.md)")

SIZES = {"screen_size": 16, "minimap_size": 8}


@pytest.fixture
def game(tmp_path, monkeypatch):
    """The stand-in's folder, in the place of the game."""
    home = install(tmp_path / "game")
    monkeypatch.setenv("SC2PATH", str(home))
    return home


def config(tmp_path, n_envs=1, **settings):
    base = {"env": "MoveToBeacon", "env_kwargs": SIZES, "n_envs": n_envs, "policy": "FullyConvPolicy", "threads": 1}
    base |= {"policy_kwargs": {"n_channels": [4, 4], "features_dim": 16}, "out_dir": str(tmp_path / "runs")}
    base |= {"n_eval_envs": 1, "n_eval_episodes": 1, "eval_freq": 0, "n_epochs": 1, "n_steps": 40, "batch_size": 40}
    return TrainConfig(**(base | settings))


def python(program, **environment):
    """What a fresh interpreter prints, as a worker process would: PySC2 is never imported into this one."""
    told = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}", **environment}
    done = subprocess.run([sys.executable, "-c", program], env=told, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


# ── names and errors, without a game ─────────────────────────────────────────────────────────────────────────────────


def test_maps_are_known_by_their_names():
    assert map_name("MoveToBeacon") == "MoveToBeacon" and map_name("sc2:Simple64") == "Simple64"
    assert map_name("CartPole-v1") is None and map_name(dict) is None
    assert len(MINI_GAME_FUNCTIONS) == len(set(MINI_GAME_FUNCTIONS)) == 23
    assert {item.id for item in list_environments() if item.kind == "starcraft"} == set(MINI_GAMES)


@needs_pysc2
def test_a_map_named_in_a_file_is_no_code():
    assert find_env("sc2:Simple64", trusted=False) == StarCraftMap("Simple64")


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"upswing\[sc2\]' and pip install --no-deps pysc2"):
        find_env("MoveToBeacon")


@needs_pysc2
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"env_kwargs": {"screen_size": 1000}}, "screen_size = 1000 is no resolution"),
        ({"env_kwargs": {"minimap_size": "big"}}, "minimap_size = 'big' is no resolution"),
        ({"env_kwargs": {"step_mul": 0}}, "step_mul = 0 is not a whole number"),
        ({"env_kwargs": {"actions": "few"}}, "choose mini_games or all, or give a list"),
        ({"env_kwargs": {"actions": []}}, "choose mini_games or all, or give a list"),
        (
            {"env_kwargs": {"actions": ["no_op", "Move_scren"]}},
            "'Move_scren', which is no function .* mean Move_screen",
        ),
        ({"env_kwargs": {"players": 2}}, "players cannot be set: set race"),
        ({"env_kwargs": {"speed": 2}}, "MoveToBeacon takes no speed"),
        ({"env_kwargs": {"race": "elf"}}, "race = 'elf' is not known: choose random"),
        ({"env_kwargs": {"opponent": "easy"}}, "is for one player"),
        ({"env": "sc2:MoveToBacon"}, "did you mean MoveToBeacon"),
        ({"vectorization": "serial"}, "set it to auto"),
    ],
)
def test_impossible_settings_are_one_sentence(game, tmp_path, settings, said):
    with pytest.raises(ConfigError, match=said):
        make_vector_env(config(tmp_path, **settings), 1)
    assert not list((game / "starts").iterdir())


@needs_pysc2
def test_a_missing_game_or_map_says_where_it_was_looked_for(game, tmp_path, monkeypatch, capsys):
    with pytest.raises(
        EnvironmentFault, match=r"The map DefeatRoaches is not at .*Maps/mini_games/DefeatRoaches.SC2Map"
    ):
        make_vector_env(config(tmp_path, env="DefeatRoaches"), 1)
    (game / "Versions" / "Base99999" / "SC2_x64").unlink()
    with pytest.raises(EnvironmentFault, match=r"program .*SC2_x64 is missing"):
        make_vector_env(config(tmp_path), 1)
    monkeypatch.setenv("SC2PATH", str(tmp_path / "nowhere"))
    assert run_command(["train", "MoveToBeacon", "--policy", "FullyConvPolicy"]) == 3
    said = capsys.readouterr().err
    assert f"StarCraft II is not at {tmp_path / 'nowhere'}" in said and "Traceback" not in said


# ── PySC2's own test environment ─────────────────────────────────────────────────────────────────────────────────────


@needs_pysc2
@pytest.mark.parametrize("actions", ["mini_games", "all"])
def test_spaces_observations_and_calls_are_pysc2s(actions):
    """Of SC2TestEnv, which needs no game: what it shows fits the spaces, and it takes every call that is available."""
    print(python(f"""
import numpy as np
import upswing.envs.starcraft.env as module
from upswing.envs.starcraft.package import load_pysc2
load_pysc2()
from google.protobuf.internal import api_implementation
assert api_implementation.Type() == "upb", "the fast protobuf"
from pysc2.env import mock_sc2_env, sc2_env
from pysc2.lib import features

def fake(map_name, settings, agent_interface_format, **rest):
    assert settings["race"] == "random" and rest["step_mul"] == 4
    return mock_sc2_env.SC2TestEnv(map_name=map_name, players=[sc2_env.Agent(sc2_env.Race.random)],
                                   agent_interface_format=agent_interface_format)
module.start = fake
module.begin = lambda game, seed: game.reset()[0]
env = module.StarCraftEnv("MoveToBeacon", screen_size=(20, 16), minimap_size=12, step_mul=4, actions="{actions}",
                          render_mode="rgb_array")
obs, _ = env.reset(seed=3)
assert env.observation_space.contains(obs), {{k: v.shape for k, v in obs.items()}}
assert obs["screen_classes"].shape == (16, 16, 20) and obs["minimap_scalars"].shape == (1, 12, 12)
n = len(env.table)
assert n == (23 if "{actions}" == "mini_games" else 573)
mask = env.action_masks()
assert mask.shape == (env.action_space.nvec.sum(),) and mask[n:].all()
available = set(env.last.observation["available_actions"].tolist())
assert {{env.table[i].id for i in np.flatnonzero(mask[:n])}} == available & {{f.id for f in env.table}}
env.action_space.seed(0)
spec = env.game.action_spec()[0]
for i, function in enumerate(env.table):
    for _ in range(3):
        action = env.action_space.sample()
        action[0] = i
        call = env.call(action)
        assert call.function == function.id and len(call.arguments) == len(function.args)
        for argument, value in zip(function.args, call.arguments):
            sizes = spec.types[argument.id].sizes
            assert len(value) == len(sizes) and all(0 <= v < s for v, s in zip(value, sizes)), (argument, value, sizes)
point = env.action_space.sample()
point[0] = list(env.action_space.functions).index("Move_screen")
point[1 + list(env.action_space.arguments).index("screen")] = 3 * 20 + 7
assert env.call(point).arguments[1] == [7, 3], "x, y of row 3 and column 7"
env.game.episode_length = 3
ends = [env.step(np.zeros(len(env.action_space.nvec), int))[2:4] for _ in range(3)]
assert ends[:2] == [(False, False)] * 2 and any(ends[2]), ends
picture = env.render()
assert picture.dtype == np.uint8 and picture.shape[2] == 3
env.close()
env.close()
"""))  # fmt: skip


# ── the stand-in ─────────────────────────────────────────────────────────────────────────────────────────────────────


@needs_pysc2
@pytest.mark.parametrize(("name", "least"), [("MoveToBeacon", 20), ("CollectMineralShards", 50)])
def test_a_scripted_agent_scores_on_the_stand_in(game, name, least):
    """Through an unmodified SC2Env; and the same seed is the same episode, another one another."""
    said = python(f"""
from scripts.starcraft.play import scores
print(*scores("{name}", seeds=[5, 5, 6], screen_size=32, steps=240))
""")
    first, again, other = (float(score) for score in said.split())
    assert first == again >= least and other >= least


@needs_pysc2
def test_three_games_train_at_once_and_a_crash_costs_one_episode(game, tmp_path):
    (game / "orders" / "crash-800").touch()
    told, quick = [], SIZES | {"step_mul": 32}  # 60 steps an episode
    result = train(config(tmp_path, 3, n_steps=30, total_timesteps=180, env_kwargs=quick), [Listener(told)])
    lost = [sentence for sentence in told if "it was restarted" in sentence]
    assert len(lost) == 1 and re.search(r"Worker \d \(environment \d\) failed", lost[0])
    assert len(list((game / "starts").iterdir())) == 3 + 1 + 1  # games, the crashed one's successor, the evaluation's
    episodes = read_records(f"{result.run_dir}/episodes.jsonl")
    assert len(episodes) == 2 and {episode["length"] for episode in episodes} == {60}
    assert read_metrics(result.run_dir)["train/ratio_error"].max() < 1e-4
    assert result.total_timesteps == 180 and result.mean_reward is not None
    score = evaluate_run(result.run_dir, n_episodes=1)
    assert score.lengths == [60]


class Listener:
    """Collects what the training says."""

    def __new__(cls, told):
        from upswing.hooks import Hook

        class Hears(Hook):
            def on_notice(self, sentence):
                told.append(sentence)

        return Hears()


@needs_pysc2
@pytest.mark.parametrize("fault", ["hang", "garbage"])
def test_a_game_that_hangs_or_talks_nonsense_is_started_again(game, tmp_path, fault):
    (game / "orders" / f"{fault}-80").touch()
    env = make_vector_env(config(tmp_path, step_timeout_s=3.0), 1, [0])
    try:
        wait = np.zeros((1, len(env.action_space.nvec)), np.int64)
        lost = []
        for i in range(15):
            step = env.step(wait)
            if step.valid is not None and not step.valid[0]:
                lost.append(i)
                assert step.truncated[0] and not step.episodes
        assert lost == [9]
        (said,) = take_notices(env)
        assert ("did not answer for 3 s" if fault == "hang" else "failed") in said
    finally:
        env.close()


@needs_pysc2
def test_restarts_are_bounded(game, tmp_path):
    for n in range(1, 4):
        (game / "orders" / f"crash-{n}").touch()
    env = make_vector_env(config(tmp_path, max_worker_restarts=1), 1, [0])
    wait = np.zeros((1, len(env.action_space.nvec)), np.int64)
    try:
        with pytest.raises(
            EnvironmentFault, match="after 1 restart: mend the environment, or raise max_worker_restarts"
        ):
            for _ in range(6):
                env.step(wait)
    finally:
        env.close()


@needs_pysc2
def test_a_video_of_the_layers(game, tmp_path, capsys):
    quick = SIZES | {"step_mul": 200}
    result = train(config(tmp_path, n_steps=8, total_timesteps=8, name="run", env_kwargs=quick))
    video = tmp_path / "video.gif"
    assert run_command(["record", result.run_dir, "-o", str(video)]) == 0
    assert video.stat().st_size > 0
    assert "10 pictures" in capsys.readouterr().out
