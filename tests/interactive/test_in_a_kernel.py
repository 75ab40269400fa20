"""Figures and labs as a kernel writes them: the same bytes each time, no widget state."""

import json

import nbformat
from nbclient import NotebookClient

CELLS = [
    """import torch
from curvlab.interactive import krylov_stepper, labs, widget
from curvlab.networks import MLP
torch.manual_seed(0)
model, x, y = MLP((9, 8, 3), "relu"), torch.randn(1, 9), torch.tensor([1])
krylov_stepper.figure(model, x, y, most=12)""",
    """import matplotlib.pyplot as plt
def plot_line(slope, device):
    figure, axes = plt.subplots(figsize=(2, 1))
    axes.plot([0, 1], [0, slope])
    return figure
lab = labs.live(plot_line, slope=labs.Slider("slope", 0.0, 1.0, frames=3), alt="A line.")
lab""",
    """live = widget(krylov_stepper.figure(model, x, y, most=12))
print(labs.drive(lab), live.values["steps"])""",
]


def run() -> nbformat.NotebookNode:
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(c, id=f"c{i}") for i, c in enumerate(CELLS)]
    NotebookClient(notebook, timeout=120, record_timing=False, store_widget_state=False).execute()
    return notebook


def test_outputs_repeat_and_hold_both_worlds():
    first, second = run(), run()
    assert json.dumps(first) == json.dumps(second)
    figure, lab, words = (cell.outputs[0] for cell in first.cells)
    assert set(figure.data) == {"text/html", "text/plain"}
    view = "application/vnd.jupyter.widget-view+json"
    assert set(lab.data) == {"text/html", "text/plain", view}
    assert lab.data[view]["model_id"].endswith("-1")
    assert "widgets" not in first.metadata
    assert words.text == "2 8\n"
