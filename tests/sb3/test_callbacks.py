"""When callbacks are called, what they see, and what their answers do."""

import gymnasium as gym
import numpy as np
import pytest

from upswing import PPO, Hook, Request
from upswing.errors import ConfigError
from upswing.sb3 import (
    BaseCallback,
    CallbackList,
    CheckpointCallback,
    ConvertCallback,
    DummyVecEnv,
    EvalCallback,
    EventCallback,
    EveryNTimesteps,
    StopTrainingOnRewardThreshold,
)
from upswing.sb3.bridge import CallbackHook, StepwiseHook, hooks_for
from upswing.sb3.common.base_callback import idle_calls, stepwise

SMALL = {"n_steps": 32, "batch_size": 64, "n_epochs": 1, "seed": 0}


class Walk(gym.Env):
    """Counts its steps, tells them in its info, and ends episodes after 5 (cut off) or 7 (a success)."""

    observation_space = gym.spaces.Box(0, 10, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, length=5, limit=True):
        self.length, self.limit = length, limit

    def reset(self, *, seed=None, options=None):
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.t += 1
        over = self.t == self.length
        info = {"t": self.t} | ({"is_success": not self.limit} if over else {})
        return np.full(1, self.t, np.float32), 0.5, over and not self.limit, over and self.limit, info


def walks():
    return DummyVecEnv([lambda: Walk(5), lambda: Walk(7, limit=False)])


class EveryStep(BaseCallback):
    def _on_step(self):
        return self.num_timesteps >= 0


class OnlyRollouts(BaseCallback):
    def __init__(self):
        super().__init__()
        self.seen = []

    def _on_step(self) -> bool:
        """Not needed."""
        return True

    def _on_rollout_end(self):
        self.seen.append((self.n_calls, self.num_timesteps))
        assert self.locals["rewards"].shape == self.locals["dones"].shape == (2,)


class Noted(BaseCallback):
    """For events."""

    def __init__(self):
        super().__init__()
        self.at = []

    def _on_step(self):
        self.at.append((self.parent.n_calls, self.num_timesteps, self.model.num_timesteps))
        return True


@pytest.mark.parametrize("n_steps", [1, 32, 33, 64, 100, 1000])
def test_waiting_callbacks_fire_at_the_same_calls_with_and_without_every_step(n_steps):
    notes = []
    for company in ([], [EveryStep()]):
        noted = Noted()
        model = PPO("MlpPolicy", walks(), **SMALL)
        callback = CallbackList([EveryNTimesteps(n_steps, noted), *company])
        callback.init_callback(model)
        assert type(hooks_for(model, callback, {})[0]) is (StepwiseHook if company else CallbackHook)
        model.learn(256, callback=callback)
        notes.append(noted.at)
    assert notes[0] == notes[1]
    assert len(notes[0]) == 256 // max(2, n_steps + n_steps % 2)


@pytest.mark.parametrize("freq", [7, 32, 50])
def test_frequencies_count_calls(tmp_path, freq):
    written = []
    for name, company in (("waiting", []), ("stepping", [EveryStep()])):
        saving = CheckpointCallback(freq, str(tmp_path / name))
        evaluating = EvalCallback(Walk(3), eval_freq=freq, n_eval_episodes=1, verbose=0, log_path=str(tmp_path / name))
        PPO("MlpPolicy", walks(), **SMALL).learn(128, callback=[saving, evaluating, *company])
        steps = np.load(tmp_path / name / "evaluations.npz")["timesteps"].tolist() if freq <= 64 else []
        files = sorted(int(path.stem.split("_")[2]) for path in (tmp_path / name).glob("*.safetensors"))
        assert steps == files == list(range(2 * freq, 129, 2 * freq))
        written.append(files)
    assert written[0] == written[1]


def test_an_on_step_that_only_says_true_costs_nothing():
    callback = OnlyRollouts()
    assert idle_calls(callback) == float("inf")
    needing = EveryStep()
    assert stepwise(CallbackList([callback, CallbackList([needing])])) == [needing]
    PPO("MlpPolicy", walks(), **SMALL).learn(128, callback=callback)
    assert callback.seen == [(32, 64), (64, 128)]


def test_what_counts_as_needing_every_step():
    class Mixin:
        def _on_step(self):
            return bool(self.model)

    class Mixed(Mixin, BaseCallback):
        pass

    class OwnEvaluation(EvalCallback):
        def _on_step(self):
            return super()._on_step()

    class Half(BaseCallback):
        def _on_step(self):
            return 1.0

    class Heir(OnlyRollouts):
        pass

    class Event(EventCallback):
        def _on_step(self):
            return self._on_event()

    class Public(BaseCallback):
        def on_step(self):
            return True

    for needing in (Public(), Mixed(), OwnEvaluation(Walk()), Half(), Event(), ConvertCallback(lambda a, b: True)):
        assert idle_calls(needing) is None, needing
        assert idle_calls(CallbackList([Heir(), needing])) is None
    for idle in (Heir(), BaseCallback(), ConvertCallback(None), CallbackList([]), EventCallback()):
        assert idle_calls(idle) == float("inf"), idle


def test_locals_of_a_step():
    class Look(BaseCallback):
        def __init__(self):
            super().__init__()
            self.infos, self.rewards, self.obs = [], [], []

        def _on_step(self):
            assert self.locals["self"] is self.model and self.locals["env"] is self.training_env
            assert self.locals["n_steps"] == (self.n_calls - 1) % 32
            self.infos.append(self.locals["infos"])
            self.rewards.append(self.locals["rewards"])
            self.obs.append(self.locals["new_obs"])
            return True

    look = Look()
    PPO("MlpPolicy", walks(), **SMALL).learn(64, callback=look)
    assert [info[0]["t"] for info in look.infos] == [1, 2, 3, 4, 5] * 6 + [1, 2]
    cut, success = look.infos[4][0], look.infos[6][1]
    assert cut["TimeLimit.truncated"] and not success["TimeLimit.truncated"]
    assert cut["terminal_observation"].tolist() == [5.0] and success["terminal_observation"].tolist() == [7.0]
    assert (cut["episode"]["r"], cut["episode"]["l"]) == (2.5, 5)
    assert (success["episode"]["r"], success["is_success"], cut["is_success"]) == (3.5, True, False)
    assert np.concatenate(look.obs)[:, 0].tolist()[:14:2] == [1, 2, 3, 4, 0, 1, 2], "each step's own array"
    assert np.array(look.rewards).shape == (32, 2)
    assert (np.array(look.rewards) == 0.5).all()


def test_infos_of_gymnasiums_vector_environments():
    seen = []

    def callback(locals_, globals_):
        seen.append([info.get("t") for info in locals_["infos"]])
        return True

    envs = gym.vector.SyncVectorEnv([lambda: Walk(5), lambda: Walk(7, limit=False)])
    PPO("MlpPolicy", envs, **SMALL).learn(64, callback=callback)
    assert [row[0] for row in seen[:7]] == [1, 2, 3, 4, 5, None, 1], "a step that only resets says nothing"


def test_a_waiting_callback_that_stops_does_so_after_the_rollout_and_before_the_update():
    stop = StopTrainingOnRewardThreshold(1.0)
    callback = EvalCallback(Walk(3), callback_on_new_best=stop, eval_freq=40, n_eval_episodes=1, verbose=0)
    model = PPO("MlpPolicy", walks(), **SMALL)
    model.learn(1000, callback=callback)
    assert callback.num_timesteps == 80, "where it was called"
    assert model.num_timesteps == 128, "what was really taken"
    assert model._n_updates == 1
    model.learn(64, reset_num_timesteps=False)
    assert (model.num_timesteps, model._n_updates) == (192, 2)


def test_a_threshold_needs_an_evaluation():
    with pytest.raises(AssertionError, match="must be given to an EvalCallback"):
        PPO("MlpPolicy", walks(), **SMALL).learn(64, callback=StopTrainingOnRewardThreshold(1.0))


def test_all_callbacks_of_a_list_are_called_although_one_stops():
    calls = []
    first, second = (lambda a, b, i=i: calls.append(i) or i == 1 for i in range(2))
    model = PPO("MlpPolicy", walks(), **SMALL)
    model.learn(64, callback=[first, second])
    assert calls == [0, 1]
    assert model.num_timesteps == 2


def test_an_interrupt_leaves_a_model_that_goes_on():
    def callback(locals_, globals_):
        if locals_["self"].num_timesteps == 100:
            raise KeyboardInterrupt
        return True

    model = PPO("MlpPolicy", walks(), **SMALL)
    with pytest.raises(KeyboardInterrupt):
        model.learn(1000, callback=callback)
    assert model.num_timesteps == 100
    model.learn(64, reset_num_timesteps=False)
    assert (model.num_timesteps, model._n_updates) == (164, 2)


def test_counts_go_on_over_calls_of_learn():
    callback = OnlyRollouts()
    model = PPO("MlpPolicy", walks(), **SMALL)
    model.learn(64, callback=callback)
    model.learn(64, callback=callback, reset_num_timesteps=False)
    model.learn(64, callback=callback)
    assert callback.seen == [(32, 64), (64, 128), (96, 64)]


def test_settings_of_a_whole_learn_cannot_change_within_it():
    class Meddle(BaseCallback):
        def _on_rollout_start(self):
            self.model.gamma = 0.5

    model = PPO("MlpPolicy", walks(), **SMALL)
    with pytest.raises(ConfigError, match="gamma cannot change while learn runs"):
        model.learn(64, callback=Meddle())
    model.gamma, model.n_steps, model.batch_size = 0.9, 16, 32
    model.learn(64)
    assert model.training.config.gamma == 0.9
    assert model.training.progress.iteration == 2


def test_an_impossible_change_is_an_error():
    class Meddle(BaseCallback):
        def _on_rollout_end(self):
            self.model.n_epochs = 0

    with pytest.raises(ConfigError, match="n_epochs = 0"):
        PPO("MlpPolicy", walks(), **SMALL).learn(64, callback=Meddle())


@pytest.mark.parametrize(
    "name", ["clip_range", "ent_coef", "lr_schedule", "learning_rate", "target_kl", "clip_range_vf"]
)
def test_live_settings_reach_the_update(name):
    class Set(BaseCallback):
        def _on_rollout_end(self):
            setattr(self.model, name, (lambda remaining: 0.03) if name != "target_kl" else 0.03)

    class Read(Hook):
        def on_iteration(self, record, agent):
            self.record = record
            return Request()

    read = Read()
    model = PPO("MlpPolicy", walks(), **SMALL)
    model.learn(64, callback=[Set(), read])
    tag = {"lr_schedule": "learning_rate"}.get(name, name)
    if name != "target_kl":
        assert read.record[f"train/{tag}"] == 0.03
    else:
        assert model.training.config.target_kl is None and model.target_kl == 0.03


def test_schedules_are_functions_of_the_remaining_progress():
    model = PPO("MlpPolicy", walks(), clip_range="linear:0.4", learning_rate=1e-3, **SMALL)
    assert model.clip_range(0.5) == 0.2
    assert model.lr_schedule(0.5) == 1e-3
    assert model.clip_range_vf is None


def test_success_is_counted():
    model = PPO("MlpPolicy", walks(), **SMALL)
    model.learn(256)
    assert 0 < np.mean(model.ep_success_buffer) < 1
    assert model.logger.name_to_value["rollout/success_rate"] == pytest.approx(np.mean(model.ep_success_buffer))
    evaluated = EvalCallback(Walk(7, limit=False), eval_freq=32, verbose=0)
    model.learn(64, callback=evaluated)
    assert model.logger.name_to_value["eval/success_rate"] == 1.0


def test_evaluation_speaks(capsys, tmp_path):
    callback = EvalCallback(Walk(4), eval_freq=32, n_eval_episodes=2, log_path=str(tmp_path))
    PPO("MlpPolicy", walks(), verbose=0, **SMALL).learn(128, callback=callback)
    printed = capsys.readouterr().out
    assert "Eval num_timesteps=64, episode_reward=2.00 +/- 0.00" in printed
    assert printed.count("New best mean reward!") == 1
    assert "Success rate: 0.00%" in printed
    assert np.load(tmp_path / "evaluations.npz")["successes"].tolist() == [[False, False]] * 2
