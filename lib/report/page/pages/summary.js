reportPages.summary = (kit) => {
  const {
    data,
    run,
    result,
    evaluation,
    isHeldOut,
    crossval,
    metricTitles,
    metrics,
    means,
    significant,
    percent,
    signed,
    modelName,
    label,
    shortLabel,
    mean,
    summaryRows,
    plural,
    el,
    table,
    words,
    number,
    errorTone,
    list,
    figure,
    overallOf,
    heldOutEvaluation,
    peerGroups,
    verdictOf,
  } = kit;

  const card = (title, ...content) => el("article", {}, el("h3", {}, title), ...content);

  const howWrong = () => {
    const before = overallOf(data.before),
      now = overallOf(evaluation),
      held = isHeldOut ? {} : overallOf(heldOutEvaluation);
    const columns = [words("mean absolute error, %", (metric) => metricTitles[metric])];
    if (data.before) columns.push(number("before", (metric) => before[metric]?.mean_ape_percent, percent));
    columns.push(
      number(isHeldOut ? "held out" : data.before ? "after" : "now", (metric) => now[metric]?.mean_ape_percent, percent),
    );
    if (Object.keys(held).length) columns.push(number("held out", (metric) => held[metric]?.mean_ape_percent, percent));
    const noise = data.noise || {};
    if (data.noise) {
      const repeats = (metric) => noise[metric]?.two_runs_percent;
      columns.push(number("two runs of one server", repeats, percent));
      columns.push(number("other arrivals", (metric) => noise[metric]?.other_arrivals_percent, percent));
    }
    const known = metrics.filter((metric) => now[metric]);
    if (!known.length)
      return card("How wrong?", el("p", {}, "This run holds no evaluation of predictions against measurements."));
    const experiments = now[known[0]].experiments;
    const phrase = (source) =>
      means
        .filter((metric) => source[metric])
        .map((metric) => `${metricTitles[metric].replace(" mean", "")} by ${percent(source[metric].mean_ape_percent)} %`)
        .join(", ");
    const sentences = [
      isHeldOut
        ? `Runs that the fit had not seen (${plural(experiments, "run")}, each predicted by a fit without its group) are missed on average: ${phrase(now)}.`
        : `On ${plural(experiments, "run")}${run.manifest.command === "fit" ? " that it was fitted to" : ""} it is wrong on average: ${phrase(now)}.`,
    ];
    if (!isHeldOut)
      sentences.push(
        Object.keys(held).length
          ? `On runs held out of the fit: ${phrase(held)}. That is the error to expect on a new run.`
          : "No held-out error is in this report: the error on runs that the fit has seen flatters.",
      );
    const elsewhere = known.map((metric) => noise[metric]?.elsewhere).find(Boolean);
    if (data.noise)
      sentences.push(
        `Errors below the noise beside them say nothing: what two runs of one server differ by (median${elsewhere ? `; elsewhere: ${elsewhere}` : ""}), and one standard deviation of what a run's length leaves open.`,
      );
    return card("How wrong?", ...sentences.map((sentence) => el("p", {}, sentence)), table(columns, known));
  };

  const where = () => {
    const rows = summaryRows(evaluation.rows).filter((row) => means.includes(row.metric));
    const worst = [...rows].sort((a, b) => b.ape_percent - a.ape_percent).slice(0, 5);
    if (!worst.length) return card("Where?", el("p", {}, "Nothing is measured."));
    const groups = Object.entries(evaluation.by || {})
      .flatMap(([field, members]) => Object.entries(members).map(([name, errors]) => ({ field, name: modelName(name), errors })))
      .filter((group) => means.some((metric) => group.errors[metric]));
    const size = (group) => Math.max(...means.map((metric) => group.errors[metric]?.mean_ape_percent ?? 0));
    const worstGroups = groups.sort((a, b) => size(b) - size(a)).slice(0, 3);
    const beyond = rows.filter((row) => row.ape_percent > 10).length;
    return card(
      "Where?",
      el("p", {}, `${beyond} of ${rows.length} predicted means are off by more than 10 %. The largest errors:`),
      table(
        [
          words("run", (row) => shortLabel(row.experiment)),
          words("metric", (row) => metricTitles[row.metric]),
          { ...number("error %", (row) => row.error_percent, signed), tone: errorTone },
        ],
        worst,
      ),
      worstGroups.length
        ? el(
            "p",
            {},
            `Weakest groups: ${worstGroups.map((group) => `${group.field} ${group.name} (${percent(size(group))} %)`).join(", ")}.`,
          )
        : null,
    );
  };

  const howSure = () => {
    const findings = [];
    if (Array.isArray(result.parameters)) {
      const flagged = result.parameters.filter((parameter) => verdictOf(parameter));
      findings.push(
        `${result.parameters.length - flagged.length} of ${plural(result.parameters.length, "fitted parameter")} are determined by the data to better than half their value.`,
      );
      for (const parameter of flagged) findings.push(`${parameter.parameter}: ${verdictOf(parameter)}.`);
      for (const text of result.unidentified || []) findings.push(text);
    }
    const wide = data.intervals
      .filter((one) => one.stage === "summary" && one.metric === "e2e_mean_ms")
      .map((one) => (50 * (one.upper - one.lower)) / one.predicted);
    if (wide.length)
      findings.push(
        `${Math.round(100 * data.interval_level)} % of measured E2E means should lie within ±${percent(mean(wide))} % of the prediction (mean over the runs).`,
      );
    for (const failure of result.failures || []) findings.push(failure);
    for (const noise of (crossval && crossval.result && crossval.result.seed_noise) || []) {
      if (noise.metric === "e2e_mean_ms")
        findings.push(
          `Another seed moves the held-out E2E error of ${noise.fold} by ${percent(noise.held_out_deviation_percent)} percentage points (standard deviation).`,
        );
    }
    if (!crossval) findings.push("Without cross-validation nothing here says how well it carries over to other runs.");
    if (run.manifest.limited_by_time)
      findings.push("A limit in seconds ended part of it: another machine may reach another result.");
    findings.push(`Each prediction is the mean of ${plural(evaluation.replicates ?? run.manifest.replicates, "simulation")}.`);
    return card("How sure?", list(findings));
  };
  const whatNext = () => {
    const steps = [];
    const advice = result.schema === "rooftune/onboard/1" ? result.steps[result.steps.length - 1].next_runs[0] : null;
    if (advice)
      steps.push(
        `Measure ${advice.model} at TP ${advice.tp}, ${significant(advice.rate_per_s)} requests/s, ${advice.prompt_tokens} prompt and ${advice.output_tokens} output tokens (${significant(advice.gpu_minutes)} GPU-minutes): predictions would then be known to ±${percent(100 * advice.deviation_after)} %.`,
      );
    for (const next of result.recommendations || [])
      steps.push(typeof next === "string" ? next : next.text || JSON.stringify(next));
    if (!crossval)
      steps.push("Measure how it carries over: rooftune crossval on the same study, then rooftune report with --crossval.");
    if (Array.isArray(result.parameters)) {
      const unsure = result.parameters.filter((parameter) => verdictOf(parameter).includes("identified"));
      if (unsure.length)
        steps.push(
          `Measure runs that tell ${unsure.map((parameter) => parameter.parameter).join(", ")} apart, or fix them at known values.`,
        );
      const bound = result.parameters.filter((parameter) => verdictOf(parameter).includes("bound"));
      if (bound.length)
        steps.push(
          `Question the bounds, or the model, where ${bound.map((parameter) => parameter.parameter).join(", ")} ended at a bound.`,
        );
    }
    const folds = (crossval && crossval.result && crossval.result.folds) || [];
    for (const fold of folds.filter((one) => (one.lost_coverage || []).length))
      steps.push(`${fold.fold} is predicted by extrapolation (${fold.lost_coverage.join(", ")}): measure a second run like it.`);
    const worst = summaryRows(evaluation.rows)
      .filter((row) => row.metric === "e2e_mean_ms")
      .sort((a, b) => b.ape_percent - a.ape_percent)[0];
    if (worst && worst.ape_percent > 10)
      steps.push(
        `Look at ${label(worst.experiment)} on the pages Load and Errors: its E2E is off by ${signed(worst.error_percent)} %.`,
      );
    if (!steps.length) steps.push("Nothing stands out: use the tuned config within the ranges that it was calibrated on.");
    return card("What next?", list(steps));
  };

  const peerFigure = (groups) => {
    const shown = groups.filter((group) => group.metric === "e2e_mean_ms" || group.metric === "ttft_mean_ms");
    const rowsOf = (metric) =>
      shown
        .filter((group) => group.metric === metric)
        .sort((a, b) => b.experiments - a.experiments || a.their_mean - b.their_mean);
    const specOf = (metric) => (colours) => {
      const rows = rowsOf(metric);
      const name = (row) => `${row.simulator} (${plural(row.experiments, "run")})`;
      return plots.dotRange(colours, {
        labels: rows.map(name),
        x: { title: `mean absolute error of ${metricTitles[metric]}, % (logarithmic)`, log: true },
        ranges: rows.map((row) => ({
          label: name(row),
          low: Math.min(row.our_mean, row.their_mean),
          high: Math.max(row.our_mean, row.their_mean),
        })),
        dots: rows.flatMap((row) => [
          {
            label: name(row),
            x: row.their_mean,
            kind: "the other simulator",
            tip: [name(row), `${metricTitles[metric]}: ${percent(row.their_mean)} %`],
          },
          {
            label: name(row),
            x: row.our_mean,
            kind: "this run, same experiments",
            tip: ["this run on the same experiments", `${metricTitles[metric]}: ${percent(row.our_mean)} %`],
          },
        ]),
        legend: [
          { name: "the other simulator", style: 1 },
          { name: "this run, same experiments", style: 0 },
        ],
      });
    };
    const columns = [
      words("simulator", (row) => row.simulator),
      words("metric", (row) => metricTitles[row.metric]),
      number("runs", (row) => row.experiments),
      number("their mean error %", (row) => row.their_mean, percent),
      number("ours on the same runs %", (row) => row.our_mean, percent),
    ];
    return el(
      "div",
      {},
      el("h2", {}, "Beside other simulators"),
      el(
        "p",
        { class: "note" },
        isHeldOut
          ? "Ours are held-out errors."
          : "Ours are errors of this run; where it was fitted to these experiments, see also the held-out column above.",
      ),
      ...["e2e_mean_ms", "ttft_mean_ms"]
        .filter((metric) => rowsOf(metric).length)
        .map((metric) =>
          figure(
            `Peers: ${metricTitles[metric]}`,
            "Published predictions of other simulators for the same experiments.",
            specOf(metric),
            table(columns, rowsOf(metric)),
          ),
        ),
    );
  };

  return {
    id: "summary",
    title: "Summary",
    question: "How wrong is it, where, how sure, what next?",
    available: () => true,
    fill(section) {
      section.append(el("div", { class: "cards" }, howWrong(), where(), howSure(), whatNext()));
      const groups = peerGroups();
      if (groups.length) section.append(peerFigure(groups));
      if (evaluation.warnings.length) section.append(el("h3", {}, "Warnings"), list(evaluation.warnings));
    },
  };
};
