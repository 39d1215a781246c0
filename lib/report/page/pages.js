// Makes the pages from the data block: each page has an id, a title, the question that it answers, and a function that fills
// it; a page whose data are missing does not appear.
const rooftuneReport = (() => {
  const data = JSON.parse(document.getElementById("report-data").textContent);
  const vega = rooftuneModules.vega();
  const run = data.run;
  const result = run.result || {};
  const evaluation = run.evaluation || { rows: [], overall: {}, by: {}, warnings: [] };
  const isHeldOut = run.manifest.command === "crossval";
  const crossval = isHeldOut ? run : data.crossval;
  const cases = new Map([...run.cases, ...(data.crossval ? data.crossval.cases : [])].map((item) => [item.experiment, item]));

  // ---- texts and numbers
  const metricTitles = { ttft_mean_ms: "TTFT mean", ttft_p90_ms: "TTFT p90", ttft_p99_ms: "TTFT p99", e2e_mean_ms: "E2E mean", e2e_p90_ms: "E2E p90", e2e_p99_ms: "E2E p99", tpot_mean_ms: "TPOT mean" };
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
  const label = (experiment) => {
    const item = cases.get(experiment);
    return item ? `${experiment} ${modelName(item.model)} TP${item.tp} ${item.workload}` : experiment;
  };
  const shortLabel = (experiment) => {
    const item = cases.get(experiment);
    return item ? `${modelName(item.model).slice(0, 22)} TP${item.tp} ${item.workload} (${experiment})` : experiment;
  };
  const stageName = (stage) => (stage === "summary" ? "all stages" : `stage ${stage}`);
  const unique = (values) => [...new Set(values)];
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const summaryRows = (rows) => rows.filter((row) => row.stage === "summary");
  const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

  // ---- elements
  const el = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
  };
  // A column is { title, of: row -> value, show: value -> text, text: true for words, tone: value -> class }. Numbers keep
  // their full value beside the rounded text.
  const table = (columns, rows, caption) => {
    const cell = (column, row) => {
      const value = column.of(row);
      const words = column.text === true;
      const shown = column.show ? column.show(value) : isNumber(value) ? significant(value) : (value ?? "–");
      const attributes = { class: [words ? "text" : "", column.tone ? column.tone(value) : ""].join(" ").trim() || undefined, "data-value": isNumber(value) ? value : undefined };
      return el("td", attributes, String(shown));
    };
    return el("div", { class: "scroll" }, el("table", {},
      caption ? el("caption", {}, caption) : null,
      el("thead", {}, el("tr", {}, ...columns.map((column) => el("th", { scope: "col", class: column.text ? "text" : undefined }, column.title)))),
      el("tbody", {}, ...rows.map((row) => el("tr", {}, ...columns.map((column) => cell(column, row)))))));
  };
  const words = (title, of) => ({ title, of, text: true });
  const number = (title, of, show) => ({ title, of, show });
  const errorTone = (value) => (isNumber(value) && Math.abs(value) > 10 ? "bad" : "");
  const folded = (summary, content) => el("details", {}, el("summary", {}, summary), content);
  const list = (items) => el("ul", { class: "findings" }, ...items.map((item) => el("li", {}, item)));

  // ---- plots: drawn when their page is first seen, again when colours change
  const drawn = [];
  let printing = false;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const theme = () => themes[dark.matches && !printing ? "dark" : "light"];
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
    plot.view = new vega.View(vega.parse(plot.spec(theme())), { renderer: "svg", container: plot.node, hover: false, tooltip: showTooltip });
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
    return el("figure", {}, el("h3", {}, title), node, el("figcaption", {}, caption), tableNode ? (vega ? folded(tableTitle, tableNode) : tableNode) : null);
  };
  const drawPage = (section) => drawn.filter((plot) => section.contains(plot.node) && plot.node.dataset.drawn !== "yes").forEach(draw);
  const redrawAll = () => drawn.filter((plot) => plot.node.dataset.drawn === "yes").forEach(draw);

  // ---- what several pages use
  const errorColumns = [
    words("experiment", (row) => row.experiment), words("model", (row) => modelName(cases.get(row.experiment)?.model ?? "–")), number("TP", (row) => cases.get(row.experiment)?.tp),
    words("workload", (row) => cases.get(row.experiment)?.workload ?? "–"), words("stage", (row) => stageName(row.stage)), words("metric", (row) => metricTitles[row.metric] ?? row.metric),
    number("predicted ms", (row) => row.predicted), number("measured ms", (row) => row.measured), { ...number("error %", (row) => row.error_percent, signed), tone: errorTone },
  ];
  const rowTip = (row) => [label(row.experiment), stageName(row.stage), `predicted ${significant(row.predicted)} ms, measured ${significant(row.measured)} ms`, `error ${signed(row.error_percent)} %`];
  const overallOf = (source) => (source && source.overall) || {};
  const heldOutEvaluation = crossval && crossval.evaluation;
  const peerGroups = () => {
    // Ours on the same experiments beside each peer's: a mean over other runs would compare nothing.
    const ours = new Map(summaryRows(evaluation.rows).map((row) => [`${row.experiment} ${row.metric}`, row]));
    const groups = new Map();
    for (const peer of data.peers) {
      const row = ours.get(`${peer.experiment} ${peer.metric}`);
      if (peer.stage !== "summary" || !row) continue;
      const key = `${peer.simulator} ${peer.metric}`;
      if (!groups.has(key)) groups.set(key, { simulator: peer.simulator, metric: peer.metric, theirs: [], ours: [] });
      groups.get(key).theirs.push(100 * Math.abs(peer.predicted / peer.measured - 1));
      groups.get(key).ours.push(row.ape_percent);
    }
    return [...groups.values()].filter((group) => means.includes(group.metric)).map((group) => ({ ...group, experiments: group.theirs.length, their_mean: mean(group.theirs), our_mean: mean(group.ours) }));
  };

  // ---- pages
  const summaryPage = {
    id: "summary", title: "Summary", question: "How wrong is it, where, how sure, what next?", available: () => true,
    fill(section) {
      section.append(el("div", { class: "cards" }, howWrong(), where(), howSure(), whatNext()));
      const groups = peerGroups();
      if (groups.length) section.append(peerFigure(groups));
      if (evaluation.warnings.length) section.append(el("h3", {}, "Warnings"), list(evaluation.warnings));
    },
  };
  const card = (title, ...content) => el("article", {}, el("h3", {}, title), ...content);

  const howWrong = () => {
    const before = overallOf(data.before), now = overallOf(evaluation), held = isHeldOut ? {} : overallOf(heldOutEvaluation);
    const columns = [words("mean absolute error, %", (metric) => metricTitles[metric])];
    if (data.before) columns.push(number("before", (metric) => before[metric]?.mean_ape_percent, percent));
    columns.push(number(isHeldOut ? "held out" : data.before ? "after" : "now", (metric) => now[metric]?.mean_ape_percent, percent));
    if (Object.keys(held).length) columns.push(number("held out", (metric) => held[metric]?.mean_ape_percent, percent));
    const known = metrics.filter((metric) => now[metric]);
    if (!known.length) return card("How wrong?", el("p", {}, "This run holds no evaluation of predictions against measurements."));
    const experiments = now[known[0]].experiments;
    const phrase = (source) => means.filter((metric) => source[metric]).map((metric) => `${metricTitles[metric].replace(" mean", "")} by ${percent(source[metric].mean_ape_percent)} %`).join(", ");
    const sentences = [isHeldOut
      ? `Runs that the fit had not seen (${plural(experiments, "run")}, each predicted by a fit without its group) are missed on average: ${phrase(now)}.`
      : `On ${plural(experiments, "run")}${run.manifest.command === "fit" ? " that it was fitted to" : ""} it is wrong on average: ${phrase(now)}.`];
    if (!isHeldOut) sentences.push(Object.keys(held).length ? `On runs held out of the fit: ${phrase(held)}. That is the error to expect on a new run.` : "No held-out error is in this report: the error on runs that the fit has seen flatters.");
    return card("How wrong?", ...sentences.map((sentence) => el("p", {}, sentence)), table(columns, known));
  };

  const where = () => {
    const rows = summaryRows(evaluation.rows).filter((row) => means.includes(row.metric));
    const worst = [...rows].sort((a, b) => b.ape_percent - a.ape_percent).slice(0, 5);
    if (!worst.length) return card("Where?", el("p", {}, "Nothing is measured."));
    const groups = Object.entries(evaluation.by || {}).flatMap(([field, members]) => Object.entries(members).map(([name, errors]) => ({ field, name: modelName(name), errors })))
      .filter((group) => means.some((metric) => group.errors[metric]));
    const size = (group) => Math.max(...means.map((metric) => group.errors[metric]?.mean_ape_percent ?? 0));
    const worstGroups = groups.sort((a, b) => size(b) - size(a)).slice(0, 3);
    const beyond = rows.filter((row) => row.ape_percent > 10).length;
    return card("Where?",
      el("p", {}, `${beyond} of ${rows.length} predicted means are off by more than 10 %. The largest errors:`),
      table([words("run", (row) => shortLabel(row.experiment)), words("metric", (row) => metricTitles[row.metric]), { ...number("error %", (row) => row.error_percent, signed), tone: errorTone }], worst),
      worstGroups.length ? el("p", {}, `Weakest groups: ${worstGroups.map((group) => `${group.field} ${group.name} (${percent(size(group))} %)`).join(", ")}.`) : null);
  };

  const parameterFlag = (parameter) => {
    if (parameter.without_effect) return "without effect on this data";
    if (parameter.bound === "at_lower") return "at its lower bound";
    if (parameter.bound === "at_upper") return "at its upper bound";
    if (parameter.at_start) return "did not move from its start";
    if (parameter.standard_error === null || parameter.standard_error === undefined) return "not identified";
    return parameter.relative_standard_error > 0.5 ? "weakly identified" : "";
  };
  const howSure = () => {
    const findings = [];
    if (Array.isArray(result.parameters)) {
      const flagged = result.parameters.filter((parameter) => parameterFlag(parameter));
      findings.push(`${result.parameters.length - flagged.length} of ${plural(result.parameters.length, "fitted parameter")} are determined by the data to better than half their value.`);
      for (const parameter of flagged) findings.push(`${parameter.parameter}: ${parameterFlag(parameter)}.`);
      for (const text of result.unidentified || []) findings.push(text);
    }
    const wide = data.intervals.filter((one) => one.stage === "summary" && one.metric === "e2e_mean_ms").map((one) => 50 * (one.upper - one.lower) / one.predicted);
    if (wide.length) findings.push(`${Math.round(100 * data.interval_level)} % of measured E2E means should lie within ±${percent(mean(wide))} % of the prediction (mean over the runs).`);
    for (const failure of result.failures || []) findings.push(failure);
    for (const noise of (crossval && crossval.result && crossval.result.seed_noise) || []) {
      if (noise.metric === "e2e_mean_ms") findings.push(`Another seed moves the held-out E2E error of ${noise.fold} by ${percent(noise.held_out_deviation_percent)} percentage points (standard deviation).`);
    }
    if (!crossval) findings.push("Without cross-validation nothing here says how well it carries over to other runs.");
    if (run.manifest.limited_by_time) findings.push("A limit in seconds ended part of it: another machine may reach another result.");
    findings.push(`Each prediction is the mean of ${plural(evaluation.replicates ?? run.manifest.replicates, "simulation")}.`);
    return card("How sure?", list(findings));
  };
  const whatNext = () => {
    const steps = [];
    const advice = result.schema === "rooftune/onboard/1" ? result.steps[result.steps.length - 1].next_runs[0] : null;
    if (advice) steps.push(`Measure ${advice.model} at TP ${advice.tp}, ${significant(advice.rate_per_s)} requests/s, ${advice.prompt_tokens} prompt and ${advice.output_tokens} output tokens (${significant(advice.gpu_minutes)} GPU-minutes): predictions would then be known to ±${percent(100 * advice.deviation_after)} %.`);
    for (const next of result.recommendations || []) steps.push(typeof next === "string" ? next : next.text || JSON.stringify(next));
    if (!crossval) steps.push("Measure how it carries over: rooftune crossval on the same study, then rooftune report with --crossval.");
    if (Array.isArray(result.parameters)) {
      const unsure = result.parameters.filter((parameter) => parameterFlag(parameter).includes("identified"));
      if (unsure.length) steps.push(`Measure runs that tell ${unsure.map((parameter) => parameter.parameter).join(", ")} apart, or fix them at known values.`);
      const bound = result.parameters.filter((parameter) => parameterFlag(parameter).includes("bound"));
      if (bound.length) steps.push(`Question the bounds, or the model, where ${bound.map((parameter) => parameter.parameter).join(", ")} ended at a bound.`);
    }
    const folds = (crossval && crossval.result && crossval.result.folds) || [];
    for (const fold of folds.filter((one) => (one.lost_coverage || []).length)) steps.push(`${fold.fold} is predicted by extrapolation (${fold.lost_coverage.join(", ")}): measure a second run like it.`);
    const worst = summaryRows(evaluation.rows).filter((row) => row.metric === "e2e_mean_ms").sort((a, b) => b.ape_percent - a.ape_percent)[0];
    if (worst && worst.ape_percent > 10) steps.push(`Look at ${label(worst.experiment)} on the pages Load and Errors: its E2E is off by ${signed(worst.error_percent)} %.`);
    if (!steps.length) steps.push("Nothing stands out: use the tuned config within the ranges that it was calibrated on.");
    return card("What next?", list(steps));
  };

  const peerFigure = (groups) => {
    const shown = groups.filter((group) => group.metric === "e2e_mean_ms" || group.metric === "ttft_mean_ms");
    const rowsOf = (metric) => shown.filter((group) => group.metric === metric).sort((a, b) => b.experiments - a.experiments || a.their_mean - b.their_mean);
    const specOf = (metric) => (colours) => {
      const rows = rowsOf(metric);
      const name = (row) => `${row.simulator} (${plural(row.experiments, "run")})`;
      return plots.dotRange(colours, {
        labels: rows.map(name), x: { title: `mean absolute error of ${metricTitles[metric]}, % (logarithmic)`, log: true },
        ranges: rows.map((row) => ({ label: name(row), low: Math.min(row.our_mean, row.their_mean), high: Math.max(row.our_mean, row.their_mean) })),
        dots: rows.flatMap((row) => [
          { label: name(row), x: row.their_mean, kind: "the other simulator", tip: [name(row), `${metricTitles[metric]}: ${percent(row.their_mean)} %`] },
          { label: name(row), x: row.our_mean, kind: "this run, same experiments", tip: ["this run on the same experiments", `${metricTitles[metric]}: ${percent(row.our_mean)} %`] }]),
        legend: [{ name: "the other simulator", style: 1 }, { name: "this run, same experiments", style: 0 }],
      });
    };
    const columns = [words("simulator", (row) => row.simulator), words("metric", (row) => metricTitles[row.metric]), number("runs", (row) => row.experiments),
      number("their mean error %", (row) => row.their_mean, percent), number("ours on the same runs %", (row) => row.our_mean, percent)];
    return el("div", {}, el("h2", {}, "Beside other simulators"), el("p", { class: "note" }, isHeldOut ? "Ours are held-out errors." : "Ours are errors of this run; where it was fitted to these experiments, see also the held-out column above."),
      ...["e2e_mean_ms", "ttft_mean_ms"].filter((metric) => rowsOf(metric).length).map((metric) => figure(`Peers: ${metricTitles[metric]}`, "Published predictions of other simulators for the same experiments.", specOf(metric), table(columns, rowsOf(metric)))));
  };

  const familyStyle = (() => {
    const models = unique(evaluation.rows.map((row) => modelName(cases.get(row.experiment)?.model ?? "unknown")));
    return { models, of: (experiment) => models.indexOf(modelName(cases.get(experiment)?.model ?? "unknown")) };
  })();
  const predictedPage = {
    id: "predicted", title: "Predicted", question: "Predicted against measured: is any kind of run off to one side?", available: () => evaluation.rows.length > 0,
    fill(section) {
      const grid = el("div", { class: "grid" });
      for (const metric of metrics) {
        const rows = evaluation.rows.filter((row) => row.metric === metric && row.measured > 0 && row.predicted > 0);
        const spec = (colours) => {
          const all = rows.flatMap((row) => [row.measured, row.predicted]);
          const domain = [Math.min(...all) / 1.25, Math.max(...all) * 1.25];
          const edge = domain.map((value) => ({ x: value, y: value, low: value * 0.9, high: value * 1.1 }));
          const layers = [{ kind: "band", points: edge, colour: colours.band }, { kind: "line", points: edge, colour: colours.faint, thickness: 1, dash: [4, 3] }];
          familyStyle.models.forEach((model, style) => {
            for (const summary of [false, true]) {
              const points = rows.filter((row) => familyStyle.of(row.experiment) === style && (row.stage === "summary") === summary).map((row) => ({ x: row.measured, y: row.predicted, tip: rowTip(row) }));
              if (points.length) layers.push({ kind: "symbol", points, style, size: summary ? 75 : 28, hollow: !summary });
            }
          });
          const bars = data.intervals.filter((one) => one.metric === metric && one.stage === "summary").map((one) => ({ one, row: rows.find((row) => row.stage === "summary" && row.experiment === one.experiment) })).filter(({ row }) => row)
            .map(({ one, row }) => ({ x: row.measured, low: one.lower, high: one.upper, tip: [label(row.experiment), `${Math.round(100 * data.interval_level)} % interval: ${significant(one.lower)} to ${significant(one.upper)} ms`] }));
          if (bars.length) layers.push({ kind: "rule", points: bars, thickness: 2, opacity: 0.6, colour: colours.faint });
          const panel = plots.xyPanel(colours, { width: 330, height: 290, x: { title: "measured, ms", log: true, domain, ticks: 4 }, y: { title: "predicted, ms", log: true, domain, ticks: 4 }, layers });
          return plots.panels(colours, [panel], { columns: 1, legendColumns: 2, legend: familyStyle.models.map((name, style) => ({ name, style })) });
        };
        grid.append(figure(metricTitles[metric], `Dashed: predicted = measured; shaded: within 10 %. Filled: whole runs; small and hollow: their stages.${data.intervals.length ? ` Bars: where ${Math.round(100 * data.interval_level)} % of such measurements should fall.` : ""}`, spec, table(errorColumns, rows)));
      }
      section.append(grid);
    },
  };

  const errorMap = (rows, title, caption) => {
    const summaries = summaryRows(rows);
    const experiments = unique(summaries.map((row) => row.experiment));
    const present = Object.keys(metricTitles).filter((metric) => summaries.some((row) => row.metric === metric));
    const spec = (colours) => plots.heatMap(colours, {
      rows: experiments.map(shortLabel), columns: present.map((metric) => metricTitles[metric]), limit: 30, format: "+.1f", legendTitle: "error, % (predicted − measured)",
      cells: summaries.map((row) => ({ row: shortLabel(row.experiment), column: metricTitles[row.metric], value: row.error_percent, tip: rowTip(row) })),
    });
    return figure(title, caption, spec, table(errorColumns, summaries));
  };
  const errorsPage = {
    id: "errors", title: "Errors", question: "Where is it wrong: which run, which metric?", available: () => evaluation.rows.length > 0,
    fill(section) {
      section.append(errorMap(evaluation.rows, isHeldOut ? "Held-out error by run and metric" : "Error by run and metric", "Signed error of each run's whole load; blue: predicted too fast, orange: too slow. Colours end at 30 %."));
      if (!isHeldOut && heldOutEvaluation) section.append(errorMap(heldOutEvaluation.rows, "Held out: error by run and metric", `Each run predicted by a fit that had not seen its group (${data.crossval.folder}).`));
      for (const [field, members] of Object.entries(evaluation.by || {})) {
        const rows = Object.entries(members).map(([name, errors]) => ({ name: modelName(name), errors }));
        if (!rows.length || rows.every((row) => !means.some((metric) => row.errors[metric]))) continue;
        section.append(el("h3", {}, `By ${field}`), table([words(field, (row) => row.name), number("runs", (row) => Object.values(row.errors)[0]?.experiments),
          ...means.map((metric) => ({ ...number(`${metricTitles[metric].replace(" mean", "")} mean |error| %`, (row) => row.errors[metric]?.mean_ape_percent, percent), tone: errorTone }))], rows));
      }
    },
  };

  const loadPage = {
    id: "load", title: "Load", question: "How does latency grow with load, and does the simulated curve run through the measured points?", available: () => data.load_curves.length > 0,
    fill(section) {
      const percentLevel = Math.round(100 * data.interval_level);
      section.append(el("p", { class: "note" }, "Curves: the config of this run, simulated at other loads with the stage's duration and the stages before it. Points: measured stages."));
      if (data.intervals.length) section.append(el("p", { class: "note" }, `Shaded along the curves, and as bars at the measured stages: where ${percentLevel} % of such measurements should fall${data.intervals.some((one) => one.structural_deviation !== null) ? "" : " as far as parameters and arrivals go: the error of the model's structure is not known for this config, so they are too narrow (rooftune fit --held-out adds it)"}.`));
      // A run of one stage has its interval on the summary.
      const intervalsOf = (curve, metric) => {
        const own = data.intervals.filter((one) => one.experiment === curve.experiment && one.metric === metric);
        const stages = own.filter((one) => one.stage !== "summary");
        return (stages.length ? stages : curve.measured.length === 1 ? own : []).map((one) => ({ ...one, load: curve.measured.find((point) => stages.length === 0 || point.stage === one.stage)?.load })).filter((one) => isNumber(one.load));
      };
      // Intervals may span decades where the engine saturates: the axis follows curve and points, and a factor of two around them.
      const yDomain = (logarithmic, values, ranges) => {
        const low = Math.min(...values), high = Math.max(...values);
        const all = [...values, ...ranges.flatMap((range) => [Math.max(range.low, low / 2), Math.min(range.high, high * 2)])];
        return logarithmic ? [Math.min(...all) / 1.1, Math.max(...all) * 1.1] : [0, Math.max(...all) * 1.05];
      };
      for (const curve of data.load_curves) {
        const unit = curve.unit === "clients" ? "clients" : "requests/s";
        const shown = ["ttft_mean_ms", "e2e_mean_ms", "tpot_mean_ms"];
        const spec = (colours) => plots.panels(colours, shown.map((metric) => {
          const line = curve.simulated.filter((point) => isNumber(point.latencies[metric])).map((point) => ({ x: point.load, y: point.latencies[metric] }));
          const points = curve.measured.filter((point) => isNumber(point.latencies[metric])).map((point) => ({ x: point.load, y: point.latencies[metric], tip: [label(curve.experiment), `stage ${point.stage} at ${significant(point.load)} ${unit}`, `measured ${metricTitles[metric]} ${significant(point.latencies[metric])} ms`] }));
          const band = curve.simulated.flatMap((point) => (point.intervals || []).filter((one) => one.metric === metric).map((one) => ({ x: point.load, low: one.lower, high: one.upper, y: one.predicted })));
          const layers = band.length ? [{ kind: "band", points: band.map(({ x, low, high }) => ({ x, low, high })), colour: plots.colourOf(colours, 0) }] : [];
          const bars = intervalsOf(curve, metric).map((one) => ({ x: one.load, low: one.lower, high: one.upper, tip: [label(curve.experiment), `${percentLevel} % interval: ${significant(one.lower)} to ${significant(one.upper)} ms`] }));
          layers.push({ kind: "line", points: line, style: 0 });
          if (bars.length) layers.push({ kind: "rule", points: bars, thickness: 5, opacity: 0.45, colour: plots.colourOf(colours, 0) });
          layers.push({ kind: "symbol", points: points, style: 1, size: 80 });
          return plots.xyPanel(colours, { title: metricTitles[metric], width: 230, height: 170, x: { title: unit, log: true, ticks: 4 }, y: { title: "ms", log: metric !== "tpot_mean_ms", ticks: 4, domain: yDomain(metric !== "tpot_mean_ms", [...line, ...points].map((point) => point.y), [...bars, ...band]) }, layers });
        }), { columns: 3, legend: [{ name: data.intervals.length ? `simulated, with ${percentLevel} % interval` : "simulated", style: 0, line: true }, { name: "measured", style: 1 }] });
        const rows = [...curve.simulated.map((point) => ({ ...point, kind: "simulated" })), ...curve.measured.map((point) => ({ ...point, kind: "measured" }))];
        const columns = [words("", (row) => row.kind), number(unit, (row) => row.load), number("like stage", (row) => row.stage), ...Object.keys(metricTitles).map((metric) => number(`${metricTitles[metric]} ms`, (row) => row.latencies[metric]))];
        const intervals = shown.flatMap((metric) => intervalsOf(curve, metric));
        const intervalTable = table([words("metric", (one) => metricTitles[one.metric]), number(unit, (one) => one.load), number("predicted ms", (one) => one.predicted), number("from ms", (one) => one.lower), number("to ms", (one) => one.upper)], intervals, `${percentLevel} % intervals`);
        section.append(figure(label(curve.experiment), "", spec, el("div", {}, table(columns, rows), intervals.length ? intervalTable : null)));
      }
    },
  };

  const stepsPage = {
    id: "steps", title: "Step time", question: "Where does an engine step's time go?", available: () => data.step_time.length > 0,
    fill(section) {
      section.append(el("p", { class: "note" }, "Terms of the step-time model, stacked; the diamond is the whole step, which is less than the stack where compute and memory overlap. Left: steps that only decode, every request at the data's mean context. Right: a prompt alone."));
      for (const steps of data.step_time) {
        const largest = steps.terms.map((term, index) => ({ term, index, time: Math.max(...steps.samples.map((sample) => sample.terms_us[index])) })).filter((entry) => entry.time > 0).sort((a, b) => b.time - a.time);
        const kept = largest.slice(0, largest.length > 8 ? 7 : 8).sort((a, b) => a.index - b.index);
        const rest = largest.slice(kept.length);
        const terms = [...kept.map((entry) => entry.term), ...(rest.length ? ["other"] : [])];
        const panel = (colours, samples, category, xTitle, title) => {
          const bars = samples.flatMap((sample) => {
            const own = kept.map((entry, order) => ({ category: category(sample), term: entry.term, order, value: sample.terms_us[entry.index] / 1000 }));
            if (rest.length) own.push({ category: category(sample), term: "other", order: kept.length, value: rest.reduce((sum, entry) => sum + sample.terms_us[entry.index], 0) / 1000 });
            return own.map((bar) => ({ ...bar, tip: [sample.batch, `${bar.term}: ${significant(bar.value)} ms`] }));
          });
          const totals = samples.map((sample) => ({ category: category(sample), value: sample.total_us / 1000, stacked: sample.terms_us.reduce((sum, term) => sum + term, 0) / 1000, tip: [sample.batch, `whole step: ${significant(sample.total_us / 1000)} ms`, sample.bound ? `ruled by ${sample.bound}` : ""] }));
          return plots.stackedPanel(colours, { title, width: 330, height: 210, bars, totals, categories: samples.map(category), terms, xTitle, yTitle: "ms" });
        };
        const spec = (colours) => plots.panels(colours, [
          panel(colours, steps.samples.filter((sample) => sample.decode_requests > 0), (sample) => sample.decode_requests, "decoding requests", "decode steps"),
          panel(colours, steps.samples.filter((sample) => sample.prefill_tokens > 0), (sample) => sample.prefill_tokens, "prompt tokens", "prefill steps")],
        { columns: 2, legend: terms.map((name, style) => ({ name, style, shape: "square" })), legendColumns: 4 });
        const columns = [words("step", (sample) => sample.batch), number("whole step ms", (sample) => sample.total_us / 1000), words("ruled by", (sample) => sample.bound), ...steps.terms.map((term, index) => number(`${term} ms`, (sample) => sample.terms_us[index] / 1000))];
        section.append(figure(`${steps.model}, ${steps.gpu}, TP ${steps.tp}`, `Context of each decoding request: ${Math.round(steps.context_tokens)} tokens.`, spec, table(columns, steps.samples)));
      }
    },
  };

  const interval = (parameter) => {
    // Relative to the value: the fit's own interval where it has one, else on the logarithmic scale of positive parameters.
    const own = parameter.interval_95;
    if (Array.isArray(own) && own.every(isNumber) && parameter.value > 0) return { low: own[0] / parameter.value, high: own[1] / parameter.value };
    if (!isNumber(parameter.relative_standard_error)) return null;
    const factor = Math.exp(1.96 * Math.min(parameter.relative_standard_error, 20));
    return { low: 1 / factor, high: factor };
  };
  const parametersPage = {
    id: "parameters", title: "Parameters", question: "What was fitted, and how sure are the values?", available: () => Array.isArray(result.parameters) && result.parameters.length > 0,
    fill(section) {
      const parameters = result.parameters;
      const clip = (value) => Math.min(10, Math.max(0.1, value));
      const spec = (colours) => plots.dotRange(colours, {
        labels: parameters.map((parameter) => parameter.parameter), reference: 1,
        x: { title: "relative to the fitted value (logarithmic; ends at a tenth and tenfold)", log: true, domain: [0.1, 10], clamp: true },
        ranges: parameters.filter(interval).map((parameter) => ({ label: parameter.parameter, low: clip(interval(parameter).low), high: clip(interval(parameter).high), tip: [parameter.parameter, `95 % interval: ${significant(parameter.value * interval(parameter).low)} to ${significant(parameter.value * interval(parameter).high)} ${parameter.unit}`] })),
        dots: parameters.flatMap((parameter) => [
          ...(parameter.value > 0 && parameter.start > 0 ? [{ label: parameter.parameter, x: clip(parameter.start / parameter.value), kind: "start", tip: [parameter.parameter, `start ${significant(parameter.start)} ${parameter.unit}`] }] : []),
          { label: parameter.parameter, x: 1, kind: "fitted", tip: [parameter.parameter, `fitted ${significant(parameter.value)} ${parameter.unit}`, parameterFlag(parameter)].filter(Boolean) }]),
        legend: [{ name: "fitted", style: 0 }, { name: "start", style: 3 }],
      });
      const columns = [words("parameter", (p) => p.parameter), words("unit", (p) => p.unit), number("start", (p) => p.start), number("value", (p) => p.value), number("standard error", (p) => p.standard_error),
        ...(parameters.some((p) => isNumber(p.prior_share)) ? [number("variance left of the prior's %", (p) => (isNumber(p.prior_share) ? 100 * p.prior_share : null), percent)] : []),
        number("95 % from", (p) => (interval(p) ? p.value * interval(p).low : null)), number("to", (p) => (interval(p) ? p.value * interval(p).high : null)), number("lower bound", (p) => p.lower), number("upper bound", (p) => p.upper),
        { ...words("", parameterFlag), tone: (flag) => (flag ? "bad" : "") }];
      section.append(figure("Fitted values with 95 % intervals", "Bars: 95 % interval from the curvature of the objective at the optimum. Long bars: the data hardly determine the value.", spec, table(columns, parameters)));
      if (result.bootstrap) section.append(bootstrapFigure(parameters));
      if ((result.profiles || []).length) section.append(el("h3", {}, "Profile likelihood"), el("p", { class: "note" }, "One parameter held at a value, all others refitted. Below the dashed line: inside the 95 % interval. A flat curve: the data do not determine the value."), el("div", { class: "grid" }, ...result.profiles.map(profileFigure)));
      if ((result.directions || []).length) section.append(folded("Directions of the parameters, by how well the data determine them", table([words("state", (d) => d.state), number("standard error", (d) => d.standard_error), words("parameters and their components", (d) => Object.entries(d.parameters).map(([name, part]) => `${name} ${part.toFixed(2)}`).join(", "))], result.directions)));
      const pairs = result.correlations || [];
      if (pairs.length) {
        const names = parameters.map((parameter) => parameter.parameter).filter((name) => pairs.some((pair) => pair.first === name || pair.second === name));
        const cells = pairs.flatMap((pair) => [[pair.first, pair.second], [pair.second, pair.first]].map(([row, column]) => ({ row, column, value: pair.correlation, tip: [`${pair.first}`, `${pair.second}`, `correlation ${pair.correlation.toFixed(2)}`] })));
        const map = (colours) => plots.heatMap(colours, { rows: names, columns: names, cells, limit: 1, format: "+.2f", cellWidth: 34, cellHeight: 22, legendTitle: "correlation" });
        section.append(figure("Correlations", "Pairs above 0.1 in size. Near ±1: the data cannot tell the two apart.", map, table([words("first", (p) => p.first), words("second", (p) => p.second), number("correlation", (p) => p.correlation, (value) => value.toFixed(3))], pairs)));
      }
    },
  };

  const bootstrapFigure = (parameters) => {
    const valueOf = new Map(parameters.map((parameter) => [parameter.parameter, parameter.value]));
    const rows = result.bootstrap.parameters.filter((row) => valueOf.get(row.parameter) > 0 && row.lower_95 > 0);
    const clip = (value) => Math.min(10, Math.max(0.1, value));
    const spec = (colours) => plots.dotRange(colours, {
      labels: rows.map((row) => row.parameter), reference: 1, x: { title: "relative to the fitted value (logarithmic; ends at a tenth and tenfold)", log: true, domain: [0.1, 10], clamp: true },
      ranges: rows.map((row) => ({ label: row.parameter, low: clip(row.lower_95 / valueOf.get(row.parameter)), high: clip(row.upper_95 / valueOf.get(row.parameter)), tip: [row.parameter, `95 % of refits: ${significant(row.lower_95)} to ${significant(row.upper_95)}`] })),
      dots: rows.map((row) => ({ label: row.parameter, x: 1, kind: "fitted", tip: [row.parameter, `fitted ${significant(valueOf.get(row.parameter))}`] })), legend: [{ name: "fitted", style: 0 }],
    });
    return figure(`Bootstrap: ${plural(result.bootstrap.refits, "refit")} on experiments drawn with replacement`, result.bootstrap.failed ? `${result.bootstrap.failed} of them failed.` : "Bars: the middle 95 % of the refits.", spec,
      table([words("parameter", (r) => r.parameter), number("standard deviation", (r) => r.standard_deviation), number("95 % from", (r) => r.lower_95), number("to", (r) => r.upper_95)], result.bootstrap.parameters));
  };
  const profileFigure = (profile) => {
    const fitted = result.parameters.find((parameter) => parameter.parameter === profile.parameter);
    const points = profile.points.filter((point) => isNumber(point.value) && isNumber(point.objective)).sort((a, b) => a.value - b.value);
    const spec = (colours) => {
      const edge = [points[0].value, points[points.length - 1].value];
      const layers = [{ kind: "line", style: 0, points: points.map((point) => ({ x: point.value, y: point.objective })) },
        { kind: "symbol", style: 0, size: 30, points: points.map((point) => ({ x: point.value, y: point.objective, tip: [profile.parameter, `value ${significant(point.value)}`, `objective ${significant(point.objective)}`] })) }];
      if (isNumber(profile.threshold)) layers.push({ kind: "line", colour: colours.faint, dash: [5, 3], points: edge.map((x) => ({ x, y: profile.threshold })) });
      return plots.panels(colours, [plots.xyPanel(colours, { width: 330, height: 180, x: { title: `${profile.parameter}${fitted ? `, ${fitted.unit}` : ""}`, log: edge[0] > 0 }, y: { title: "objective" }, layers })], { columns: 1 });
    };
    const caption = `95 % interval: ${isNumber(profile.lower_95) ? significant(profile.lower_95) : "not reached"} to ${isNumber(profile.upper_95) ? significant(profile.upper_95) : "not reached"}.`;
    return figure(profile.parameter, caption, spec, table([number("value", (p) => p.value), number("objective", (p) => p.objective)], points));
  };
  const traceFigure = (trace) => {
    const hasHeldOut = trace.some((point) => point.held_out_error_percent);
    const line = (name, style, of) => [{ kind: "line", style, points: trace.filter((point) => isNumber(of(point))).map((point) => ({ x: point.iteration, y: of(point) })) },
      { kind: "symbol", style, size: 30, points: trace.filter((point) => isNumber(of(point))).map((point) => ({ x: point.iteration, y: of(point), tip: [`iteration ${point.iteration}`, `${name}: ${significant(of(point))}`] })) }];
    const training = (point) => point.error_percent?.all, heldOut = (point) => point.held_out_error_percent?.all;
    const spec = (colours) => plots.panels(colours, [
      plots.xyPanel(colours, { title: "objective", width: 330, height: 210, x: { title: "iteration" }, y: { title: "objective", log: trace.every((point) => point.objective > 0) }, layers: line("objective", 0, (point) => point.objective) }),
      plots.xyPanel(colours, { title: "mean absolute error of the compared rows, %", width: 330, height: 210, x: { title: "iteration" }, y: { title: "%" }, layers: [...line("training error %", 0, training), ...(hasHeldOut ? line("held-out error %", 1, heldOut) : [])] })],
    { columns: 2, legend: hasHeldOut ? [{ name: "training", style: 0 }, { name: "held out", style: 1 }] : [] });
    return figure("Convergence of the best start", hasHeldOut ? "Where the held-out error rises while training falls, the fit learns noise." : "", spec,
      table([number("iteration", (p) => p.iteration), number("evaluations", (p) => p.evaluations), number("objective", (p) => p.objective), number("training error %", training, percent), number("held-out error %", heldOut, percent)], trace));
  };

  const searchPage = {
    id: "search", title: "Search", question: "Did the search find the best point, and do other starts agree?", available: () => Array.isArray(result.starts) && result.starts.length > 0,
    fill(section) {
      const starts = [...result.starts].filter((start) => isNumber(start.objective)).sort((a, b) => a.objective - b.objective);
      section.append(el("p", {}, `Objective ${significant(result.objective?.before)} → ${significant(result.objective?.after)}; ended because: ${result.termination?.reason ?? "–"}. ${result.termination?.detail ?? ""}`));
      const positive = starts.every((start) => start.objective > 0 && start.initial_objective > 0);
      const spec = (colours) => plots.panels(colours, [plots.xyPanel(colours, {
        width: 460, height: 240, x: { title: "starts, best first", domain: [0, starts.length + 1], format: "d", ticks: Math.min(10, starts.length + 1) }, y: { title: "objective", log: positive },
        layers: [
          { kind: "rule", colour: colours.faint, points: starts.filter((start) => isNumber(start.initial_objective)).map((start, index) => ({ x: index + 1, y: start.objective, low: start.objective, high: start.initial_objective })) },
          { kind: "symbol", style: 3, hollow: true, points: starts.filter((start) => isNumber(start.initial_objective)).map((start, index) => ({ x: index + 1, y: start.initial_objective, tip: [`start ${start.start}`, `objective at the start ${significant(start.initial_objective)}`] })) },
          { kind: "symbol", style: 0, points: starts.map((start, index) => ({ x: index + 1, y: start.objective, tip: [`start ${start.start}`, `reached ${significant(start.objective)} in ${start.evaluations} evaluations`, start.termination?.reason ?? ""] })) },
        ] })], { columns: 1, legend: [{ name: "at the start", style: 3, hollow: true }, { name: "reached", style: 0 }] });
      if ((result.trace || []).length > 1) section.append(traceFigure(result.trace));
      section.append(figure("Starts of the search", "A flat left end means that several starts reached the same optimum.", spec, table([number("start", (s) => s.start), number("objective at start", (s) => s.initial_objective), number("reached", (s) => s.objective), number("evaluations", (s) => s.evaluations), number("refused", (s) => s.refusals), words("ended", (s) => (s.pruned ? "given up early" : s.termination?.reason ?? "–"))], starts)));
    },
  };

  const crossvalPage = {
    id: "crossval", title: "Cross-validation", question: "How well does it predict what the fit has not seen?", available: () => Boolean(crossval && crossval.result && Array.isArray(crossval.result.folds) && crossval.result.folds.length),
    fill(section) {
      const folds = crossval.result.folds;
      if (!isHeldOut) section.append(el("p", { class: "note" }, `From ${crossval.folder}.`));
      const pooled = crossval.result.held_out || {};
      section.append(el("p", {}, `All held-out runs together: ${means.filter((metric) => pooled[metric]).map((metric) => `${metricTitles[metric]} ${percent(pooled[metric].mean_ape_percent)} %`).join(", ")}.`));
      const shown = ["e2e_mean_ms", "ttft_mean_ms", "tpot_mean_ms"].filter((metric) => folds.some((fold) => fold.held_out?.[metric]));
      for (const metric of shown) {
        const good = folds.filter((fold) => fold.held_out?.[metric] && fold.training?.[metric]);
        const name = (fold) => `${fold.fold} (${plural(fold.held_out[metric].experiments, "run")})`;
        const spec = (colours) => plots.dotRange(colours, {
          labels: good.map(name), x: { title: `mean absolute error of ${metricTitles[metric]}, %` },
          ranges: good.map((fold) => ({ label: name(fold), low: Math.min(fold.training[metric].mean_ape_percent, fold.held_out[metric].mean_ape_percent), high: Math.max(fold.training[metric].mean_ape_percent, fold.held_out[metric].mean_ape_percent) })),
          dots: good.flatMap((fold) => [["training", 0], ["held out", 1]].map(([kind]) => { const value = (kind === "training" ? fold.training : fold.held_out)[metric].mean_ape_percent; return { label: name(fold), x: value, kind, tip: [name(fold), `${kind}: ${percent(value)} %`] }; })),
          legend: [{ name: "training", style: 0 }, { name: "held out", style: 1 }],
        });
        section.append(figure(`Folds: ${metricTitles[metric]}`, "A long bar: what was left out is unlike the rest.", spec, table([words("left out", (f) => f.fold), number("training %", (f) => f.training?.[metric]?.mean_ape_percent, percent), number("held out %", (f) => f.held_out?.[metric]?.mean_ape_percent, percent), words("only in the part left out", (f) => (f.lost_coverage || []).join(", "))], folds)));
      }
      const names = Object.keys(folds[0].parameters || {});
      if (names.length) section.append(folded("Parameters of every fold", table([words("parameter", (name) => name), ...folds.map((fold) => number(fold.fold, (name) => fold.parameters[name]))], names)));
    },
  };

  const journalPage = {
    id: "journal", title: "Journal", question: "Which changes were tried, why, and what did runs that no fit had seen say?", available: () => Boolean(data.journal && data.journal.rounds.length),
    fill(section) {
      const { rounds, screenings, outcome } = data.journal;
      const stays = (round) => round.fate !== "reverted";
      const kept = rounds.filter(stays), reverted = rounds.filter((round) => !stays(round));
      section.append(el("p", {}, `${kept.length - 1} of ${plural(rounds.length - 1, "judged change")} kept: held-out score ${significant(rounds[0].after_percent)} → ${significant(kept.at(-1).after_percent)} %.` + (outcome ? ` Ended: ${outcome.reason}.` : " Not ended yet.")));
      const tip = (round) => [`round ${round.round}: ${round.move}`, `${round.fate}: ${round.why || round.change}`, `${significant(round.before_percent)} → ${significant(round.after_percent)} %`];
      const point = (round) => ({ x: round.round, y: round.after_percent, low: round.after_percent - round.noise_percent, high: round.after_percent + round.noise_percent, tip: tip(round) });
      // What holds between two kept rounds is a step: a reverted round leaves nothing behind.
      const steps = [];
      for (const round of rounds) {
        const now = steps.length ? steps.at(-1).y : round.after_percent;
        steps.push({ x: round.round, y: now });
        if (stays(round)) steps.push({ x: round.round, y: round.after_percent });
      }
      const spec = (colours) => plots.panels(colours, [plots.xyPanel(colours, {
        width: 620, height: 260, x: { title: "round", format: "d", domain: [-0.5, rounds.length - 0.5], ticks: Math.min(15, rounds.length) }, y: { title: "held-out score, %" },
        layers: [
          { kind: "line", style: 0, points: steps },
          { kind: "rule", colour: colours.faint, points: rounds.filter((round) => round.noise_percent > 0).map(point) },
          { kind: "symbol", style: 1, shape: "cross", hollow: true, size: 90, points: reverted.map(point) },
          { kind: "symbol", style: 0, shape: "circle", size: 90, points: kept.map(point) },
        ] })], { columns: 1, legend: [{ name: "kept", style: 0, shape: "circle" }, ...(reverted.length ? [{ name: "reverted", style: 1, shape: "cross", hollow: true }] : [])] });
      section.append(figure("Rounds", "Each mark is what a change made of the held-out score, with its noise over seeds; the line is the score that was kept. Below the line is better, but a change also needs to beat its noise, pay for its parameters and spare every group.", spec));
      const verdict = { ...words("verdict", (r) => r.fate), tone: (fate) => (fate === "kept" ? "word good" : "word") };
      section.append(table([
        number("round", (r) => r.round), verdict, words("move", (r) => r.move), words("reason", (r) => r.reason),
        number("before %", (r) => r.before_percent), number("after %", (r) => r.after_percent), number("noise %", (r) => r.noise_percent), words("why", (r) => r.why)], rounds, "Rounds of the journal"));
      section.append(folded("What each round changed, and the finding that suggested it", table([number("round", (r) => r.round), words("change", (r) => r.change), number("parameters", (r) => r.free_parameters), words("suggested by", (r) => r.suggested_by)], rounds)));
      const refused = screenings.flatMap((screening) => screening.candidates.filter((item) => item.fate === "refused").map((item) => ({ ...item, screening: screening.screening })));
      if (refused.length) section.append(folded("Refused before any fit", table([number("diagnosis", (r) => r.screening), words("move", (r) => r.move), words("why", (r) => r.why)], refused)));
      for (const screening of screenings) {
        section.append(folded(`Diagnosis ${screening.screening}, of the structure of round ${screening.structure}`, table([number("t", (f) => f.t), words("finding", (f) => f.text)], screening.findings)));
        section.append(folded(`Moves screened after diagnosis ${screening.screening}`, table([words("move", (c) => c.move), words("change", (c) => c.change), words("fate", (c) => c.fate), number("before %", (c) => c.before_percent), number("after %", (c) => c.score_percent), number("folds", (c) => c.folds)], screening.candidates)));
      }
    },
  };

  const comparePage = {
    id: "compare", title: "Comparison", question: "Which model, and which correction, is worth its parameters?", available: () => Array.isArray(result.variants),
    fill(section) {
      const lists = [["Variants", result.variants], ...(result.one_by_one ? [[`${result.one_by_one.from} with one correction taken back`, result.one_by_one.reverted]] : [])];
      for (const [title, variants] of lists) {
        for (const metric of ["e2e_mean_ms", "ttft_mean_ms"]) {
          const good = variants.filter((variant) => variant.training?.[metric]);
          if (!good.length) continue;
          const spec = (colours) => plots.dotRange(colours, {
            labels: good.map((variant) => variant.name), x: { title: `mean absolute error of ${metricTitles[metric] ?? metric}, % (logarithmic)`, log: true },
            dots: good.flatMap((variant) => [["training", variant.training], ["held out", variant.held_out]].filter(([, errors]) => errors?.[metric]).map(([kind, errors]) => ({ label: variant.name, x: errors[metric].mean_ape_percent, kind, tip: [variant.name, `${kind}: ${percent(errors[metric].mean_ape_percent)} %`, plural(variant.free_parameters, "free parameter")] }))),
            legend: [{ name: "training", style: 0 }, { name: "held out", style: 1 }],
          });
          section.append(figure(`${title}: ${metricTitles[metric] ?? metric}`, "", spec, table([words("variant", (v) => v.name), words("step-time model", (v) => v.step_time_model), number("free parameters", (v) => v.free_parameters), number("evaluations", (v) => v.evaluations), number("training %", (v) => v.training?.[metric]?.mean_ape_percent, percent), number("held out %", (v) => v.held_out?.[metric]?.mean_ape_percent, percent), words("", (v) => v.failure || v.no_held_out || "")], variants)));
        }
      }
    },
  };

  const onboardPage = {
    id: "onboard", title: "Onboarding", question: "What did each step teach about the new GPU, and which run should be next?", available: () => result.schema === "rooftune/onboard/1",
    fill(section) {
      const steps = result.steps;
      const rowsOf = (step) => [...step.fitted.map((row) => ({ ...row, step: step.step, kind: "fitted" })), ...step.unseen.map((row) => ({ ...row, step: step.step, kind: "unseen" }))];
      for (const metric of ["e2e_mean_ms", "ttft_mean_ms"]) {
        const rows = steps.flatMap(rowsOf).filter((row) => row.metric === metric);
        if (!rows.length) continue;
        const name = (row) => `${row.step}: ${row.experiment}`;
        const spec = (colours) => plots.dotRange(colours, {
          labels: rows.map(name), x: { title: `error of ${metricTitles[metric]}, % (predicted − measured)`, format: "+.0f" }, reference: 0,
          ranges: rows.flatMap((row) => {
            const own = steps.find((step) => step.step === row.step).intervals.find((one) => one.experiment === row.experiment && one.stage === "summary" && one.metric === metric);
            return own ? [{ label: name(row), low: 100 * (row.predicted / own.upper - 1), high: 100 * (row.predicted / own.lower - 1), tip: [name(row), `a measurement should lie between ${significant(own.lower)} and ${significant(own.upper)} ms`] }] : [];
          }),
          dots: rows.map((row) => ({ label: name(row), x: row.error_percent, kind: row.kind, tip: [name(row), `predicted ${significant(row.predicted)} ms, measured ${significant(row.measured)} ms`, `error ${signed(row.error_percent)} %, ${row.kind}`] })),
          legend: [{ name: "unseen", style: 1 }, { name: "fitted", style: 0 }],
        });
        section.append(figure(`Error after each step: ${metricTitles[metric]}`, "Bars: errors that the prediction interval allows. Unseen runs tell what to expect of new ones.", spec,
          table([words("knows", (row) => row.step), words("run", (row) => row.experiment), words("run was", (row) => row.kind), number("predicted ms", (row) => row.predicted), number("measured ms", (row) => row.measured), { ...number("error %", (row) => row.error_percent, signed), tone: errorTone }], rows)));
      }
      const counted = steps.filter((step) => step.unseen_in_interval.measurements > 0);
      if (counted.length) section.append(el("h3", {}, "Unseen measurements inside their interval"), table([words("knows", (step) => step.step), number("inside", (step) => step.unseen_in_interval.inside), number("of", (step) => step.unseen_in_interval.measurements)], counted));
      const last = steps[steps.length - 1];
      section.append(el("h3", {}, `Parameters after '${last.step}'`), table([words("parameter", (p) => p.parameter), number("expected", (p) => p.expected), words("because", (p) => p.expectation), number("value", (p) => p.value),
        number("± expected, %", (p) => 100 * p.expected_deviation, percent), number("± now, %", (p) => 100 * p.deviation, percent), words("source", (p) => p.source), words("told by the runs", (p) => (p.identified ? "yes" : "no"))], last.parameters,
        "Deviations are of the logarithm (of the logit for shares with bounds)."));
      if (last.next_runs.length) {
        const columns = [words("model", (run) => run.model), number("TP", (run) => run.tp), number("requests/s", (run) => run.rate_per_s), number("prompt tokens", (run) => run.prompt_tokens), number("output tokens", (run) => run.output_tokens),
          number("GPU-minutes", (run) => run.gpu_minutes), number("predictions then ± %", (run) => 100 * run.deviation_after, percent), number("parameters, bits", (run) => run.bits, percent)];
        const shown = 8, caption = `How well all candidates would be predicted after the run; now: ± ${percent(100 * last.next_runs[0].deviation_before)} %.`;
        section.append(el("h3", {}, `Next runs after '${last.step}'`), table(columns, last.next_runs.slice(0, shown), caption));
        if (last.next_runs.length > shown) section.append(folded(`All ${last.next_runs.length} candidates`, table(columns, last.next_runs)));
      }
      if (result.kv_blocks.length) section.append(el("h3", {}, "Other numbers of KV blocks"), table([words("run", (row) => row.experiment), number("KV blocks", (row) => row.total_kv_blocks), words("", (row) => (row.recorded ? "as recorded" : "")),
        number("TTFT error %", (row) => row.ttft_error_percent, signed), number("E2E error %", (row) => row.e2e_error_percent, signed)], result.kv_blocks));
    },
  };

  const kernelsPage = {
    id: "kernels", title: "Kernels", question: "What do measured kernels reach of the GPU's roof?", available: () => data.kernels.length > 0,
    fill(section) {
      for (const gpu of data.kernels) {
        const kinds = unique(gpu.points.map((point) => `${point.kernel} ${point.format}`));
        const spec = (colours) => {
          const xs = gpu.points.map((point) => point.flops_per_byte);
          const [low, high] = [Math.min(...xs) / 1.5, Math.max(...xs) * 1.5];
          const roof = (peak) => [low, peak / gpu.bandwidth_tbs, high].filter((x) => x >= low && x <= high).map((x) => ({ x, y: Math.min(peak, x * gpu.bandwidth_tbs) }));
          const layers = [{ kind: "line", points: roof(gpu.peak_bf16_tflops), colour: colours.text, dash: [1, 0] }];
          if (gpu.peak_fp8_tflops) layers.push({ kind: "line", points: roof(gpu.peak_fp8_tflops), colour: colours.text, dash: [6, 3] });
          kinds.forEach((kind, style) => layers.push({ kind: "symbol", style, size: 22, opacity: 0.55, points: gpu.points.filter((point) => `${point.kernel} ${point.format}` === kind).map((point) => ({ x: point.flops_per_byte, y: point.achieved_tflops, tip: [kind, point.shape, `${significant(point.achieved_tflops)} TFLOP/s in ${significant(point.latency_us)} us`] })) }));
          return plots.panels(colours, [plots.xyPanel(colours, { width: 640, height: 400, x: { title: "arithmetic intensity, FLOP per byte", log: true }, y: { title: "achieved, TFLOP/s", log: true }, layers })],
            { columns: 1, legend: [...kinds.map((name, style) => ({ name, style })), { name: "data sheet, bf16", line: true, colour: colours.text, style: 0 }, ...(gpu.peak_fp8_tflops ? [{ name: "data sheet, FP8", line: true, colour: colours.text, style: 1 }] : [])] });
        };
        section.append(figure(`${gpu.gpu}: kernels under the roofline`, `${gpu.points.length} of ${gpu.measured} measured kernels (${gpu.engine}); the roof: ${gpu.bandwidth_tbs} TB/s and ${gpu.peak_bf16_tflops} TFLOP/s bf16.`, spec,
          table([words("kernel", (p) => p.kernel), words("format", (p) => p.format), words("shape", (p) => p.shape), number("FLOP/byte", (p) => p.flops_per_byte), number("TFLOP/s", (p) => p.achieved_tflops), number("us", (p) => p.latency_us)], gpu.points)));
      }
    },
  };

  const manifestPage = {
    id: "manifest", title: "Manifest", question: "What exactly was run?", available: () => true,
    fill(section) {
      const manifest = run.manifest;
      const facts = [["command", `rooftune ${manifest.arguments.join(" ")}`], ["run folder", run.folder], ["state", manifest.state], ["seed", manifest.seed], ["replicates", manifest.replicates], ["limited by time", manifest.limited_by_time ? "yes" : "no"], ["simulator", manifest.simulator_identity], ...Object.entries(manifest.versions)];
      section.append(table([words("", (fact) => fact[0]), words("", (fact) => String(fact[1]))], facts), el("h3", {}, "Inputs"), table([words("file", (input) => input.path), words("SHA-256", (input) => input.sha256)], manifest.inputs));
    },
  };

  const pages = [summaryPage, predictedPage, errorsPage, loadPage, stepsPage, parametersPage, searchPage, crossvalPage, journalPage, comparePage, onboardPage, kernelsPage, manifestPage].filter((page) => page.available());

  // ---- navigation: links with anchors, so that the browser's own keys, history and bookmarks work
  const container = document.getElementById("pages");
  const sections = new Map();
  const show = (id, focus) => {
    const chosen = sections.has(id) ? id : pages[0].id;
    for (const [name, { section, link }] of sections) {
      section.hidden = name !== chosen;
      if (name === chosen) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
    }
    drawPage(sections.get(chosen).section);
    if (focus) container.focus({ preventScroll: true });
  };
  const start = () => {
    document.getElementById("subtitle").textContent = `rooftune ${run.manifest.arguments.join(" ")}`;
    container.replaceChildren();
    const notices = [...data.notices, ...(vega ? [] : ["The plotting library Vega was not found when this report was written, so it has tables and no plots. Install Debian's package libjs-vega (or name the library's folder with --vega) and write the report again."])];
    if (notices.length) container.append(el("div", { class: "notices", role: "note" }, ...notices.map((notice) => el("p", {}, notice))));
    for (const page of pages) {
      const section = el("section", { id: page.id, "aria-labelledby": `${page.id}-title`, hidden: true }, el("h2", { id: `${page.id}-title` }, page.title), el("p", { class: "question" }, page.question));
      page.fill(section);
      const link = el("a", { href: `#${page.id}` }, page.title);
      document.getElementById("tabs").append(el("li", {}, link));
      container.append(section);
      sections.set(page.id, { section, link });
    }
    show(location.hash.slice(1), false);
    addEventListener("hashchange", () => show(location.hash.slice(1), true));
    dark.addEventListener("change", redrawAll);
    // Print shows every page, on white.
    addEventListener("beforeprint", () => { printing = true; drawn.forEach(draw); });
    addEventListener("afterprint", () => { printing = false; redrawAll(); });
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
