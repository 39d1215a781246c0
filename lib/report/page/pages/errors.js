reportPages.errors = (kit) => {
  const {
    data,
    evaluation,
    isHeldOut,
    metricTitles,
    means,
    percent,
    modelName,
    shortLabel,
    unique,
    summaryRows,
    el,
    table,
    words,
    number,
    errorTone,
    figure,
    errorColumns,
    rowTip,
    heldOutEvaluation,
  } = kit;

  const errorMap = (rows, title, caption) => {
    const summaries = summaryRows(rows);
    const experiments = unique(summaries.map((row) => row.experiment));
    const present = Object.keys(metricTitles).filter((metric) => summaries.some((row) => row.metric === metric));
    const spec = (colours) =>
      plots.heatMap(colours, {
        rows: experiments.map(shortLabel),
        columns: present.map((metric) => metricTitles[metric]),
        limit: 30,
        format: "+.1f",
        legendTitle: "error, % (predicted − measured)",
        cells: summaries.map((row) => ({
          row: shortLabel(row.experiment),
          column: metricTitles[row.metric],
          value: row.error_percent,
          tip: rowTip(row),
        })),
      });
    return figure(title, caption, spec, table(errorColumns, summaries));
  };

  return {
    id: "errors",
    title: "Errors",
    question: "Where is it wrong: which run, which metric?",
    available: () => evaluation.rows.length > 0,
    fill(section) {
      section.append(
        errorMap(
          evaluation.rows,
          isHeldOut ? "Held-out error by run and metric" : "Error by run and metric",
          "Signed error of each run's whole load; blue: predicted too fast, orange: too slow. Colours end at 30 %.",
        ),
      );
      if (!isHeldOut && heldOutEvaluation)
        section.append(
          errorMap(
            heldOutEvaluation.rows,
            "Held out: error by run and metric",
            `Each run predicted by a fit that had not seen its group (${data.crossval.folder}).`,
          ),
        );
      for (const [field, members] of Object.entries(evaluation.by || {})) {
        const rows = Object.entries(members).map(([name, errors]) => ({ name: modelName(name), errors }));
        if (!rows.length || rows.every((row) => !means.some((metric) => row.errors[metric]))) continue;
        section.append(
          el("h3", {}, `By ${field}`),
          table(
            [
              words(field, (row) => row.name),
              number("runs", (row) => Object.values(row.errors)[0]?.experiments),
              ...means.map((metric) => ({
                ...number(
                  `${metricTitles[metric].replace(" mean", "")} mean |error| %`,
                  (row) => row.errors[metric]?.mean_ape_percent,
                  percent,
                ),
                tone: errorTone,
              })),
            ],
            rows,
          ),
        );
      }
    },
  };
};
