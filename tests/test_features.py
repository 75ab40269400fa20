"""Quotients against explicit matrices, nearest images and judges against exhaustive search."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import nn

from curvlab import features
from curvlab.data import Examples

SIDE, CLASSES = 5, 3


def images(count, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.rand(count, 1, SIDE, SIDE, generator=draw, dtype=torch.float64)


def quotient(v, matrix):
    v = v.flatten(1)
    return ((v @ matrix) * v).sum(1) / v.square().sum(1)


def test_roughness_is_the_quotient_of_the_grids_laplacian():
    laplacian = torch.zeros(SIDE**2, SIDE**2, dtype=torch.float64)
    places = [(i, j) for i in range(SIDE) for j in range(SIDE)]
    for a, (i, j) in enumerate(places):
        for b, (k, m) in enumerate(places):
            if abs(i - k) + abs(j - m) == 1:
                laplacian[a, a] += 1
                laplacian[a, b] -= 1
    v = images(20) - 0.5
    torch.testing.assert_close(features.roughness(v), quotient(v, laplacian))


def test_class_share_is_the_quotient_of_a_projector_and_edges_are_a_mask():
    x, y = images(30), torch.arange(30) % CLASSES
    means = features.class_means(x, y, CLASSES)
    torch.testing.assert_close(means[1], x[1::CLASSES].flatten(1).mean(0))
    apart = torch.stack([means[0] - means[1], means[0] - means[2]], 1)
    projector = apart @ torch.linalg.pinv(apart)
    v, edges = images(30, 1) - 0.5, features.steep(x)
    found = features.quotients(v, features.class_basis(means), edges)
    torch.testing.assert_close(found["class share"], quotient(v, projector))
    for one, mask, value in zip(v, edges, found["edge share"], strict=True):
        torch.testing.assert_close(value, quotient(one[None], torch.diag(mask))[0])
    assert set(found) == {"class share", "edge share", "roughness"}


def test_a_pixel_is_steep_by_its_central_differences():
    x = images(6)
    for image, mask in zip(x[:, 0], features.steep(x).view(-1, SIDE, SIDE), strict=True):
        slope = torch.zeros(SIDE, SIDE, dtype=torch.float64)
        for i in range(1, SIDE - 1):
            for j in range(1, SIDE - 1):
                slope[i, j] = torch.hypot(image[i, j + 1] - image[i, j - 1],
                                          image[i + 1, j] - image[i - 1, j])
        assert torch.equal(mask, (slope >= slope.max() / 4).double())


@given(arrays.arrays("float64", (2, 1, SIDE, SIDE), elements=st.floats(0.1, 1)),
       st.floats(0.01, 100), st.sampled_from([1, -1]))
def test_no_measure_knows_length_or_sign(values, length, sign):
    v, beside = torch.tensor(values), images(2)
    basis, edges = features.class_basis(images(CLASSES, 2).flatten(1)), features.steep(images(2))
    plain = features.quotients(v, basis, edges, beside)
    scaled = features.quotients(sign * length * v, basis, edges, -3 * beside)
    for measure, value in plain.items():
        torch.testing.assert_close(scaled[measure], value)
        assert (value >= 0).all()
        assert (value <= (8 if measure == "roughness" else 1 + 1e-12)).all()


def test_consistency_is_the_squared_cosine():
    v, beside = images(9) - 0.5, images(9, 1) - 0.5
    basis, edges = features.class_basis(images(CLASSES).flatten(1)), features.steep(images(9))
    found = features.quotients(v, basis, edges, beside)["consistency"]
    wanted = nn.functional.cosine_similarity(v.flatten(1), beside.flatten(1)).square()
    torch.testing.assert_close(found, wanted)
    assert set(features.BETTER) == {*features.quotients(v, basis, edges, v), "persuades"}


def test_the_nearest_image_is_one_of_the_class():
    x, y = images(8), torch.arange(8) % CLASSES
    among = Examples(images(40, 1), torch.arange(40) % (CLASSES + 1))
    found = features.nearest(x, y, among)
    for image, label, near in zip(x, y, found, strict=True):
        same = among.x[among.y == label]
        assert torch.equal(near, min(same, key=lambda one: float((one - image).norm())))


class Brightness(nn.Module):
    """Class 1 where an image is bright: the far attack only has to turn the light on."""

    def forward(self, x):
        light = x.flatten(1).mean(1, keepdim=True)
        return torch.cat([0.5 - light, light - 0.5], 1)


def test_an_attack_persuades_where_it_ends_near_an_image_of_the_answer():
    x, y = torch.full((4, 1, SIDE, SIDE), 0.2, dtype=torch.float64), torch.tensor([0, 0, 1, 0])
    book = Examples(torch.stack([torch.zeros(1, SIDE, SIDE), torch.ones(1, SIDE, SIDE)]),
                    torch.tensor([0, 1]))
    far = 0.7 * SIDE  # every pixel up by 0.7
    found = features.persuades(Brightness(), x, y, book, far)
    assert found.tolist() == [1, 1, 1, 1]  # also the dark image called 1: it stays dark, a 0
    assert features.persuades(Brightness(), x[:1], y[:1], book, 0.1).tolist() == [0]
    deceived = Examples(book.x, 1 - book.y)
    assert features.persuades(Brightness(), x, y, deceived, far).tolist() == [0] * 4


def test_a_zero_points_nowhere():
    basis, edges = features.class_basis(images(CLASSES).flatten(1)), features.steep(images(2))
    one_zero = images(2) * torch.tensor([1, 0])[:, None, None, None]
    for v, beside in ((one_zero, None), (images(2), one_zero)):
        with pytest.raises(ValueError, match="requires directions other than zero"):
            features.quotients(v, basis, edges, beside)


def test_a_class_without_examples_is_refused():
    with pytest.raises(ValueError, match=r"examples of 3 classes\. Found \[2, 1, 0"):
        features.class_means(images(3), torch.tensor([0, 0, 1]), 3)
    with pytest.raises(ValueError, match="requires examples of 2 classes"):
        features.class_means(images(3), torch.tensor([0, 1, 2]), 2)
    with pytest.raises(ValueError, match="requires an image of every label"):
        features.nearest(images(1), torch.tensor([2]), Examples(images(2), torch.tensor([0, 1])))
