"""PPO for scripts written for Stable-Baselines3: change the import, and they train on this project's engines.

    from upswing import PPO
    from upswing.sb3 import EvalCallback, evaluate_policy, make_vec_env

The modules under `common` stand where Stable-Baselines3 has them.
"""

from upswing.policies import CnnPolicy, MlpPolicy, MultiInputPolicy
from upswing.sb3.common.callbacks import (
    BaseCallback,
    CallbackList,
    CheckpointCallback,
    ConvertCallback,
    EvalCallback,
    EventCallback,
    EveryNTimesteps,
    ProgressBarCallback,
    StopEpochsOnKL,
    StopTrainingOnMaxEpisodes,
    StopTrainingOnNoModelImprovement,
    StopTrainingOnRewardThreshold,
)
from upswing.sb3.common.env_util import make_vec_env
from upswing.sb3.common.evaluation import evaluate_policy
from upswing.sb3.common.logger import Logger
from upswing.sb3.common.monitor import Monitor
from upswing.sb3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv
from upswing.sb3.ppo import PPO

__all__ = [
    "PPO",
    "BaseCallback",
    "CallbackList",
    "CheckpointCallback",
    "CnnPolicy",
    "ConvertCallback",
    "DummyVecEnv",
    "EvalCallback",
    "EventCallback",
    "EveryNTimesteps",
    "Logger",
    "MlpPolicy",
    "Monitor",
    "MultiInputPolicy",
    "ProgressBarCallback",
    "StopEpochsOnKL",
    "StopTrainingOnMaxEpisodes",
    "StopTrainingOnNoModelImprovement",
    "StopTrainingOnRewardThreshold",
    "SubprocVecEnv",
    "VecEnv",
    "evaluate_policy",
    "make_vec_env",
]
