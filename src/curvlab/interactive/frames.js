// A lab on a page without a kernel: native controls over precomputed frames.
import { mount, escape } from "./kit.js";

export default {
  render({ model, el }) {
    const { controls, alts, device, lab } = model.get("state");
    const store = el.parentElement.querySelector("template").content.querySelectorAll("img");
    const specs = controls.map(({ name, label, kind, shown, at }) => (kind === "slider"
      ? { name, label, type: "range", min: 0, max: shown.length - 1, value: at,
          format: (i) => shown[i] }
      : { name, label, type: "choice", value: String(at),
          options: shown.map((words, i) => [String(i), words]) }));
    return mount({
      model, el, controls: specs, name: lab,
      draw(values) {
        const place = controls.reduce(
          (sum, { name, shown }) => sum * shown.length + Number(values[name]), 0);
        const setting = controls
          .map(({ name, label, shown }) => `${label}: ${shown[values[name]]}`).join(", ");
        const src = store[place].getAttribute("src");
        return {
          svg: `<img src="${src}" alt="${escape(`${alts} ${setting}.`)}">`,
          readout: `${setting}. Computed on ${device}.`,
        };
      },
    });
  },
};
