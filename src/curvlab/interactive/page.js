// Starts figures on a page without a kernel. Each figure waits as its picture until it comes
// near the window, and it stays a picture in print.

export function install(registry, style) {
  const begin = (host, module) => {
    const { state, values } = registry.states[host.dataset.curvlab];
    const held = { state, values };
    const el = document.createElement("div");
    host.dataset.ready = "";
    host.querySelector("img").after(el);
    try {
      const model = { get: (key) => held[key], set: () => {}, save_changes: () => {}, on: () => {} };
      module.render({ model, el });
    } catch (error) {
      delete host.dataset.ready;
      el.remove();
      throw error;
    }
  };

  // A site builder may move a figure's state to a script file of its own (data-src).
  const withState = (key, then) => {
    const holder = document.querySelector(`script[data-curvlab-state="${key}"]`);
    registry.states ??= {};
    if (!registry.states[key] && holder.dataset.src) {
      const script = document.createElement("script");
      script.src = holder.dataset.src;
      script.onload = then;
      document.head.append(script);
      return;
    }
    registry.states[key] ??= JSON.parse(holder.textContent);
    then();
  };

  const near = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      const module = registry.modules[target.dataset.module];
      withState(target.dataset.curvlab, () => begin(target, module));
    }
  }, { rootMargin: "400px" });

  registry.run = () => {
    registry.queue = registry.queue.filter(([key, name]) => {
      const host = document.querySelector(`[data-curvlab="${key}"]:not([data-module])`);
      if (!host || !registry.modules[name]) return true;
      host.dataset.module = name;
      near.observe(host);
      return false;
    });
  };

  const sheet = document.createElement("style");
  sheet.textContent = style;
  document.head.append(sheet);
  registry.run();
}
