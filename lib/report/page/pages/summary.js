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
    kindName,
    label,
    shortLabel,
    mean,
    summaryRows,
    plural,
    el,
    table,
    words,
    number,
    unique,
    errorTone,
    folded,
    list,
    figure,
    overallOf,
    heldOutEvaluation,
    peerGroups,
    verdictOf,
  } = kit;

  const card = (title, ...content) => el("article", {}, el("h3", {}, title), ...content);

  // What is held out of the fit comes first wherever it is known: training errors flatter.
  const held = isHeldOut ? evaluation : heldOutEvaluation;
  const isOnboarding = result.schema === "rooftune/onboard/1";
  // An improvement keeps the held-out errors of every structure in its journal: those of the one that stands, by group and by run.
  const stands = ((data.journal && data.journal.rounds) || []).filter((round) => round.fate !== "reverted").at(-1);
  const heldOutGroups = (stands ? stands.groups : []).map((group) => ({
    kind: group.grouped_by,
    name: group.name,
    metric: group.metric,
    errors: { mean_ape_percent: group.ape_after_percent, experiments: group.runs },
  }));
  const heldOutOverall = () => {
    if (held) return overallOf(held);
    const all = heldOutGroups.filter((group) => group.kind === "all").map((group) => [group.metric, group.errors]);
    return all.length ? Object.fromEntries(all) : null;
  };
  const phrase = (source) =>
    means
      .filter((metric) => source[metric])
      .map((metric) => `${metricTitles[metric].replace(" mean", "")} by ${percent(source[metric].mean_ape_percent)} %`)
      .join(", ");

  // "before" and "after" are of the same rows, or there is no "before".
  const beforeRows = () => {
    if (!data.before) return null;
    const rows = new Set(data.before.rows.map((row) => `${row.experiment} ${row.stage} ${row.metric}`));
    const isSame = evaluation.rows.every((row) => rows.has(`${row.experiment} ${row.stage} ${row.metric}`));
    return isSame && rows.size === evaluation.rows.length ? data.before : null;
  };

  // An onboarding is judged by what each step said of runs that it had not seen.
  const howWrongNewGpu = () => {
    const steps = result.steps.filter((step) => step.unseen.length);
    const missed = (step, metric) => {
      const rows = step.unseen.filter((row) => row.metric === metric);
      return rows.length ? mean(rows.map((row) => Math.abs(row.error_percent))) : null;
    };
    if (!steps.length)
      return card("How wrong?", el("p", {}, "Every run was fitted: nothing here says what to expect of a run that was not."));
    const last = steps.at(-1);
    return card(
      "How wrong?",
      el(
        "p",
        {},
        `Runs that were not used are missed on average, knowing ${last.step}: E2E by ${percent(missed(last, "e2e_mean_ms"))} %, TTFT by ${percent(missed(last, "ttft_mean_ms"))} %.`,
      ),
      table(
        [
          words("knowing", (step) => step.step),
          number("predicted runs", (step) => unique(step.unseen.map((row) => row.experiment)).length),
          number("E2E, mean |error| %", (step) => missed(step, "e2e_mean_ms"), percent),
          number("TTFT, mean |error| %", (step) => missed(step, "ttft_mean_ms"), percent),
          words(
            "measurements in their 90 % interval",
            (step) => `${step.unseen_in_interval.inside} of ${step.unseen_in_interval.measurements}`,
          ),
        ],
        steps,
      ),
    );
  };

  const howWrong = () => {
    if (isOnboarding) return howWrongNewGpu();
    const now = overallOf(evaluation);
    const heldOut = heldOutOverall();
    const before = beforeRows();
    const known = metrics.filter((metric) => now[metric]);
    if (!known.length)
      return card("How wrong?", el("p", {}, "This run holds no evaluation of predictions against measurements."));
    const isFitted = ["fit", "improve"].includes(run.manifest.command);
    const columns = [words("mean absolute error, %", (metric) => metricTitles[metric])];
    if (heldOut) columns.push(number("held out", (metric) => heldOut[metric]?.mean_ape_percent, percent));
    if (!isHeldOut) {
      if (before) columns.push(number("before", (metric) => before.overall[metric]?.mean_ape_percent, percent));
      columns.push(number(before ? "after" : isFitted ? "fitted" : "now", (metric) => now[metric]?.mean_ape_percent, percent));
    }
    const noise = data.noise || {};
    if (data.noise) {
      columns.push(number("two runs of one server", (metric) => noise[metric]?.two_runs_percent, percent));
      columns.push(number("other arrivals", (metric) => noise[metric]?.other_arrivals_percent, percent));
    }
    const runs = (source) => plural(source[known[0]]?.experiments ?? 0, "run");
    const sentences = [];
    if (heldOut)
      sentences.push(
        `Runs held out of the fit (${runs(heldOut)}, each predicted by a fit without its group) are missed on average: ${phrase(heldOut)}. That is the error to expect on a new run.`,
      );
    else if (isFitted)
      sentences.push("No held-out error is in this report: what follows is of runs that the fit has seen, and flatters.");
    if (!isHeldOut)
      sentences.push(`${isFitted ? "Runs that it was fitted to" : "The runs"} (${runs(now)}) are missed by: ${phrase(now)}.`);
    const elsewhere = known.map((metric) => noise[metric]?.elsewhere).find(Boolean);
    if (data.noise)
      sentences.push(
        `Errors below the noise beside them say nothing: what two runs of one server differ by (median${elsewhere ? `; elsewhere: ${elsewhere}` : ""}), and one standard deviation of what a run's length leaves open.`,
      );
    return card("How wrong?", ...sentences.map((sentence) => el("p", {}, sentence)), table(columns, known));
  };

  const weakest = (groups) => {
    const sorted = [...groups].sort((a, b) => b.size - a.size).slice(0, 3);
    const names = sorted.map((group) => `${kindName(group.kind)} ${modelName(group.name)} (${percent(group.size)} %)`);
    return names.length ? el("p", {}, `Weakest groups: ${names.join(", ")}.`) : null;
  };
  const whereOfFolds = () => {
    const rows = heldOutGroups.filter((group) => group.kind === "run");
    const sizes = new Map();
    for (const { kind, name, errors } of heldOutGroups.filter((group) => !["all", "run"].includes(group.kind))) {
      const known = sizes.get(`${kind} ${name}`);
      sizes.set(`${kind} ${name}`, { kind, name, size: Math.max(known ? known.size : 0, errors.mean_ape_percent) });
    }
    const beyond = rows.filter((row) => row.errors.mean_ape_percent > 10).length;
    return card(
      "Where?",
      el("p", {}, `${beyond} of ${rows.length} held-out means are predicted more than 10 % off. The largest held-out errors:`),
      table(
        [
          words("run", (row) => shortLabel(row.name)),
          words("metric", (row) => metricTitles[row.metric]),
          { ...number("|error| %", (row) => row.errors.mean_ape_percent, percent), tone: errorTone },
        ],
        [...rows].sort((a, b) => b.errors.mean_ape_percent - a.errors.mean_ape_percent).slice(0, 5),
      ),
      weakest(sizes.values()),
    );
  };

  const where = () => {
    if (!held && heldOutGroups.some((group) => group.kind === "run")) return whereOfFolds();
    const judged = held ?? evaluation;
    const rows = summaryRows(judged.rows).filter((row) => means.includes(row.metric));
    const worst = [...rows].sort((a, b) => b.ape_percent - a.ape_percent).slice(0, 5);
    if (!worst.length) return card("Where?", el("p", {}, "Nothing is measured."));
    const size = (errors) => Math.max(...means.map((metric) => errors[metric]?.mean_ape_percent ?? 0));
    const groups = Object.entries(judged.by || {}).flatMap(([kind, members]) =>
      Object.entries(members).map(([name, errors]) => ({ kind, name, size: size(errors) })),
    );
    const beyond = rows.filter((row) => row.ape_percent > 10).length;
    return card(
      "Where?",
      el(
        "p",
        {},
        `${beyond} of ${rows.length} ${held ? "held-out " : ""}means are predicted more than 10 % off. The largest ${held ? "held-out " : ""}errors:`,
      ),
      table(
        [
          words("run", (row) => shortLabel(row.experiment)),
          words("metric", (row) => metricTitles[row.metric]),
          { ...number("error %", (row) => row.error_percent, signed), tone: errorTone },
        ],
        worst,
      ),
      weakest(groups.filter((group) => group.size > 0)),
    );
  };

  // One sentence a verdict; the names are a click away.
  const plainVerdicts = {
    "mostly its prior": "mostly what was expected before the fit: the data say little about them",
    "weakly identified": "known to no better than half their value",
  };
  const verdicts = (parameters) => {
    const byVerdict = new Map();
    for (const parameter of parameters) {
      const verdict = verdictOf(parameter);
      byVerdict.set(verdict, [...(byVerdict.get(verdict) || []), parameter.parameter]);
    }
    const determined = byVerdict.get("") || [];
    byVerdict.delete("");
    return [
      folded(
        `${determined.length} of ${plural(parameters.length, "fitted parameter")} are determined by the data.`,
        list(determined),
      ),
      ...[...byVerdict]
        .sort((a, b) => b[1].length - a[1].length)
        .map(([verdict, names]) =>
          folded(`${names.length} ${names.length === 1 ? "is" : "are"} ${plainVerdicts[verdict] ?? verdict}.`, list(names)),
        ),
    ];
  };

  const howSure = () => {
    const findings = [];
    if (Array.isArray(result.parameters) && result.parameters.length) findings.push(...verdicts(result.parameters));
    const reasons = result.unidentified || [];
    if (reasons.length)
      findings.push(
        folded(
          `Why: ${plural(reasons.length, "property", "properties")} of the data that would have to vary more.`,
          list(reasons),
        ),
      );
    const inside = data.intervals
      .filter((one) => one.stage === "summary" && one.metric === "e2e_mean_ms")
      .map((one) => (50 * (one.upper - one.lower)) / one.predicted);
    if (inside.length)
      findings.push(
        `${Math.round(100 * data.interval_level)} % of measured E2E means should lie within ±${percent(mean(inside))} % of the prediction (mean over the runs)${data.intervals.some((one) => one.structural_deviation !== null) ? "" : ", as far as parameters and arrivals go: the model's own error is not in it"}.`,
      );
    for (const failure of result.failures || []) findings.push(failure);
    for (const noise of (crossval && crossval.result && crossval.result.seed_noise) || []) {
      if (noise.metric === "e2e_mean_ms")
        findings.push(
          `Another seed moves the held-out E2E error of ${noise.fold} by ${percent(noise.held_out_deviation_percent)} percentage points (standard deviation).`,
        );
    }
    if (!held && !isOnboarding && !heldOutGroups.length)
      findings.push("Without cross-validation nothing here says how well it carries over to other runs.");
    if (run.manifest.limited_by_time)
      findings.push("A limit in seconds ended part of it: another machine may reach another result.");
    findings.push(`Each prediction is the mean of ${plural(evaluation.replicates ?? run.manifest.replicates, "simulation")}.`);
    return card("How sure?", list(findings));
  };

  const whatNext = () => {
    const steps = [];
    const advice = isOnboarding ? result.steps.at(-1).next_runs[0] : null;
    if (advice)
      steps.push(
        `Measure ${advice.model} at TP ${advice.tp}, ${significant(advice.rate_per_s)} requests/s, ${advice.prompt_tokens} prompt and ${advice.output_tokens} output tokens (${significant(advice.gpu_minutes)} GPU-minutes): predictions would then be known to ±${percent(100 * advice.deviation_after)} %.`,
      );
    for (const next of result.recommendations || [])
      steps.push(typeof next === "string" ? next : next.text || JSON.stringify(next));
    if (!held && run.manifest.command === "fit")
      steps.push("Measure how it carries over: rooftune crossval on the same study, then rooftune report with --crossval.");
    const parameters = Array.isArray(result.parameters) ? result.parameters : [];
    const named = (word) => parameters.filter((parameter) => verdictOf(parameter).includes(word)).map((one) => one.parameter);
    if (named("identified").length)
      steps.push(`Measure runs that tell ${named("identified").join(", ")} apart, or fix them at known values.`);
    if (named("bound").length)
      steps.push(`Question the bounds, or the model, where ${named("bound").join(", ")} ended at a bound.`);
    // What only one group has is extrapolated when that group is left out, however many runs the group has.
    const folds = (crossval && crossval.result && crossval.result.folds) || [];
    for (const fold of folds.filter((one) => (one.lost_coverage || []).length)) {
      const runs = Object.values(fold.held_out || {})[0]?.experiments;
      steps.push(
        `${fold.fold}${runs ? ` (${plural(runs, "run")})` : ""} has ${fold.lost_coverage.join(", ")}: left out, these are extrapolated. Measure another of the kind.`,
      );
    }
    const worst = summaryRows((held ?? evaluation).rows)
      .filter((row) => row.metric === "e2e_mean_ms")
      .sort((a, b) => b.ape_percent - a.ape_percent)[0];
    if (worst && worst.ape_percent > 10)
      steps.push(
        `Look at ${label(worst.experiment)} on the pages Load and Errors: its ${held ? "held-out " : ""}E2E is off by ${signed(worst.error_percent)} %.`,
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
        held
          ? "Ours are held-out errors."
          : "Ours are errors of this run: where it was fitted to these experiments, they flatter beside predictions.",
      ),
      el(
        "div",
        { class: "grid" },
        ...["e2e_mean_ms", "ttft_mean_ms"]
          .filter((metric) => rowsOf(metric).length)
          .map((metric) => figure(`Peers: ${metricTitles[metric]}`, "", specOf(metric), table(columns, rowsOf(metric)))),
      ),
    );
  };

  return {
    id: "summary",
    title: "Summary",
    question: "How wrong is it, where, how sure, what next?",
    available: () => !data.live && (evaluation.rows.length > 0 || Array.isArray(result.parameters)),
    fill(section) {
      section.append(el("div", { class: "cards" }, howWrong(), where(), howSure(), whatNext()));
      const groups = peerGroups();
      if (groups.length) section.append(peerFigure(groups));
      if (evaluation.warnings.length)
        section.append(
          folded(`${plural(evaluation.warnings.length, "warning")} about data and predictions`, list(evaluation.warnings)),
        );
    },
  };
};
