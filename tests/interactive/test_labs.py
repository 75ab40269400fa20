"""Labs: frames for the page, real widgets for the kernel, and a driver that finds what breaks."""

import matplotlib.pyplot as plt
import pytest

from curvlab.interactive import labs


def line(slope, kind, device):
    figure, axes = plt.subplots(figsize=(2, 1))
    axes.plot([0, 1], [0, slope], "--" if kind == "dashed" else "-")
    return figure


def fragile(slope, device):
    if slope > 1.5:
        raise ZeroDivisionError("steep")
    return line(slope, "solid", device)


CONTROLS = {
    "slope": labs.Slider("slope", 0.0, 2.0, value=1.0, frames=3),
    "kind": labs.Select("kind", ("solid", "dashed")),
}


@pytest.fixture(scope="module")
def lab():
    return labs.live(line, alt="A line.", **CONTROLS)


def test_frames_for_every_setting(lab):
    page = lab.frames._repr_html_()
    store = page[page.index("<template>") : page.index("</template>")]
    assert store.count("<img ") == 6
    assert len(set(store.split("<img "))) == 7
    assert lab.frames.image == lab.render(slope=1.0, kind="solid")
    assert page == labs.live(line, alt="A line.", **CONTROLS).frames._repr_html_()


def test_outside_a_kernel_no_widget_is_written(lab):
    assert set(lab._repr_mimebundle_()) == {"text/html", "text/plain"}
    assert repr(lab) == "Lab line: A line."


def test_every_end_of_every_control_is_driven(lab):
    assert labs.drive(lab) == 5


def test_a_callback_that_breaks_after_the_first_setting_fails():
    lab = labs.live(fragile, alt="x", slope=labs.Slider("slope", 0.0, 1.0, value=0.5, frames=2))
    steeper = labs.Lab(
        fragile, {"slope": labs.Slider("slope", 0.0, 2.0, value=1.0)}, "x", None, lab.frames
    )
    assert labs.drive(lab) == 3
    with pytest.raises(ZeroDivisionError, match="steep"):
        labs.drive(steeper)


def test_a_failure_is_shown_and_then_cleared():
    lab = labs.live(fragile, alt="x", slope=labs.Slider("slope", 0.0, 1.0, value=0.5, frames=2))
    board = labs.Lab(fragile, {"slope": labs.Slider("s", 0.0, 2.0)}, "x", None, lab.frames).board()
    with pytest.raises(ZeroDivisionError):
        board.controls["slope"].value = 2.0
    assert "ZeroDivisionError: steep" in board.problem.value
    board.controls["slope"].value = 1.0
    assert board.problem.value == ""


def test_widgets_are_named_alike_in_each_kernel(lab):
    first, second = lab.board().box.model_id, lab.board().box.model_id
    key, number = first.rsplit("-", 1)
    assert key == lab.frames.key
    assert second == f"{key}-{int(number) + 1}"


def test_frames_that_break_fail_at_once():
    with pytest.raises(ZeroDivisionError):
        labs.live(fragile, alt="x", slope=labs.Slider("slope", 0.0, 2.0, frames=2))


def test_clear_errors():
    slider = labs.Slider("slope", 0.0, 1.0)
    with pytest.raises(TypeError, match=r"requires a function of \['device', 'slope'\]"):
        labs.live(line, alt="x", slope=slider)
    with pytest.raises(ValueError, match="at least one control"):
        labs.live(lambda device: None, alt="x")
    with pytest.raises(ValueError, match="alt text"):
        labs.live(fragile, alt="", slope=slider)
    with pytest.raises(ValueError, match=r"at most 60 frames\. Found 61"):
        labs.live(fragile, alt="x", slope=labs.Slider("slope", 0.0, 1.0, frames=61))
    with pytest.raises(TypeError, match=r"returns a figure\. Found None"):
        labs.live(lambda slope, device: None, alt="x", slope=slider)
    with pytest.raises(ValueError, match="requires low < high"):
        labs.Slider("s", 1.0, 1.0)
    with pytest.raises(ValueError, match="at least 2 frames"):
        labs.Slider("s", 0.0, 1.0, frames=1)
    with pytest.raises(ValueError, match=r"a value from 0\.0 to 1\.0"):
        labs.Slider("s", 0.0, 1.0, value=2.0)
    with pytest.raises(ValueError, match="at least one option"):
        labs.Select("s", ())
    with pytest.raises(ValueError, match="requires one of"):
        labs.Select("s", ("a",), value="b")
