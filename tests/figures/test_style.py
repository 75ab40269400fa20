"""Images are shown on the scale of their pixels, signed ones on their own."""

import matplotlib.pyplot as plt
import pytest
import torch

from curvlab.figures import style


@pytest.mark.parametrize(("signed", "limits"), [(False, (0, 1)), (True, (-0.4, 0.4))])
def test_an_image_has_its_scale_and_no_axes(signed, limits):
    axis = plt.figure().add_subplot()
    style.show_image(axis, torch.linspace(-0.2, 0.4, 12).view(1, 1, 3, 4), signed=signed)
    assert axis.images[0].get_clim() == pytest.approx(limits)
    assert not axis.get_xticks().size
    assert not any(spine.get_visible() for spine in axis.spines.values())
    style.show_image(axis, torch.zeros(3, 4), signed=True)
    assert axis.images[-1].get_clim() == (-1, 1)
    with pytest.raises(ValueError, match=r"requires one gray image. Found \(3, 28, 28\)."):
        style.show_image(axis, torch.zeros(3, 28, 28))
