reportPages.overlay = (kit) => {
  const { data, metricTitles, isNumber, significant, percent, unique, mean, summaryRows, el, table, words, number, figure } = kit;

  // The runs in the order in which they were named, each with a short name of its own.
  const runs = [data.run, ...(data.others || [])].filter((run) => run.evaluation);
  const folders = runs.map((run) => String(run.folder).replace(/\/+$/, "").split("/"));
  const nameOf = (index) => {
    for (let parts = 1; ; ++parts) {
      const name = folders[index].slice(-parts).join("/");
      if (folders.every((other, i) => i === index || other.slice(-parts).join("/") !== name)) return name;
      if (parts >= folders[index].length) return `${index + 1}: ${name}`;
    }
  };
  const names = runs.map((_, index) => nameOf(index));
  const kindOf = (run) => (run.manifest.command === "crossval" ? "held out" : run.manifest.command);
  const shown = ["e2e_mean_ms", "ttft_mean_ms", "tpot_mean_ms"].filter((metric) =>
    runs.some((run) => run.evaluation.overall?.[metric]),
  );

  const errorOf = (run, metric) => run.evaluation.overall?.[metric]?.mean_ape_percent;

  // What runs over time, or variants, come to: one point a run and metric.
  const overTime = () => {
    const spec = (colours) =>
      plots.panels(
        colours,
        [
          plots.xyPanel(colours, {
            width: plots.fit(colours, 1, { max: 760 }).width,
            height: 240,
            x: {
              title: "runs, in the order in which they were named",
              domain: [0.5, runs.length + 0.5],
              format: "d",
              ticks: runs.length,
            },
            y: { title: "mean |error|, %" },
            layers: shown.flatMap((metric, style) => {
              const points = runs
                .map((run, index) => ({
                  x: index + 1,
                  y: errorOf(run, metric),
                  tip: [names[index], kindOf(run), `${metricTitles[metric]}: ${percent(errorOf(run, metric))} %`],
                }))
                .filter((point) => isNumber(point.y));
              return [
                { kind: "line", style, points },
                { kind: "symbol", style, points },
              ];
            }),
          }),
        ],
        { columns: 1, legend: shown.map((metric, style) => ({ name: metricTitles[metric], style })) },
      );
    const rows = runs.map((run, index) => ({ run, name: `${index + 1}: ${names[index]}` }));
    return figure(
      "Errors of the runs",
      "Means over each run's own experiments: compare runs of the same data.",
      spec,
      table(
        [
          words("run", (row) => row.name),
          words("errors are", (row) => kindOf(row.run)),
          number("runs", (row) => row.run.evaluation.overall?.[shown[0]]?.experiments),
          ...shown.map((metric) => number(`${metricTitles[metric]} %`, (row) => errorOf(row.run, metric), percent)),
        ],
        rows,
      ),
    );
  };

  const hardwareOf = (run, experiment) => run.cases.find((item) => item.experiment === experiment)?.hardware ?? "unknown";
  const byGpu = (metric) => {
    const rows = runs.flatMap((run, index) => {
      const own = summaryRows(run.evaluation.rows).filter((row) => row.metric === metric);
      return unique(own.map((row) => hardwareOf(run, row.experiment))).map((gpu) => {
        const errors = own.filter((row) => hardwareOf(run, row.experiment) === gpu).map((row) => row.ape_percent);
        return { gpu, name: names[index], error: mean(errors), experiments: errors.length };
      });
    });
    const spec = (colours) =>
      plots.dotRange(colours, {
        labels: unique(rows.map((row) => row.gpu)),
        x: { title: `mean |error| of ${metricTitles[metric]}, %` },
        dots: rows.map((row) => ({
          label: row.gpu,
          x: row.error,
          kind: row.name,
          tip: [row.name, row.gpu, `${percent(row.error)} % over ${row.experiments}`],
        })),
        legend: names.map((name, style) => ({ name, style })),
      });
    return figure(
      `GPUs side by side: ${metricTitles[metric]}`,
      "",
      spec,
      table(
        [
          words("GPU", (row) => row.gpu),
          words("run", (row) => row.name),
          number("experiments", (row) => row.experiments),
          number("mean |error| %", (row) => row.error, percent),
        ],
        rows,
      ),
    );
  };

  const parametersOf = (run) => (Array.isArray(run.result?.parameters) ? run.result.parameters : []);
  const fitted = runs
    .map((run, index) => ({ run, name: names[index], style: index }))
    .filter(({ run }) => parametersOf(run).length);
  const parameters = () => {
    const first = new Map(parametersOf(fitted[0].run).map((one) => [one.parameter, one.value]));
    const rows = fitted.flatMap(({ run, name }) => parametersOf(run).map((one) => ({ name, ...one })));
    const common = rows.filter((row) => first.get(row.parameter) > 0 && row.value > 0);
    const spec = (colours) =>
      plots.dotRange(colours, {
        labels: unique(common.map((row) => row.parameter)),
        reference: 1,
        x: { title: `value relative to ${fitted[0].name}`, log: true },
        dots: common.map((row) => ({
          label: row.parameter,
          x: row.value / first.get(row.parameter),
          kind: row.name,
          tip: [row.name, row.parameter, `${significant(row.value)} ${row.unit}`],
        })),
        legend: fitted.map(({ name, style }) => ({ name, style })),
      });
    return figure(
      "Fitted values side by side",
      "",
      spec,
      table(
        [
          words("parameter", (row) => row.parameter),
          words("run", (row) => row.name),
          words("unit", (row) => row.unit),
          number("value", (row) => row.value),
          number("standard error", (row) => row.standard_error),
          words("verdict", (row) => row.verdict || "determined"),
        ],
        rows,
      ),
    );
  };

  return {
    id: "overlay",
    title: "Runs compared",
    question: "How do these runs differ: in error, by GPU, in their parameters?",
    available: () => (data.others || []).length > 0 && runs.length > 1,
    fill(section) {
      const figures = [overTime(), ...shown.slice(0, 2).map(byGpu)];
      if (fitted.length > 1) figures.push(parameters());
      section.append(el("div", { class: "grid" }, ...figures));
    },
  };
};
