"""The guess beside the measured value: state and sentence."""

import pytest

from curvlab.interactive import predict


def test_the_sentence_hides_the_measurement_until_it_is_asked_for():
    held = predict.state(12.0, 1, 100, unit="products", log=True)
    assert predict.readout(held, predict.VALUES) == (
        "You say 10 products. Commit, then switch the measurement on."
    )
    shown = predict.readout(held, {"guess": 100, "shown": True})
    assert shown == "You say 100 products; measured: 12 products. Your guess is 8.3 times too high."
    assert "1.2 times too low" in predict.readout(held, {"guess": 50, "shown": True})


def test_a_linear_scale_speaks_of_differences():
    held = predict.state(0.25, 0, 1)
    shown = predict.readout(held, {"guess": 75, "shown": True})
    assert shown == "You say 0.75; measured: 0.25. Your guess is 0.50 too high."
    assert "0.25 too low" in predict.readout(held, {"guess": 0, "shown": True})


def test_the_picture_does_not_tell():
    one, other = (predict.figure("how many?", m, 1, 100, log=True) for m in (2.0, 50.0))
    assert one.image == other.image
    assert one.alt == other.alt == "A scale from 1.00 to 100 for your guess: how many?"


def test_clear_errors():
    with pytest.raises(ValueError, match="requires low < high"):
        predict.state(1, 2, 1)
    with pytest.raises(ValueError, match="low > 0 on a log scale"):
        predict.state(1, 0, 2, log=True)
    with pytest.raises(ValueError, match=r"requires a measured value from 1 to 2. Found 3."):
        predict.state(3, 1, 2)
