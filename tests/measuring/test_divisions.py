"""How sure a division is: necks and dips by hand, and what must not matter."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from measuring.cells import Cells
from measuring.divisions import division


def of(labels, probability=None, classes=None):
    labels = np.asarray(labels, np.int32)
    classes = np.ones(labels.max(), np.uint8) if classes is None else np.array(classes, np.uint8)
    probability = np.ones((*labels.shape, 1)) if probability is None else probability
    return division(Cells(labels, classes), probability)


def side_by_side(contact):
    """Two squares of 9×9 pixels, `contact` pixels of whose sides touch, and a third alone."""
    labels = np.zeros((32, 40), int)
    labels[0:9, 0:9], labels[9 - contact : 18 - contact, 9:18], labels[22:31, 22:31] = 1, 2, 3
    return labels


def test_a_narrow_neck_is_surer_than_a_broad_one_and_a_cell_alone_has_none():
    found = [of(side_by_side(contact)) for contact in (1, 3, 6, 9)]
    assert all(one[0] == one[1] and np.isnan(one[2]) for one in found)
    values = [one[0] for one in found]
    assert values == sorted(values, reverse=True) and values[0] > 0.8 and values[-1] < 0.5


def test_a_seam_of_one_contact_by_hand():
    labels = np.zeros((11, 22), int)
    labels[0:11, 0:11], labels[5, 11:22] = 1, 2  # three contacts, two rows apart; the narrow one is 2 px wide
    assert of(labels)[0] == pytest.approx(1 - min(1, (np.hypot(1, 0) + 1) / (1.5 * 2)))


def test_a_dip_along_the_seam_makes_it_surer():
    labels = side_by_side(9)
    dip = np.ones((*labels.shape, 1))
    dip[:, 8:10] = 0.6
    assert of(labels, dip)[0] > of(labels)[0] + 0.1
    assert of(labels, dip * 0.5)[0] == pytest.approx(of(labels, dip)[0], abs=0.01), "beside the cells' own probability"


def test_the_least_sure_seam_counts_and_other_classes_are_no_neighbours():
    labels = np.zeros((12, 40), int)
    labels[0:9, 0:9], labels[8:12, 9:18], labels[0:9, 18:27], labels[0:9, 27:36] = 1, 2, 3, 4
    found = of(labels)
    assert found[0] == found[1] > found[2] == found[3]
    classed = of(labels, np.ones((12, 40, 3)), [1, 1, 2, 1])
    assert classed[0] == found[0] and np.isnan(classed[2:]).all()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), turns=st.integers(0, 3), down=st.integers(0, 5), right=st.integers(0, 5))
def test_place_and_orientation_do_not_matter(seed, turns, down, right):
    rng = np.random.default_rng(seed)
    labels = np.kron(rng.integers(0, 7, (4, 5)), np.ones((4, 3), int))
    labels = np.unique(np.r_[[np.zeros(15, int)], labels], return_inverse=True)[1].reshape(17, 15)
    probability = rng.random((17, 15, 1))
    found = of(labels, probability)
    assert np.isnan(found).sum() + ((found >= 0) & (found <= 1)).sum() == labels.max()
    moved = [np.pad(np.rot90(array, turns), [(down, 0), (0, right)] + [(0, 0)] * (array.ndim - 2))
             for array in (labels, probability)]  # fmt: skip
    np.testing.assert_allclose(of(*moved), found, atol=1e-12)  # one minus what may be all but one


def test_nothing_to_divide():
    assert of(np.zeros((5, 6))).shape == (0,)
