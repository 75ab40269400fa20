// Before the page is drawn: the reader's color theme, or the system's, and word that scripts run.
(() => {
  const root = document.documentElement;
  root.classList.add("scripted");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const stored = () => {
    try { return localStorage.getItem("mode") || "auto"; } catch { return "auto"; }
  };
  const apply = () => {
    root.dataset.mode = stored();
    root.dataset.theme = root.dataset.mode === "auto" ? (system.matches ? "dark" : "light") : root.dataset.mode;
  };
  system.addEventListener("change", apply);
  globalThis.book = {
    setMode(mode) {
      try { localStorage.setItem("mode", mode); } catch { /* private windows keep no choice */ }
      apply();
    },
  };
  apply();
  // The letters that the style sheet brought are ready a few milliseconds after they are asked for.
  // The text waits for them: shown before, it would jump.
  root.classList.add("lettering");
  const faces = [
    "1em 'Source Serif 4'", "italic 1em 'Source Serif 4'", "600 1em 'Source Serif 4'",
    "1em 'Source Sans 3'", "1em KaTeX_Main", "italic 1em KaTeX_Math",
  ];
  const late = new Promise((go) => { setTimeout(go, 500); });
  Promise.race([Promise.allSettled(faces.map((face) => document.fonts.load(face))), late])
    .then(() => root.classList.remove("lettering"));
})();
