"""A study on disk: what is written is read back, and what is damaged is refused in a sentence."""

import dataclasses
import json

import pytest

from upswing.errors import StorageError
from upswing.lab.study_record import (
    DONE,
    STUDY,
    Costs,
    RunRecord,
    StudyRecord,
    StudySetting,
    is_study,
    read_study,
    write_study,
)


def made():
    settings = [StudySetting(f"n_envs={n}", {"n_envs": n}, {"iterations": 8 // n}, {"n_envs": n}) for n in (1, 2)]
    runs = [
        RunRecord(s.label, s.values, seed, f"{s.label}-seed{seed}", DONE, 1.5 + seed, costs=Costs(wall_time_s=2.0))
        for s in settings
        for seed in (0, 1)
    ]
    return StudyRecord("CartPole-v1", ["n_envs"], settings, [0, 1], "n_envs=1", runs, match="iterations")


def test_a_study_is_read_back_as_it_was(tmp_path):
    assert not is_study(tmp_path)
    write_study(tmp_path, made())
    assert is_study(tmp_path) and read_study(tmp_path) == made()
    assert read_study(tmp_path).scores("n_envs=2") == [1.5, 2.5]


def test_only_finished_runs_have_scores():
    study = made()
    runs = [dataclasses.replace(study.runs[0], state="running"), *study.runs[1:]]
    assert dataclasses.replace(study, runs=runs).scores("n_envs=1") == [2.5]


def test_entries_of_a_later_version_are_left_out(tmp_path):
    write_study(tmp_path, made())
    content = json.loads((tmp_path / STUDY).read_text())
    content["weather"] = content["runs"][0]["weather"] = "fine"
    (tmp_path / STUDY).write_text(json.dumps(content))
    assert read_study(tmp_path) == made()


@pytest.mark.parametrize(("change", "complaint"), [
    (lambda c: c.pop("runs"), "is damaged"),
    (lambda c: c["runs"][0].pop("seed"), "is damaged"),
    (lambda c: c["runs"][0].update(setting="n_envs=7"), "no setting is called 'n_envs=7'"),
    (lambda c: c.update(runs=[3]), "is damaged"),
    (lambda c: c.update(schema=99), "has schema 99"),
])  # fmt: skip
def test_what_is_damaged_is_refused(tmp_path, change, complaint):
    write_study(tmp_path, made())
    content = json.loads((tmp_path / STUDY).read_text())
    change(content)
    (tmp_path / STUDY).write_text(json.dumps(content))
    with pytest.raises(StorageError, match=complaint):
        read_study(tmp_path)


def test_a_folder_without_the_file_is_no_study(tmp_path):
    with pytest.raises(StorageError, match="is not a study"):
        read_study(tmp_path)
