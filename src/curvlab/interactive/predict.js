// The reader commits to a number; a switch lays the measured one beside it.
import { mount, picture, text, line, mark, ticks, digits } from "./kit.js";

function logTicks(low, high, most) {
  const powers = Array.from({ length: 40 }, (_, i) => 10 ** (i - 20));
  const steps = Math.log10(high / low) > 2.2 ? [1] : [1, 2, 5];
  const all = powers.flatMap((power) => steps.map((step) => Number((step * power).toPrecision(3))))
    .filter((v) => v >= low * 0.999 && v <= high * 1.001);
  const every = Math.ceil(all.length / most);
  return all.filter((_, i) => i % every === 0);
}

export default {
  render({ model, el }) {
    const { low, high, log, unit, measured } = model.get("state");
    const value = (t) => (log ? low * (high / low) ** (t / 100) : low + (t / 100) * (high - low));
    const where = (v) => (log ? Math.log(v / low) / Math.log(high / low) : (v - low) / (high - low));
    const write = (v) => digits(v, 2) + unit;
    const controls = [
      { name: "guess", label: "Your guess", type: "range", min: 0, max: 100, value: 50,
        format: (t) => write(value(t)) },
      { name: "shown", label: "Show what was measured", type: "switch", value: false },
    ];
    return mount({
      model, el, controls, name: "predict",
      draw({ guess, shown }, width) {
        const x = (v) => 24 + (width - 48) * where(v);
        const said = value(guess);
        const words = (v, name, y, kind) => text(x(v), y, `${name} ${write(v)}`,
          { kind: `cl-bold ${kind}`, anchor: where(v) > 0.7 ? "end" : where(v) < 0.3 ? "start" : "middle" });
        const svg = picture("A scale with your guess and the measured value", width, 104,
          line(24, 58, width - 24, 58, "cl-axis"),
          (log ? logTicks(low, high, width / 44) : ticks(low, high, width / 90)).map((v) =>
            line(x(v), 55, x(v), 61, "cl-axis") +
            text(x(v), 76, digits(v, 1), { anchor: "middle", kind: "cl-tick" })),
          mark("square", x(said), 58, 5, "cl-f2 cl-rim"), words(said, "you:", 40, "cl-t2"),
          shown ? mark("circle", x(measured), 58, 6, "cl-f1 cl-rim")
            + words(measured, "measured:", 20, "cl-t1") : "");
        const apart = log
          ? said > measured ? `${digits(said / measured, 2)} times too high`
            : `${digits(measured / said, 2)} times too low`
          : `${digits(Math.abs(said - measured), 2)}${unit} too ${said > measured ? "high" : "low"}`;
        const readout = shown
          ? `You say ${write(said)}; measured: ${write(measured)}. Your guess is ${apart}.`
          : `You say ${write(said)}. Commit, then switch the measurement on.`;
        return { svg, readout };
      },
    });
  },
};
