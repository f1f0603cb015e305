"""A run's own numbers, from records written here by hand."""

import subprocess
import sys

import numpy as np
import pytest

from upswing.config import TrainConfig
from upswing.errors import StorageError
from upswing.explain import own_numbers, topics
from upswing.explain.numbers import clipped_share
from upswing.run.directory import write_config
from upswing.run.records import FINDINGS, METRICS, RecordWriter

N = 40  # iterations recorded


def record(at, **more):
    """The metrics of iteration `at` of a run whose KL climbs from 0.01 to 0.05."""
    return {
        "time/total_timesteps": 256 * (at + 1),
        "time/iterations": at + 1,
        "time/collect_s": 1.0,
        "time/env_s": 0.5,
        "time/update_s": 3.0,
        "time/fps": 64.0,
        "rollout/ep_len_mean": 128.0,
        "train/approx_kl": 0.01 + 0.04 * at / (N - 1),
        "train/kl_update": 0.01,
        "train/clip_range": 0.2,
        "train/clip_fraction": 0.15,
        "train/value_loss": 50.0,
        "train/return_std": 10.0,
        "train/explained_variance": None,
        "train/learning_rate": 3e-4 * (1 - at / N),
        **more,
    }


@pytest.fixture
def make_run(tmp_path):
    """Write a run of `records` under settings that make a rollout of 8 × 32."""

    def make(records=None, findings=(), **settings):
        config = TrainConfig(n_envs=8, n_steps=32, batch_size=64, n_epochs=4, total_timesteps=100_000, **settings)
        write_config(tmp_path, config)
        for name, rows in (
            (METRICS, [record(at) for at in range(N)] if records is None else records),
            (FINDINGS, findings),
        ):
            writer = RecordWriter(tmp_path / name)
            writer.write(*rows)
            writer.close()
        return tmp_path

    return make


def test_the_sizes_of_a_rollout(make_run):
    rows = own_numbers(make_run(), "n_steps", "en")
    assert rows["setting"] == "32"
    assert rows["rollout = n_envs × n_steps"] == "8 × 32 = 256"
    assert rows["iterations"] == "391 (40 so far)"
    assert rows["gradient steps an iteration"] == "4 × 4 = 16"
    assert rows["gradient steps"] == "6,256"
    assert rows["n_steps ÷ episode length"] == "0.25"
    assert rows["rollout ÷ episode length"] == "2.0"
    assert rows["reach of the advantage 1 / (1 - γλ)"] == "16.8"
    assert rows["horizon 1 / (1 - γ)"] == "100.0"
    assert "last minibatch of an epoch" not in rows


def test_a_batch_that_does_not_divide_the_rollout(make_run):
    rows = own_numbers(make_run(), "batch_size", "en")
    assert rows["minibatches"] == "4"
    run = make_run()
    write_config(run, TrainConfig(n_envs=8, n_steps=32, batch_size=100))
    assert own_numbers(run, "batch_size", "en")["last minibatch of an epoch"] == "56"


def test_kl_against_the_general_band(make_run):
    rows = own_numbers(make_run(), "train/approx_kl", "en")
    assert rows["updates"] == "40"
    assert rows["first"] == "0.0100"
    assert rows["median"] == "0.0300"
    assert rows["last"] == "0.0454"  # the median of the last ten
    assert rows["lowest to highest"] == "0.0100 … 0.0500"
    assert rows["trend of the last quarter"].startswith("rising")
    assert rows["updates below 0.003"] == "0 % of 40"
    assert rows["updates above 0.03"] == "50 % of 40"
    assert rows["clip fraction that goes with this KL and ε"] == "15 %"


def test_kl_against_the_run_s_own_target(make_run):
    stopped = [record(at, **{"train/kl_stopped": int(at % 4 == 0)}) for at in range(N)]
    rows = own_numbers(make_run(stopped, target_kl=0.05), "approx_kl" and "train/approx_kl", "en")
    assert rows["updates below 0.025"] == "38 % of 40"
    assert rows["updates above 0.1"] == "0 % of 40"
    assert rows["updates stopped by target_kl"] == "25 % of 40"


def test_the_band_of_the_clip_fraction_follows_epsilon(make_run):
    run = make_run([record(at, **{"train/clip_range": 0.1}) for at in range(N)])
    rows = own_numbers(run, "train/clip_fraction", "en")
    assert rows["updates below 0.24"] == "100 % of 40"  # 0.15 is little at ε = 0.1
    run = make_run([record(at, **{"train/clip_range": 0.2 - 0.004 * at}) for at in range(N)])
    rows = own_numbers(run, "train/clip_fraction", "en")
    assert rows["updates below the usual band at their ε"].endswith("of 40")
    run = make_run()
    assert own_numbers(run, "train/clip_fraction", "en")["updates below 0.021"] == "0 % of 40"


def test_trends_need_more_than_jitter(make_run):
    generator = np.random.default_rng(0)

    def trend(values):
        rows = [record(at, **{"train/approx_kl": value}) for at, value in enumerate(values)]
        return own_numbers(make_run(rows), "train/approx_kl", "en")["trend of the last quarter"].split()[0]

    noise = 0.002 * generator.standard_normal(80)
    assert trend(0.02 + noise) == "flat"
    assert trend(np.linspace(0.05, 0.01, 80) + 0.1 * noise) == "falling"
    assert trend(np.linspace(0.01, 0.05, 80) + 0.1 * noise) == "rising"
    assert trend(np.full(80, 0.02)) == "flat"


def test_other_figures(make_run):
    run = make_run()
    assert own_numbers(run, "train/value_loss", "en")["value_loss ÷ return_std²"] == "0.5000"
    shares = own_numbers(run, "time/update_s", "en")
    assert shares["share of the time: update"] == "75 %"
    assert shares["share of the time: environments"] == "12 %"
    assert own_numbers(run, "learning_rate", "en")["train/learning_rate"] == "3.0e−04 → 7.5e−06"
    assert own_numbers(run, "train/explained_variance", "en") == {
        "train/explained_variance": "not recorded in this run"
    }
    assert own_numbers(run, "eval_freq", "en")["evaluations"] == "20 (0 so far)"


def test_a_rule_shows_findings_settings_and_metrics(make_run):
    finding = {"code": "P01", "total_timesteps": 5120, "severity": "warn", "claim": "KL 0.05 is above 0.03."}
    rows = own_numbers(make_run(findings=[finding]), "P01", "en")
    assert rows["found by the doctor at step 5,120"] == "KL 0.05 is above 0.03."
    assert rows["learning_rate"] == "0.0003"
    assert rows["train/approx_kl"].startswith("median 0.0300, last 0.0500, rising")
    assert rows["train/kl_max"] == "not recorded in this run"
    assert own_numbers(make_run(), "P02", "en")["recorded findings"] == "none with this code in findings.jsonl"


def test_a_rule_about_sizes_shows_the_arithmetic(make_run):
    run = make_run()
    assert own_numbers(run, "S01", "en")["gradient steps"] == "6,256"
    assert own_numbers(run, "T02", "en")["horizon 1 / (1 - γ)"] == "100.0"
    assert own_numbers(run, "F01", "en")["share of the time: update"] == "75 %"


def test_settings_of_other_worlds(make_run):
    assert own_numbers(make_run(), "step_mul", "en") == {"setting": "not set in this run"}
    assert own_numbers(make_run(env_kwargs={"step_mul": 8}), "step_mul", "zh") == {"设定值": "8"}


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_topic_has_numbers_in_every_run(make_run, lang):
    """A full run, one that crashed before its first record, and one with a single record."""
    for records in (None, [], [record(0)]):
        run = make_run(records)
        for topic in topics():
            rows = own_numbers(run, topic, lang)
            assert rows, topic
            assert all(isinstance(text, str) and text and "nan" not in text for text in rows.values()), (topic, rows)
        (run / METRICS).unlink()


def test_what_is_not_a_run(tmp_path):
    with pytest.raises(StorageError, match="is not a run"):
        own_numbers(tmp_path, "gamma", "en")


@pytest.mark.parametrize(
    ("kl", "clip_range", "share"),
    [
        (0.005, 0.2, 0.045),
        (0.01, 0.2, 0.15),
        (0.02, 0.2, 0.31),
        (0.03, 0.2, 0.41),
        (0.05, 0.2, 0.52),
        (0.005, 0.1, 0.32),
    ],
)
def test_the_clip_fraction_of_gaussian_ratios(kl, clip_range, share):
    assert clipped_share(kl, clip_range) == pytest.approx(share, abs=0.005)
    log_ratio = np.random.default_rng(1).normal(-kl, np.sqrt(2 * kl), 200_000)
    assert clipped_share(kl, clip_range) == pytest.approx(
        np.mean(np.abs(np.exp(log_ratio) - 1) > clip_range), abs=0.005
    )


def test_the_clip_fraction_at_its_ends():
    assert clipped_share(0.0, 0.2) == 0.0
    assert clipped_share(0.0, 0.0) == clipped_share(0.01, 0.0) == 1.0
    assert 0 < clipped_share(0.5, 1.5) < 0.2


def test_explaining_needs_no_torch():
    code = "import upswing.explain, sys; upswing.explain.explain('lr', 'en'); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
