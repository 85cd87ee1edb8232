"""Checkpoints without a training: what is written comes back bit for bit, or one line says why not."""

import errno
import os
import shutil
import subprocess

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from reading.files import InputError
from tests.helpers import listing
from training import checkpoints, run_folder


def make_network(seed=0):
    """A network with everything that has a state: weights, running statistics, random numbers, moments, averages."""
    keras.utils.set_random_seed(seed)
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.BatchNormalization(),
                                keras.layers.Dropout(0.5)])  # fmt: skip
    network.compile(optimizer=keras.optimizers.AdamW(1e-3, use_ema=True), loss="mse")
    return network


def fill(network, seed):
    """Give every variable other values; returns them."""
    rng = np.random.default_rng(seed)
    for variable in checkpoints.variables_of(network):
        values = rng.integers(0, 1000, tuple(variable.shape))
        variable.assign(values.astype(ops.convert_to_numpy(variable).dtype))
    return values_of(network)


def values_of(network):
    return [ops.convert_to_numpy(variable).tobytes() for variable in checkpoints.variables_of(network)]


def write_two(run_dir):
    """Checkpoints of two epochs; returns the values of each."""
    (run_dir / run_folder.FOLDER).mkdir(parents=True)
    network, kept = make_network(), []
    for epoch in (1, 2):
        kept.append(fill(network, epoch))
        checkpoints.write(run_dir, network, {"epoch": epoch, "history": {"loss": [0.1 / epoch]}})
    return kept


def test_every_variable_comes_back_bit_for_bit(tmp_path):
    _, kept = write_two(tmp_path)
    network = make_network(seed=1)
    names = " ".join(variable.path for variable in checkpoints.variables_of(network))
    for part in ("moving_mean", "seed_generator", "momentum", "velocity", "average", "iteration"):
        assert part in names
    progress = checkpoints.restore(tmp_path, network, say=pytest.fail)
    assert values_of(network) == kept
    assert progress == {"epoch": 2, "history": {"loss": [0.05]}}


@pytest.mark.parametrize("other", [[keras.layers.Dense(4)], [keras.layers.Dense(5), keras.layers.BatchNormalization()]])
def test_checkpoints_of_another_network_are_refused_and_not_called_damaged(tmp_path, other):
    write_two(tmp_path)
    network = keras.Sequential([keras.Input((3,)), *other, keras.layers.Dropout(0.5)])
    network.compile(optimizer=keras.optimizers.AdamW(1e-3, use_ema=True), loss="mse")
    before = [path.read_bytes() for path in run_folder.checkpoints(tmp_path)]
    with pytest.raises(InputError, match="another network.*version.*--from-card") as error:
        checkpoints.restore(tmp_path, network, say=pytest.fail)
    assert "\n" not in str(error.value)
    assert [path.read_bytes() for path in run_folder.checkpoints(tmp_path)] == before


def test_only_the_last_two_are_kept(tmp_path):
    write_two(tmp_path)
    network = make_network()
    checkpoints.write(tmp_path, network, {"epoch": 10})
    assert [path.name for path in run_folder.checkpoints(tmp_path)] == ["epoch_000010.npz", "epoch_000002.npz"]


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return folder, write_two(folder), make_network(seed=1)


def test_damage_of_the_list_of_contents_is_damage_and_no_other_network(tmp_path):
    """A byte of a zip's directory, which lies at its end, may make members vanish without any checksum failing."""
    write_two(tmp_path)
    network, newest = make_network(seed=1), run_folder.checkpoints(tmp_path)[0]
    content = newest.read_bytes()
    for place in range(len(content) - 1400, len(content), 7):
        for change in (1, 128):
            damaged = bytearray(content)
            damaged[place] ^= change
            newest.write_bytes(damaged)
            assert checkpoints.restore(tmp_path, network, lambda line: None)["epoch"] in (1, 2)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_damage_gives_a_whole_epoch_or_the_one_before(two, data):
    folder, (first, second), network = two
    newest = run_folder.checkpoints(folder)[0]
    content, lines = newest.read_bytes(), []
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans(), label="cut short"):
        damaged = content[:place]
    else:
        damaged = bytearray(content)
        damaged[place] ^= data.draw(st.integers(1, 255))
    try:
        newest.write_bytes(damaged)
        progress = checkpoints.restore(folder, network, lines.append)
        assert newest.read_bytes() == damaged
    finally:
        newest.write_bytes(content)
    assert values_of(network) == (second if progress["epoch"] == 2 else first)
    assert len(lines) == (progress["epoch"] == 1) and all("damaged" in line for line in lines)


def test_where_no_checkpoint_is_whole_nothing_is_changed(tmp_path):
    write_two(tmp_path)
    for path in run_folder.checkpoints(tmp_path):
        path.write_bytes(path.read_bytes()[:-50])
    before = listing(tmp_path)
    with pytest.raises(InputError, match="no whole checkpoint.*--from-card"):
        checkpoints.restore(tmp_path, make_network(), say=lambda line: None)
    assert listing(tmp_path) == before


def test_a_disk_that_fills_up_part_way_costs_nothing(tmp_path, monkeypatch):
    _, kept = write_two(tmp_path)
    before, real, calls = listing(tmp_path), np.lib.format.write_array, []

    def full(*args, **keywords):
        calls.append(args)
        if len(calls) > 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(*args, **keywords)

    network = make_network()
    with monkeypatch.context() as patch:
        patch.setattr(np.lib.format, "write_array", full)
        with pytest.raises(InputError) as caught, run_folder.plain_disk_errors(tmp_path):
            checkpoints.write(tmp_path, network, {"epoch": 3})
    assert "No space left" in str(caught.value) and "--resume" in str(caught.value)
    assert listing(tmp_path) == before
    assert checkpoints.restore(tmp_path, network, pytest.fail)["epoch"] == 2 and values_of(network) == kept


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_disk_that_is_really_full(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("no small disk can be mounted here")
    try:
        _, kept = write_two(disk)
        (disk / "filler").write_bytes(bytes(shutil.disk_usage(disk).free - 4096))
        before, network = listing(disk), make_network()
        with pytest.raises(InputError, match="No space left"), run_folder.plain_disk_errors(disk):
            checkpoints.write(disk, network, {"epoch": 3})
        assert listing(disk) == before
        assert checkpoints.restore(disk, network, pytest.fail)["epoch"] == 2 and values_of(network) == kept
    finally:
        subprocess.run(["umount", disk], check=True)
