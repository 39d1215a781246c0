// What every page uses: the run's data, texts and numbers, elements, and plots that are drawn when their page is first seen.
const reportKit = (() => {
  const data = JSON.parse(document.getElementById("report-data").textContent);
  const vega = rooftuneModules.vega();
  const run = data.run;
  const result = run.result || {};
  const evaluation = run.evaluation || { rows: [], overall: {}, by: {}, warnings: [] };
  const isHeldOut = run.manifest.command === "crossval";
  const crossval = isHeldOut ? run : data.crossval;
  const cases = new Map([...run.cases, ...(data.crossval ? data.crossval.cases : [])].map((item) => [item.experiment, item]));

  // ---- texts and numbers
  const metricTitles = {
    ttft_mean_ms: "TTFT mean",
    ttft_p90_ms: "TTFT p90",
    ttft_p99_ms: "TTFT p99",
    e2e_mean_ms: "E2E mean",
    e2e_p90_ms: "E2E p90",
    e2e_p99_ms: "E2E p99",
    tpot_mean_ms: "TPOT mean",
  };
  const metrics = Object.keys(metricTitles).filter((metric) => evaluation.rows.some((row) => row.metric === metric));
  const means = ["ttft_mean_ms", "e2e_mean_ms", "tpot_mean_ms"].filter((metric) => metrics.includes(metric));
  const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
  const significant = (value, digits = 4) => {
    if (!isNumber(value)) return "–";
    if (value === 0) return "0";
    const size = Math.abs(value);
    return size >= 1e6 || size < 1e-4 ? value.toExponential(digits - 1) : String(Number(value.toPrecision(digits)));
  };
  const percent = (value) => (isNumber(value) ? value.toFixed(1) : "–");
  const signed = (value) => (isNumber(value) ? (value >= 0 ? "+" : "−") + Math.abs(value).toFixed(1) : "–");
  const modelName = (id) => String(id).split("/").pop();
  // Of groups of runs, as files name them.
  const kindName = (kind) => ({ hardware: "GPU", gpu: "GPU", tp: "TP" })[kind] ?? kind;
  const label = (experiment) => {
    const item = cases.get(experiment);
    return item ? `${experiment} ${modelName(item.model)} TP${item.tp} ${item.workload}` : experiment;
  };
  const shortLabel = (experiment) => {
    const item = cases.get(experiment);
    return item ? `${modelName(item.model)} TP${item.tp} ${item.workload} (${experiment})` : experiment;
  };
  const stageName = (stage) => (stage === "summary" ? "all stages" : `stage ${stage}`);
  const unique = (values) => [...new Set(values)];
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const summaryRows = (rows) => rows.filter((row) => row.stage === "summary");
  const plural = (count, word, several = `${word}s`) => `${count.toLocaleString("en")} ${count === 1 ? word : several}`;

  // ---- elements
  const el = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
  };
  // A column is { title, of: row -> value, show: value -> text, text: true for words, tone: value -> class, onScreen: true where paper
  // does without }. Numbers keep their full value beside the rounded text. A heading sorts by its column; longer tables can be filtered by any word in a row.
  const filteredFrom = 8;
  const cell = (column, row) => {
    const value = column.of(row);
    const wordy = column.text === true;
    const shown = column.show ? column.show(value) : isNumber(value) ? significant(value) : (value ?? "–");
    const attributes = {
      class:
        [wordy ? "text" : "", column.onScreen ? "on-screen" : "", column.tone ? column.tone(value) : ""]
          .filter(Boolean)
          .join(" ") || undefined,
      "data-value": isNumber(value) ? value : undefined,
    };
    return el("td", attributes, String(shown));
  };
  const compared = (first, second) => {
    if (isNumber(first) && isNumber(second)) return first - second;
    if (isNumber(first) !== isNumber(second)) return isNumber(first) ? -1 : 1;
    return String(first ?? "").localeCompare(String(second ?? ""), "en", { numeric: true });
  };
  const table = (columns, rows, caption) => {
    const drawnRows = rows.map((row) => ({ row, node: el("tr", {}, ...columns.map((column) => cell(column, row))) }));
    const body = el("tbody", {}, ...drawnRows.map(({ node }) => node));
    const headings = columns.map((column) => {
      const kinds = [column.text ? "text" : "", column.onScreen ? "on-screen" : ""].filter(Boolean);
      const heading = el("th", { scope: "col", class: kinds.join(" ") || undefined });
      if (rows.length < 2 || !column.title) {
        heading.append(column.title);
        return heading;
      }
      const button = el("button", { type: "button", title: "sort" }, column.title);
      button.addEventListener("click", () => {
        const falls = heading.getAttribute("aria-sort") === "ascending";
        for (const other of headings) other.removeAttribute("aria-sort");
        heading.setAttribute("aria-sort", falls ? "descending" : "ascending");
        const sorted = [...drawnRows].sort((a, b) => (falls ? -1 : 1) * compared(column.of(a.row), column.of(b.row)));
        body.replaceChildren(...sorted.map(({ node }) => node));
      });
      heading.append(button);
      return heading;
    });
    const filter = el("input", { type: "search", placeholder: `filter ${rows.length} rows`, "aria-label": "filter rows" });
    filter.addEventListener("input", () => {
      const wanted = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const { node } of drawnRows) {
        const text = [...node.cells]
          .map((one) => one.textContent)
          .join(" ")
          .toLowerCase();
        node.hidden = !wanted.every((word) => text.includes(word));
      }
    });
    return el(
      "div",
      { class: "scroll" },
      rows.length >= filteredFrom ? filter : null,
      el("table", {}, caption ? el("caption", {}, caption) : null, el("thead", {}, el("tr", {}, ...headings)), body),
    );
  };
  const words = (title, of) => ({ title, of, text: true });
  const number = (title, of, show) => ({ title, of, show });
  const errorTone = (value) => (isNumber(value) && Math.abs(value) > 10 ? "bad" : "");
  const folded = (summary, content) => el("details", {}, el("summary", {}, summary), content);
  // Paper has the table of such a figure in place of its plot.
  const printedAsTable = (node) => {
    node.classList.add("printed-as-table");
    return node;
  };
  // Paper says of such a figure that it is left out.
  const onScreenOnly = (node) => {
    node.classList.add("on-screen-only");
    node.dataset.leftOut = `Not printed: ${node.querySelector("h3").textContent}; the report on a screen has it.`;
    return node;
  };
  const list = (items) => el("ul", { class: "findings" }, ...items.map((item) => el("li", {}, item)));

  // ---- plots: drawn when their page is first seen, again when colours change
  const drawn = [];
  let printing = false;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  // Plots are drawn for the room that they find; on paper columns are narrow.
  const printedRoom = 600;
  const theme = (room) => ({ ...themes[dark.matches && !printing ? "dark" : "light"], room: printing ? printedRoom : room });
  const tooltip = document.getElementById("tooltip");
  const showTooltip = (handler, event, item, value) => {
    tooltip.hidden = value === null || value === undefined || value === "";
    if (tooltip.hidden) return;
    const lines = Array.isArray(value) ? value : [String(value)];
    tooltip.replaceChildren(...lines.map((line) => el("div", {}, String(line))));
    const box = tooltip.getBoundingClientRect();
    tooltip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - box.width - 8))}px`;
    tooltip.style.top = `${event.clientY + box.height + 24 > innerHeight ? event.clientY - box.height - 10 : event.clientY + 16}px`;
  };
  const draw = (plot) => {
    if (!vega) return;
    if (plot.view) plot.view.finalize();
    plot.room = plot.node.clientWidth || plot.room || printedRoom;
    plot.view = new vega.View(vega.parse(plot.spec(theme(plot.room))), {
      renderer: "svg",
      container: plot.node,
      hover: false,
      tooltip: showTooltip,
    });
    plot.view.run();
    plot.node.dataset.drawn = "yes";
    const svg = plot.node.querySelector("svg");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", plot.title);
    plot.section = plot.node.closest("section");
  };
  const figure = (title, caption, spec, tableNode, tableTitle = "Numbers of this plot") => {
    const node = el("div", { class: "plot" });
    if (!vega) node.append(el("p", { class: "note" }, "Not drawn: this report was written without Vega. The numbers are below."));
    drawn.push({ node, spec, title });
    return el(
      "figure",
      {},
      el("h3", {}, title),
      node,
      el("figcaption", {}, caption),
      tableNode ? (vega ? folded(tableTitle, tableNode) : tableNode) : null,
    );
  };
  const drawPage = (section) =>
    drawn.filter((plot) => section.contains(plot.node) && plot.node.dataset.drawn !== "yes").forEach(draw);
  const setPrinting = (value) => {
    printing = value;
  };
  const redrawAll = () => drawn.filter((plot) => plot.node.dataset.drawn === "yes").forEach(draw);

  let resizing = 0;
  addEventListener("resize", () => {
    clearTimeout(resizing);
    resizing = setTimeout(() => {
      if (printing) return;
      drawn
        .filter((plot) => plot.node.dataset.drawn === "yes" && plot.node.clientWidth && plot.node.clientWidth !== plot.room)
        .forEach(draw);
    }, 120);
  });

  // ---- what several pages use
  const errorColumns = [
    words("experiment", (row) => row.experiment),
    words("model", (row) => modelName(cases.get(row.experiment)?.model ?? "–")),
    number("TP", (row) => cases.get(row.experiment)?.tp),
    words("workload", (row) => cases.get(row.experiment)?.workload ?? "–"),
    words("stage", (row) => stageName(row.stage)),
    words("metric", (row) => metricTitles[row.metric] ?? row.metric),
    number("predicted ms", (row) => row.predicted),
    number("measured ms", (row) => row.measured),
    { ...number("error %", (row) => row.error_percent, signed), tone: errorTone },
  ];
  const rowTip = (row) => [
    label(row.experiment),
    stageName(row.stage),
    `predicted ${significant(row.predicted)} ms, measured ${significant(row.measured)} ms`,
    `error ${signed(row.error_percent)} %`,
  ];
  // One rule for the terminal and this page: the run says itself what is to be said about a parameter.
  const verdictOf = (parameter) => parameter.verdict ?? "not judged: an older rooftune wrote this run";
  const overallOf = (source) => (source && source.overall) || {};
  const heldOutEvaluation = crossval && crossval.evaluation;
  const peerGroups = () => {
    // Ours on the same experiments beside each peer's: a mean over other runs would compare nothing.
    const ours = new Map(
      summaryRows((heldOutEvaluation ?? evaluation).rows).map((row) => [`${row.experiment} ${row.metric}`, row]),
    );
    const groups = new Map();
    for (const peer of data.peers) {
      const row = ours.get(`${peer.experiment} ${peer.metric}`);
      if (peer.stage !== "summary" || !row) continue;
      const key = `${peer.simulator} ${peer.metric}`;
      if (!groups.has(key)) groups.set(key, { simulator: peer.simulator, metric: peer.metric, theirs: [], ours: [] });
      groups.get(key).theirs.push(100 * Math.abs(peer.predicted / peer.measured - 1));
      groups.get(key).ours.push(row.ape_percent);
    }
    return [...groups.values()]
      .filter((group) => means.includes(group.metric))
      .map((group) => ({
        ...group,
        experiments: group.theirs.length,
        their_mean: mean(group.theirs),
        our_mean: mean(group.ours),
      }));
  };

  return {
    data,
    vega,
    run,
    result,
    evaluation,
    isHeldOut,
    crossval,
    cases,
    metricTitles,
    metrics,
    means,
    isNumber,
    significant,
    percent,
    signed,
    modelName,
    kindName,
    label,
    shortLabel,
    stageName,
    unique,
    mean,
    summaryRows,
    plural,
    el,
    table,
    words,
    number,
    errorTone,
    folded,
    printedAsTable,
    onScreenOnly,
    list,
    drawn,
    draw,
    figure,
    drawPage,
    redrawAll,
    errorColumns,
    rowTip,
    overallOf,
    heldOutEvaluation,
    peerGroups,
    verdictOf,
    setPrinting,
    dark,
  };
})();

// A function a page, by the page's name (pages/<name>.js): the kit in, the page out. A page has an id, a title, the question that
// it answers, and a function that fills it; a page whose data are missing does not appear.
const reportPages = {};
