// What the page does beyond reading: theme button, copy buttons, folded navigation on a phone,
// the section in view, keyboard access to whatever scrolls sideways.
const root = document.documentElement;
const modes = { auto: "automatic", light: "light", dark: "dark" };

const button = document.querySelector("button.mode");
const nameMode = () => button.setAttribute("aria-label", `Color theme: ${modes[root.dataset.mode]}`);
button.hidden = false;
nameMode();
button.addEventListener("click", () => {
  const order = Object.keys(modes);
  book.setMode(order[(order.indexOf(root.dataset.mode) + 1) % order.length]);
  nameMode();
});

const chapters = document.querySelector(".chapters > details");
const narrow = matchMedia("(max-width: 62rem)");
const fold = () => { chapters.open = !narrow.matches; };
narrow.addEventListener("change", fold);
fold();
chapters.classList.add("settled");

for (const cell of document.querySelectorAll(".cell_input .highlight")) {
  const copy = document.createElement("button");
  copy.type = "button";
  copy.className = "copy";
  copy.textContent = "Copy";
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(cell.querySelector("pre").textContent.trimEnd());
    copy.textContent = "Copied";
    setTimeout(() => { copy.textContent = "Copy"; }, 1500);
  });
  cell.append(copy);
}

// Asked only of what comes near: to ask all of a long page would lay all of it out.
const ask = (target) => {
  const box = target.matches(".curvlab") ? target.querySelector(".cl-stage:has(> img)") : target;
  if (!box) return;
  if (box.scrollWidth > box.clientWidth + 1) box.tabIndex = 0;
  else box.removeAttribute("tabindex");
};
const reach = new ResizeObserver((entries) => { for (const { target } of entries) ask(target); });
// A figure that comes to life has a new stage, and perhaps its old size.
const alive = new MutationObserver((changes) => {
  const figures = new Set(changes.map(({ target }) => target.closest(".curvlab")));
  for (const figure of figures) if (figure) ask(figure);
});
for (const figure of document.querySelectorAll(".curvlab")) {
  alive.observe(figure, { childList: true, subtree: true });
}
const near = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (isIntersecting) reach.observe(target);
    else reach.unobserve(target);
  }
}, { rootMargin: "100% 0px" });
for (const box of document.querySelectorAll("pre, .scroll, .katex-display, .curvlab")) near.observe(box);

// Folded solutions open when a link leads into them, and on paper.
const unfold = () => {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const box = target && target.closest("details");
  if (box && !box.open) { box.open = true; target.scrollIntoView(); }
};
addEventListener("hashchange", unfold);
unfold();
addEventListener("beforeprint", () => {
  for (const box of document.querySelectorAll("article details")) box.open = true;
});

const links = new Map([...document.querySelectorAll(".here a[href^='#']")].map((a) => [a.hash.slice(1), a]));
const seen = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    for (const link of links.values()) link.removeAttribute("aria-current");
    links.get(target.id)?.setAttribute("aria-current", "true");
  }
}, { rootMargin: "0px 0px -75% 0px" });
for (const section of document.querySelectorAll("article section[id]")) {
  if (links.has(section.id)) seen.observe(section);
}

addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select, [contenteditable]")) return;
  event.preventDefault();
  document.querySelector(".find input").focus();
});
