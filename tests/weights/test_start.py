"""Where a training starts: from a file, from nothing, or from the shipped weights where they fit and are new."""

import keras
import numpy as np
import pytest

import model as networks
from preparing.sample import make_field
from reading.files import InputError, fingerprint
from weights import start
from weights.files import save, transfer
from weights.known_pictures import remember


def field(seed):
    """A synthetic field: uint8 (512, 512, 1)."""
    return make_field(seed, 0, size=512)[0].reshape(512, 512, 1)


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """Shipped weights of a small network, trained on one picture; its kernel of the first layer."""
    keras.utils.set_random_seed(1)
    network = networks.unet(1, 1, filters=2, depth=1)
    picture = field(1)
    save(network, tmp_path / "pap_smear.keras", {"trained_on": [remember(picture)]})
    monkeypatch.setattr(start, "PAP_SMEAR", tmp_path / "pap_smear.keras")
    monkeypatch.setattr(start, "SAMPLE", tmp_path / "sample.keras")
    return network, picture


def untrained(**options):
    keras.utils.set_random_seed(2)
    return networks.unet(1, 1, **({"filters": 2, "depth": 1} | options))


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


def test_shipped_weights_are_taken_where_they_fit(shipped):
    network = untrained()
    line, path, _ = start.start_from("auto", network, lambda: [field(2)])
    assert same(network, shipped[0]) and line.startswith("starting from pap_smear.keras")


def test_shipped_weights_are_not_taken_for_the_pictures_they_were_trained_on(shipped):
    network = untrained()
    line, path, _ = start.start_from("auto", network, lambda: [field(2), shipped[1]])
    assert same(network, untrained()) and "trained on some of these very pictures" in line


def test_the_second_weights_are_taken_where_the_first_have_seen_the_pictures(shipped, tmp_path):
    second = networks.unet(1, 1, filters=2, depth=1)
    save(second, tmp_path / "sample.keras", {"trained_on": [remember(field(3))]})
    network = untrained()
    line, path, _ = start.start_from("auto", network, lambda: [shipped[1]])
    assert same(network, second) and line.startswith("starting from sample.keras")
    line, path, _ = start.start_from("auto", untrained(), lambda: [field(3), shipped[1]])
    assert line.startswith("starting from nothing")


@pytest.mark.parametrize("options", [{"filters": 4}, {"depth": 2}])
def test_shipped_weights_of_another_shape_change_nothing(shipped, options):
    network = untrained(**options)
    assert "another shape" in start.start_from("auto", network, lambda: [])[0]
    assert same(network, untrained(**options))


def test_none_is_nothing(shipped):
    network = untrained()
    assert "from nothing" in start.start_from("none", network, lambda: [])[0]
    assert same(network, untrained())


def test_a_file_that_was_named_must_fit(shipped, tmp_path):
    network = untrained()
    start.start_from(tmp_path / "pap_smear.keras", network, lambda: [shipped[1]])
    assert same(network, shipped[0])
    with pytest.raises(InputError, match="do not fit"):
        start.start_from(tmp_path / "pap_smear.keras", untrained(depth=2), lambda: [])
    with pytest.raises(InputError, match="no model file"):
        start.start_from(tmp_path / "other.keras", network, lambda: [])


def test_fingerprints_tell_pictures_apart():
    picture = np.arange(12, dtype=np.uint8).reshape(3, 4, 1)
    others = [picture + np.uint8(1), picture.reshape(4, 3, 1), picture.astype(np.uint16)]
    assert fingerprint(picture) == fingerprint(picture.copy())
    assert len({fingerprint(p) for p in (picture, *others)}) == 4


def test_the_answer_that_keeps_objects_apart_comes_along_where_both_have_it():
    one, other, new = (networks.with_apart(networks.unet(filters=2)) for _ in range(3))
    plain = networks.unet(filters=2)
    assert transfer(one, other) == []
    assert transfer(one, plain) == [] and transfer(plain, new) == []
    image = np.random.default_rng(0).random((1, 32, 32, 1), np.float32)
    first, both, begun = (keras.ops.convert_to_numpy(network(image)) for network in (plain, one, new))
    np.testing.assert_array_equal(first[..., 0], both[..., 0])
    np.testing.assert_allclose(begun, np.concatenate([first, first], -1), atol=1e-6)  # until it has learnt another
