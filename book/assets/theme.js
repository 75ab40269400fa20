// Before the page is drawn: the reader's color theme, or the system's.
(() => {
  const root = document.documentElement;
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
})();
