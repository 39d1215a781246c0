reportPages.predicted = (kit) => {
  const {
    data,
    evaluation,
    cases,
    metricTitles,
    metrics,
    significant,
    modelName,
    label,
    unique,
    el,
    table,
    figure,
    errorColumns,
    rowTip,
  } = kit;

  const familyStyle = (() => {
    const models = unique(evaluation.rows.map((row) => modelName(cases.get(row.experiment)?.model ?? "unknown")));
    return { models, of: (experiment) => models.indexOf(modelName(cases.get(experiment)?.model ?? "unknown")) };
  })();

  return {
    id: "predicted",
    title: "Predicted",
    question: "Predicted against measured: is any kind of run off to one side?",
    available: () => evaluation.rows.length > 0,
    fill(section) {
      const grid = el("div", { class: "grid narrow" });
      section.append(
        el(
          "p",
          { class: "note" },
          `Dashed: predicted = measured; shaded: within 10 %. Filled: whole runs; small and hollow: their stages.${data.intervals.length ? ` Bars: where ${Math.round(100 * data.interval_level)} % of such measurements should fall.` : ""}`,
        ),
      );
      for (const metric of metrics) {
        const rows = evaluation.rows.filter((row) => row.metric === metric && row.measured > 0 && row.predicted > 0);
        const spec = (colours) => {
          const all = rows.flatMap((row) => [row.measured, row.predicted]);
          const domain = [Math.min(...all) / 1.25, Math.max(...all) * 1.25];
          const edge = domain.map((value) => ({ x: value, y: value, low: value * 0.9, high: value * 1.1 }));
          const layers = [
            { kind: "band", points: edge, colour: colours.band },
            { kind: "line", points: edge, colour: colours.faint, thickness: 1, dash: [4, 3] },
          ];
          familyStyle.models.forEach((model, style) => {
            for (const summary of [false, true]) {
              const points = rows
                .filter((row) => familyStyle.of(row.experiment) === style && (row.stage === "summary") === summary)
                .map((row) => ({ x: row.measured, y: row.predicted, tip: rowTip(row) }));
              if (points.length) layers.push({ kind: "symbol", points, style, size: summary ? 75 : 28, hollow: !summary });
            }
          });
          const bars = data.intervals
            .filter((one) => one.metric === metric && one.stage === "summary")
            .map((one) => ({ one, row: rows.find((row) => row.stage === "summary" && row.experiment === one.experiment) }))
            .filter(({ row }) => row)
            .map(({ one, row }) => ({
              x: row.measured,
              low: one.lower,
              high: one.upper,
              tip: [
                label(row.experiment),
                `${Math.round(100 * data.interval_level)} % interval: ${significant(one.lower)} to ${significant(one.upper)} ms`,
              ],
            }));
          if (bars.length) layers.push({ kind: "rule", points: bars, thickness: 2, opacity: 0.6, colour: colours.faint });
          const panel = plots.xyPanel(colours, {
            width: plots.fit(colours, 1, { max: 460 }).width,
            height: 290,
            x: { title: "measured, ms", log: true, domain, ticks: 4 },
            y: { title: "predicted, ms", log: true, domain, ticks: 4 },
            layers,
          });
          return plots.panels(colours, [panel], {
            columns: 1,
            legendColumns: 2,
            legend: familyStyle.models.map((name, style) => ({ name, style })),
          });
        };
        grid.append(figure(metricTitles[metric], "", spec, table(errorColumns, rows)));
      }
      section.append(grid);
    },
  };
};
