"""Figures that move on a page without a kernel, and labs that run the real network in one.

A chapter shows a live figure with one call; each figure has a Python module of its own::

    from curvlab.interactive import krylov_stepper
    krylov_stepper.figure(model, x, y)

The output holds everything: a picture with alt text, the state (weights as float16), and the
script. It works in Jupyter, in Colab, from a file, and in the built book. Where scripts do not
run, and in print, the picture shows. Each figure module has

* `state(...)`: what travels in the page,
* `readout(state, values)`: the sentence under the figure, computed in Python (tests compare it
  with the page's),
* `figure(...)`: the output. `values={"steps": 12}` sets the first setting and `caption=` a caption.

The address `#krylov-stepper?steps=12&start=random` opens a page at a setting; every figure offers
this link below itself, and a chapter may use it in a Markdown link. A second copy on one page is
`#krylov-stepper-2?...`.

In a live kernel `widget(krylov_stepper.figure(model, x, y))` runs the same module under anywidget
and follows the reader's setting in `.values`.

A **lab** is a plotting function with controls (see `curvlab.interactive.labs`)::

    from curvlab.interactive import labs
    labs.live(plot_ladder, radius=labs.Slider("radius", 0.0, 3.0, frames=7), alt="...")

It gives real ipywidgets in a live kernel and, in the same output, precomputed frames under native
controls for the static page.

**A new figure** is one ES module `name.js` in this folder, in the anywidget form
(`export default { render({ model, el }) {...} }`), that imports from `./numerics.js` and `./kit.js`
by name, on one line each, plus a Python module. Comments stand on lines of their own.

**For the site builder.** All markers are attributes: `img[src^="data:"]` inside
`figure.curvlab` (and inside its `template`) may become files; `script[data-curvlab-shared=NAME]`
is identical wherever NAME is and may become `NAME.js` (a classic script with `src`, same place,
no `async`); `script[data-curvlab-state=KEY]` may be emptied and given `data-src="KEY.js"`, a
classic script that runs `curvlab.states["KEY"] = <its JSON>`.

**For strict nbval.** Outputs are the same in each run. When the scripts themselves change, stored
outputs still work, and `tests/book/sanitize.cfg` keeps nbval from comparing them: it compares the
state and the setting.
"""

from curvlab.interactive.host import Figure, digits, pack, pack_bytes, show, unpack, widget

__all__ = ["Figure", "digits", "pack", "pack_bytes", "show", "unpack", "widget"]
