"""The map of the regularizers: its order, its links, its sentences and its bad inputs."""

import matplotlib.pyplot as plt
import pytest

from curvlab.interactive import regularizer_map
from curvlab.interactive.regularizer_map import Link, Regularizer

ROWS = [
    Regularizer("Slope", "more", "slope", "the loss, with curvature", 2.0, "2.5"),
    Regularizer("Attack", "below", "one point", "the loss, from below", 1.5, "not measured"),
    Regularizer("Shape", "none", "a structure", "nothing", None, "not measured"),
]
LINKS = [Link("One step", ("Slope", "Attack"), "the same to first order")]
STATE = regularizer_map.state(ROWS, LINKS)


def test_rows_are_ordered_as_asked():
    names = {
        order: [row["name"] for row in regularizer_map.ordered(STATE, order)]
        for order in regularizer_map.ORDERS
    }
    assert names["book"] == ["Slope", "Attack", "Shape"]
    assert names["cost"] == ["Shape", "Attack", "Slope"]
    assert names["kind"] == ["Slope", "Attack", "Shape"]


def test_the_sentences_say_cost_and_links():
    words = regularizer_map.readout(STATE, {"method": "Slope"})
    assert words == (
        "Slope sees slope. Its value bounds: the loss, with curvature. A step costs 2.00 plain "
        "steps of arithmetic; time: 2.5. Linked with Attack: One step (the same to "
        "first order)."
    )
    assert "no training step" in regularizer_map.readout(STATE, {"method": "Shape"})
    assert "No statement links it" in regularizer_map.readout(STATE, {"method": "Shape"})


@pytest.mark.parametrize("order", regularizer_map.ORDERS)
@pytest.mark.parametrize("method", ["Slope", "Shape"])
def test_the_picture_is_drawn_at_every_setting(order, method):
    drawn = regularizer_map.still(STATE, {"method": method, "order": order})
    assert len(drawn.axes[0].get_yticks()) == 3
    assert not plt.get_fignums()


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="requires a kind among"):
        regularizer_map.state([ROWS[0]._replace(kind="other")], [])
    with pytest.raises(ValueError, match=r"requires links between methods of the map\. Found Gone"):
        regularizer_map.state(ROWS, [Link("x", ("Slope", "Gone"), "y")])
