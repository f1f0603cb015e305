"""Saved models: one file that says what it is, and the refusal of everything that would have to be unpickled."""

import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from upswing.errors import StorageError
from upswing.run import tensors
from upswing.run.checkpoint import load_checkpoint
from upswing.run.model_file import load_model, save_model


def equal(got, expected):
    return got.keys() == expected.keys() and all(np.array_equal(got[name], expected[name]) for name in expected)


def test_a_saved_model_comes_back_with_its_metadata(tmp_path, snapshot):
    model, metadata = snapshot(3).model, {"config": {"gamma": 0.98, "名": "字"}, "spaces": [1, None]}
    path = save_model(tmp_path / "deep" / "cartpole", model, metadata)
    assert path == tmp_path / "deep" / "cartpole.safetensors"
    for name in (path, tmp_path / "deep" / "cartpole"):
        got, about = load_model(name)
        assert equal(got, model) and about == metadata
    assert [p.name for p in path.parent.iterdir()] == ["cartpole.safetensors"]


def test_saving_again_replaces_the_file(tmp_path, snapshot):
    for mark in (1, 2):
        save_model(tmp_path / "m.safetensors", snapshot(mark).model, {})
    assert equal(load_model(tmp_path / "m.safetensors")[0], snapshot(2).model)


def test_another_ending_is_kept_and_added_to(tmp_path, snapshot):
    """A script that saves and loads "model.zip", as with Stable-Baselines3, works; the file is no zip."""
    assert save_model(tmp_path / "model.zip", snapshot(1).model, {}).name == "model.zip.safetensors"
    assert equal(load_model(tmp_path / "model.zip")[0], snapshot(1).model)


def test_a_run_gives_its_best_model_else_its_latest(saved, snapshot):
    model, about = load_model(saved)
    assert equal(model, snapshot(10).model) and about == {"step": 10, "step_says": 10}
    assert load_model(saved, "latest")[1]["step"] == 30
    assert load_model(saved / "checkpoints" / "20")[1]["step"] == 20
    assert load_model(saved / "checkpoints" / "20" / "model.safetensors")[1]["step"] == 20
    (saved / "checkpoints" / "best").unlink()
    assert load_model(saved)[1]["step"] == 30


def test_a_damaged_best_falls_back_with_a_warning(saved):
    path, warned = saved / "checkpoints" / "10" / "model.safetensors", []
    path.write_bytes(path.read_bytes()[:-4] + b"\x00\x00\x00\x01")
    assert load_model(saved, warn=warned.append)[1]["step"] == 30
    assert len(warned) == 1 and "step 30 is used instead" in warned[0]
    with pytest.raises(StorageError, match=r"damaged.*choose another"):
        load_model(path)


def test_a_damaged_optimiser_does_not_matter_to_a_model(saved):
    (saved / "checkpoints" / "30" / "optimizer.safetensors").write_bytes(b"")
    warned = []
    assert load_model(saved, "latest", warned.append)[1]["step"] == 30 and warned == []


def test_a_safetensors_file_of_other_origin(tmp_path):
    save_file({"w": np.ones(2, np.float32)}, tmp_path / "other.safetensors", {"format": "pt"})
    model, about = load_model(tmp_path / "other.safetensors")
    assert equal(model, {"w": np.ones(2, np.float32)}) and about == {}


def test_nothing_there(tmp_path):
    with pytest.raises(StorageError, match="does not exist: give a run folder"):
        load_model(tmp_path / "nowhere")
    with pytest.raises(StorageError, match="no complete checkpoint"):
        load_model(tmp_path)


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def zipped(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("data.pkl", data)
        archive.writestr("policy.pth", data)
    return buffer.getvalue()


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("ending", [".pt", ".pth", ".pkl", ".zip", ".PKL", ".npz", "", ".safetensors"])
def test_a_pickle_is_never_executed(tmp_path, protocol, ending):
    """Torch files, Stable-Baselines3's zips, VecNormalize's pickles, under their own name or another."""
    executed, path = tmp_path / "executed", tmp_path / f"model{ending}"
    payload = pickle.dumps(Payload(executed), protocol=protocol)
    for data in (payload, zipped(payload)):
        path.write_bytes(data)
        for load in (load_model, load_checkpoint):
            with pytest.raises(StorageError) as caught:
                load(path)
            assert "\n" not in str(caught.value) and str(path) in str(caught.value)
        assert not executed.exists()
    if ending not in ("", ".safetensors"):
        with pytest.raises(StorageError, match=r"may hold a pickle, .* give a .safetensors file"):
            load_model(path)
    pickle.loads(payload)
    assert executed.exists(), "the payload would have worked"


def test_a_pickle_in_the_place_of_a_checkpoint_s_model_is_damage(saved, tmp_path):
    executed = tmp_path / "executed"
    (saved / "checkpoints" / "10" / "model.safetensors").write_bytes(pickle.dumps(Payload(executed)))
    assert load_model(saved, warn=lambda sentence: None)[1]["step"] == 30
    assert not executed.exists()


def with_header(header: bytes, body: bytes = b"") -> bytes:
    return len(header).to_bytes(8, "little") + header + body


HOSTILE = {
    "empty": b"",
    "short": b"\x01\x02",
    "claims 2^63 bytes of header": (2**63).to_bytes(8, "little") + b"{}",
    "header is no JSON": with_header(b"{nope"),
    "header is a list": with_header(b"[]"),
    "header is nested without end": with_header(b'{"a":' * 200_000),
    "offsets beyond the file": with_header(b'{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'),
    "shape too large": with_header(
        b'{"w":{"dtype":"F32","shape":[4611686018427387904,4611686018427387904],"data_offsets":[0,4]}}', bytes(4)
    ),
    "offsets backwards": with_header(b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}', bytes(4)),
    "holes": with_header(b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}', bytes(8)),
    "unknown kind": with_header(b'{"w":{"dtype":"PICKLE","shape":[1],"data_offsets":[0,4]}}', bytes(4)),
    "kind that NumPy lacks": with_header(b'{"w":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}', bytes(4)),
    "metadata of the wrong kind": with_header(b'{"__metadata__":{"upswing":[1]}}'),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_are_refused_in_one_sentence(tmp_path, case):
    path = tmp_path / "m.safetensors"
    path.write_bytes(HOSTILE[case])
    with pytest.raises(StorageError, match="damaged, or not a safetensors file"):
        load_model(path)


@pytest.mark.parametrize("metadata", ['{"a":' * 9999, "[1]", "", "null", '{"tensors": 5, "schema": "x"}'])
def test_strange_metadata_is_ignored(tmp_path, metadata):
    save_file({"w": np.ones(1, np.float32)}, tmp_path / "m.safetensors", {"upswing": metadata})
    assert load_model(tmp_path / "m.safetensors")[1] == {}


def test_a_bloated_header_is_refused_before_it_is_parsed(tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(with_header(b"{" + b" " * tensors.HEADER_LIMIT + b"}"))
    with pytest.raises(StorageError, match="header of 16777218 bytes"):
        load_model(path)


def test_a_huge_file_is_refused_before_it_is_read(tmp_path):
    """Two gibibytes that take no room on the disk."""
    path = tmp_path / "m.safetensors"
    with path.open("wb") as file:
        file.truncate(tensors.FILE_LIMIT + 1)
    with pytest.raises(StorageError, match="larger than the 2048 MiB"):
        load_model(path)


def test_a_link_is_not_followed(tmp_path, snapshot):
    real = save_model(tmp_path / "real", snapshot(1).model, {})
    (tmp_path / "link.safetensors").symlink_to(real)
    with pytest.raises(StorageError, match="symbolic link"):
        load_model(tmp_path / "link.safetensors")


def test_a_stripped_normaliser_is_named(tmp_path, snapshot):
    """For a single file."""
    model = snapshot(1).model
    metadata = json.dumps({"tensors": sorted(model), "schema": 1})
    del model["normalizer.obs..mean"]
    save_file(model, tmp_path / "m.safetensors", {"upswing": metadata})
    with pytest.raises(StorageError, match=r"lacks a part of its normaliser \(normalizer.obs..mean\)"):
        load_model(tmp_path / "m.safetensors")


def test_a_model_of_a_newer_upswing_is_refused(tmp_path):
    save_file({"w": np.ones(1, np.float32)}, tmp_path / "m.safetensors", {"upswing": '{"schema": 2}'})
    with pytest.raises(StorageError, match="newer Upswing"):
        load_model(tmp_path / "m.safetensors")
