import json
import os
import sys
import types

import imageio.v3 as imageio
import numpy as np
import pytest

from upswing.cli import known
from upswing.cli.machine import Torch, extras, gpu_advice
from upswing.cli.video import frames_per_second, write_video
from upswing.errors import EnvironmentFault, StorageError, UserError


def last_json(text):
    return json.loads(text.splitlines()[-1])


def test_json_is_the_last_line_of_stdout_and_alone_there(upswing, asked):
    said = upswing("train", "CartPole-v1", "--json")
    values = last_json(said.out)
    assert said.out.count("\n") == 1
    assert values["run_dir"] == "runs/x-1"
    assert values["steps_per_second"] == 1234.5
    assert values["best_mean_reward"] is None
    assert values["wall_time_s"] is None  # NaN is not JSON
    assert set(values) >= {"total_timesteps", "mean_reward", "train_time_s", "iterations", "stopped", "exit_code"}
    assert "Done" in said.err


def test_quiet_is_one_line(upswing, asked):
    said = upswing("train", "CartPole-v1", "--quiet")
    assert said.out.count("\n") == 1
    assert said.out.startswith("Done: return 21.5")
    said = upswing("train", "CartPole-v1", "--quiet", "--json")
    assert (said.out.count("\n"), said.err) == (1, "")
    assert upswing("train", "CartPole-v1", "-q", "--lang", "zh").out.startswith("完成")


def test_resume(upswing, asked, tmp_path):
    assert upswing("resume", tmp_path, "--total-timesteps", "3e5", "--quiet").code == 0
    wanted = {"run_dir": str(tmp_path), "total_timesteps": 300_000, "engine": None, "trusted": False}
    assert asked[-1] == wanted
    upswing("resume", tmp_path, "--engine", "torch", "-q")
    assert asked[-1]["engine"] == "torch"
    upswing("resume", tmp_path, "--trust-code", "-q")
    assert asked[-1]["trusted"] is True
    said = upswing("resume", tmp_path, "--total-timesteps", "some")
    assert (said.code, said.err.count("\n")) == (2, 1)


def test_the_newest_run_is_the_default(upswing, asked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = upswing("resume")
    assert said.code == 1
    assert "There is no run in runs/ yet" in said.err
    for name in ("older", "newer"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "config.json").write_text("{}")
    os.utime(tmp_path / "runs" / "older" / "config.json", (1, 1))
    upswing("resume", "-q")
    assert asked[-1]["run_dir"] == "runs/newer"


@pytest.mark.parametrize("error", [UserError("It is so."), StorageError("It is so."), EnvironmentFault("It is so.")])
def test_an_error_is_one_line_with_its_exit_code(upswing, monkeypatch, error):
    def train(*args, **options):
        raise error

    module = types.ModuleType("upswing.training")
    module.train = train
    monkeypatch.setitem(sys.modules, "upswing.training", module)
    said = upswing("train", "CartPole-v1")
    assert (said.code, said.err) == (error.exit_code, "upswing: It is so.\n")
    monkeypatch.setenv("UPSWING_DEBUG", "1")
    assert "Traceback" in upswing("train", "CartPole-v1").err


def test_an_interruption_is_an_exit_code(upswing, monkeypatch):
    from dataclasses import replace

    from upswing.hooks import Result

    stopped = replace(Result("runs/x", 1, 1.0, None, None, 1.0, 1.0, 1), stopped="SIGINT", exit_code=130)
    module = types.ModuleType("upswing.training")
    module.train = lambda config, hooks: stopped
    monkeypatch.setitem(sys.modules, "upswing.training", module)
    assert upswing("train", "CartPole-v1").code == 130

    def early(config, hooks):
        raise KeyboardInterrupt

    module.train = early
    said = upswing("train", "CartPole-v1")
    assert said.code == 130
    assert "Traceback" not in said.err


@pytest.fixture
def evaluation(monkeypatch):
    """Fakes of evaluate_run and play, which note what they are asked for."""
    calls = []

    def evaluate_run(path, **options):
        calls.append(options)
        return types.SimpleNamespace(
            mean_reward=499.5,
            std_reward=1.5,
            n_episodes=options["n_episodes"],
            success_once=0.75,
            success_at_end=None,
            mean_ep_length=499.5,
            checkpoint="100096",
            returns=[480.0, 500.0],
            lengths=[480, 500],
        )

    def play(path, **options):
        calls.append(options)
        for episode in range(options["n_episodes"]):
            for step in range(3):
                picture = np.full((21, 33, 3), 80 * step, np.uint8)
                yield types.SimpleNamespace(picture=picture, episode=episode, step=step, ret=float(step))

    module = types.ModuleType("upswing.evaluation")
    module.evaluate_run, module.play = evaluate_run, play
    monkeypatch.setitem(sys.modules, "upswing.evaluation", module)
    return calls


def test_eval(upswing, evaluation, tmp_path):
    said = upswing(
        "eval", tmp_path, "--checkpoint", "50_000", "--episodes", "7", "--seed", "3", "--stochastic", "--json"
    )
    assert evaluation[-1] == {
        "which": 50_000,
        "n_episodes": 7,
        "n_envs": 7,
        "deterministic": False,
        "seed": 3,
        "trusted": False,
    }
    values = last_json(said.out)
    assert values["success_at_end"] is None
    assert (values["mean_reward"], values["n_episodes"], values["checkpoint"]) == (499.5, 7, "100096")
    said = upswing("eval", tmp_path)
    assert evaluation[-1]["which"] is None
    assert said.out.startswith("Return 499.5 ± 1.50 over 100 episodes, mean length 499.5, success 75 %.")


@pytest.mark.parametrize("text", ["newest", "1e999", ""])
def test_an_unknown_checkpoint(upswing, evaluation, tmp_path, text):
    said = upswing("eval", tmp_path, "--checkpoint", text)
    assert said.code == 2
    assert "give best, latest, or a step" in said.err


def test_watch_needs_a_display(upswing, evaluation, tmp_path, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    said = upswing("watch", tmp_path)
    assert (said.code, evaluation) == (1, [])
    assert said.err == "upswing: There is no display to open a window on: upswing record RUN makes a video instead.\n"


def test_watch_plays_in_a_window(upswing, evaluation, tmp_path, monkeypatch):
    monkeypatch.setenv("DISPLAY", ":0")
    said = upswing("watch", tmp_path, "--episodes", "2", "--checkpoint", "best")
    assert (evaluation[-1]["render_mode"], evaluation[-1]["which"]) == ("human", "best")
    assert said.out.splitlines()[1:] == ["Episode 1: 3 steps.", "Episode 2: 3 steps."]


@pytest.fixture
def a_run(tmp_path, monkeypatch):
    for name in ("SDL_VIDEODRIVER", "MUJOCO_GL"):
        monkeypatch.setenv(name, os.environ.get(name, "dummy" if name[0] == "S" else "egl"))
    (tmp_path / "config.json").write_text('{"config": {"env": "CartPole-v1"}}')
    return tmp_path


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # imageio leaves ffmpeg's pipes open
@pytest.mark.parametrize("ending", ["gif", "mp4"])
def test_record(upswing, evaluation, a_run, ending):
    target = a_run / "deep" / f"video.{ending}"
    said = upswing("record", a_run, "-o", target, "--episodes", "2")
    assert said.code == 0, said.err
    assert evaluation[-1]["render_mode"] == "rgb_array"
    pictures = imageio.imread(target, index=None)
    assert pictures.shape == (6, 22, 34, 3)  # sides made even
    assert said.out == f"Wrote {target}: 6 pictures, 0.1 s at 50 a second.\n"
    assert [file.name for file in target.parent.iterdir()] == [target.name]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_record_has_a_place_of_its_own(upswing, evaluation, a_run):
    assert upswing("record", a_run, "--fps", "10").code == 0
    assert (a_run / f"{a_run.name}.mp4").stat().st_size > 0


def test_record_refuses_other_formats(upswing, evaluation, a_run):
    said = upswing("record", a_run, "-o", "x.avi")
    assert (said.code, evaluation) == (2, [])
    assert "let its name end in .mp4 or .gif" in said.err


def test_a_failing_recording_leaves_nothing(tmp_path):
    def pictures():
        yield np.zeros((4, 4, 3), np.uint8)
        raise EnvironmentFault("The environment crashed.")

    with pytest.raises(EnvironmentFault):
        write_video(tmp_path / "x.gif", pictures(), 30)
    with pytest.raises(UserError, match="nothing to record"):
        write_video(tmp_path / "x.gif", iter([]), 30)
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        write_video(tmp_path / "file" / "x.gif", iter([np.zeros((4, 4, 3), np.uint8)]), 30)
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_the_environments_own_pace():
    assert frames_per_second("CartPole-v1") == 50
    assert frames_per_second("Acrobot-v1") == 15
    assert frames_per_second("InvertedPendulum-v5") == 25
    assert frames_per_second("nothing:Here-v0") == 30
    assert frames_per_second(None) == 30


def test_plot_refuses_other_formats(upswing, tmp_path):
    said = upswing("plot", tmp_path, "-o", "x.txt")
    assert said.code == 2
    assert "let its name end in .png, .svg or .pdf" in said.err


def test_envs(upswing, monkeypatch):
    said = upswing("envs")
    assert said.code == 0
    for text in ("Classic control", "★ CartPole-v1", "Box2D", "MuJoCo", "★ Pendulum-v1", "HalfCheetah-v5"):
        assert text in said.out
    assert "GymV21" not in said.out
    assert "Hopper-v3" not in said.out  # only the latest version
    filtered = upswing("envs", "CARTPOLE").out
    assert "CartPole-v1" in filtered
    assert "Pendulum" not in filtered
    said = upswing("envs", "nothing-like-it")
    assert (said.code, said.err.count("\n")) == (1, 1)
    monkeypatch.setattr(known, "find_spec", lambda module: None)
    assert "needs pip install 'upswing[mujoco]'" in upswing("envs", "hopper").out


def test_presets(upswing):
    said = upswing("presets")
    assert "MountainCarContinuous-v0" in said.out
    assert "-172.2" in said.out
    said = upswing("presets", "Pendulum-v1")
    for text in ("hyperparams/ppo.yml, entry Pendulum-v1", "--sde-sample-freq", "--learning-rate", "0.001"):
        assert text in said.out
    assert upswing("presets", "Nothing-v0").code == 1


def test_info(upswing):
    said = upswing("info")
    assert said.code == 0
    for text in (
        "Versions",
        "python",
        "torch",
        "gymnasium",
        "threads of torch",
        "seen by the driver",
        "Extras",
        "mujoco",
    ):
        assert text in said.out


def test_extras_come_from_the_packages_own_metadata():
    assert "mujoco" in extras()["mujoco"]
    assert "box2d" in extras()["box2d"]
    assert "torch" not in {package for packages in extras().values() for package in packages}


GPU = ["H200 (143771 MiB, driver 570)"]


@pytest.mark.parametrize(
    ("driver", "torch", "advice"),
    [
        (None, Torch("2.13.0+cpu", None, (), 2), None),
        ([], Torch("2.13.0", "12.8", (), 2), None),
        (GPU, Torch("2.13.0", "12.8", ("H200",), 2), None),
        (GPU, Torch("2.13.0+cpu", None, (), 2), "This torch is built for the CPU: install the CUDA build"),
        (GPU, Torch("2.13.0", "13.0", (), 2, "The driver is too old"), "(The driver is too old): update the driver"),
        (GPU * 2, Torch("2.13.0", "12.8", ("H200",), 2), "CUDA_VISIBLE_DEVICES"),
    ],
)
def test_advice_when_driver_and_torch_disagree(driver, torch, advice):
    given = gpu_advice(driver, torch)
    assert given == [] if advice is None else advice in given[0]


def test_selftest_names_the_broken_part(upswing, monkeypatch):
    module = types.ModuleType("upswing.selftest")
    findings = [
        types.SimpleNamespace(probe="A", passed=True, sentence="A: the value loss works."),
        types.SimpleNamespace(probe="B", passed=False, sentence="B: discounting looks broken."),
    ]
    module.run_selftest = lambda engine: iter(findings)
    monkeypatch.setitem(sys.modules, "upswing.selftest", module)
    said = upswing("selftest")
    assert said.out.splitlines() == ["✔ A: the value loss works.", "✘ B: discounting looks broken."]
    assert said.code == 1
    assert "B first" in said.err
    findings[1].passed = True
    assert upswing("selftest", "--engine", "torch").code == 0
    assert upswing("selftest", "--engine", "warp").code == 2


def test_an_unknown_command(upswing):
    said = upswing("trian")
    assert (said.code, said.err) == (2, "upswing: No such command 'trian'. Did you mean 'train'?\n")
