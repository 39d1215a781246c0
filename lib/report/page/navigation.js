// Puts the pages into the document, and moves between them: links with anchors, so that the browser's own keys, history and
// bookmarks work.
const rooftuneReport = (() => {
  const { data, vega, run, plural, el, drawn, draw, drawPage, redrawAll, setPrinting, dark } = reportKit;
  const order = [
    "live",
    "summary",
    "overlay",
    "predicted",
    "errors",
    "load",
    "interactivity",
    "steps",
    "parameters",
    "search",
    "crossval",
    "journal",
    "compare",
    "onboard",
    "kernels",
    "manifest",
  ];
  const pages = order.map((name) => reportPages[name](reportKit)).filter((page) => page.available());
  const container = document.getElementById("pages");
  const sections = new Map();
  const show = (id, focus) => {
    const chosen = sections.has(id) ? id : pages[0].id;
    for (const [name, { section, link }] of sections) {
      section.hidden = name !== chosen;
      if (name === chosen) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    drawPage(sections.get(chosen).section);
    if (focus) container.focus({ preventScroll: true });
  };
  const start = () => {
    document.getElementById("subtitle").textContent = `rooftune ${run.manifest.arguments.join(" ")}`;
    container.replaceChildren();
    const notices = [
      ...data.notices,
      ...(vega
        ? []
        : [
            "The plotting library Vega was not found when this report was written, so it has tables and no plots. Install Debian's package libjs-vega (or name the library's folder with --vega) and write the report again.",
          ]),
    ];
    if (notices.length)
      container.append(el("div", { class: "notices", role: "note" }, ...notices.map((notice) => el("p", {}, notice))));
    for (const page of pages) {
      const section = el(
        "section",
        { id: page.id, "aria-labelledby": `${page.id}-title`, hidden: true },
        el("h2", { id: `${page.id}-title` }, page.title),
        el("p", { class: "question" }, page.question),
      );
      page.fill(section);
      const link = el("a", { href: `#${page.id}` }, page.title);
      document.getElementById("tabs").append(el("li", {}, link));
      container.append(section);
      sections.set(page.id, { section, link });
    }
    // Paper has room for the first plots of a kind (report.css).
    for (const grid of container.querySelectorAll(".grid")) {
      const more = grid.querySelectorAll(":scope > figure").length - (grid.classList.contains("narrow") ? 4 : 3);
      if (more > 0)
        grid.dataset.leftOut = `Not printed: ${plural(more, "more plot")} like these; the report on a screen has them all.`;
    }
    const printedTables = container.querySelectorAll(".printed-as-table > details");
    show(location.hash.slice(1), false);
    addEventListener("hashchange", () => show(location.hash.slice(1), true));
    dark.addEventListener("change", redrawAll);
    // Print shows every page, on white; first what is worth taking along.
    const arrange = (ids) => ids.forEach((id) => sections.has(id) && container.append(sections.get(id).section));
    const onScreen = [...sections.keys()];
    const first = ["live", "summary", "overlay", "onboard", "compare", "journal", "predicted", "errors", "parameters"];
    addEventListener("beforeprint", () => {
      arrange([...first, ...onScreen.filter((id) => !first.includes(id))]);
      setPrinting(true);
      printedTables.forEach((table) => (table.open = true));
      drawn.forEach(draw);
    });
    addEventListener("afterprint", () => {
      arrange(onScreen);
      setPrinting(false);
      printedTables.forEach((table) => (table.open = false));
      redrawAll();
    });
    // Left and right change the page while one of the links has the focus.
    document.getElementById("tabs").addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const links = [...sections.values()].map((entry) => entry.link);
      const next = links[(links.indexOf(document.activeElement) + step + links.length) % links.length];
      next.focus();
      event.preventDefault();
    });
    document.body.dataset.ready = "yes";
  };
  start();
  return { data, drawn, drawAll: () => drawn.forEach(draw), pages: pages.map((page) => page.id) };
})();
