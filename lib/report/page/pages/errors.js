reportPages.errors = (kit) => {
  const {
    data,
    evaluation,
    isHeldOut,
    metricTitles,
    means,
    percent,
    modelName,
    kindName,
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
    // On a phone whole names would leave no room for what is said of them.
    const nameOf = (colours) => (colours.room < 560 ? (experiment) => experiment : shortLabel);
    const spec = (colours) =>
      plots.heatMap(colours, {
        rows: experiments.map(nameOf(colours)),
        columns: present.map((metric) => metricTitles[metric]),
        limit: 30,
        format: "+.1f",
        legendTitle: "error, % (predicted − measured)",
        cells: summaries.map((row) => ({
          row: nameOf(colours)(row.experiment),
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
      const ofFit = !isHeldOut && heldOutEvaluation;
      if (ofFit)
        section.append(
          errorMap(
            heldOutEvaluation.rows,
            "Held out: error by run and metric",
            `Each run predicted by a fit that had not seen its group (${data.crossval.folder}). Signed error of each run's whole load; blue: predicted too fast, orange: too slow. Colours end at 30 %.`,
          ),
        );
      section.append(
        errorMap(
          evaluation.rows,
          isHeldOut ? "Held-out error by run and metric" : ofFit ? "Fitted: error by run and metric" : "Error by run and metric",
          ofFit
            ? "The same runs by the fit that has seen them."
            : "Signed error of each run's whole load; blue: predicted too fast, orange: too slow. Colours end at 30 %.",
        ),
      );
      const columnOf = (metric, of, which) => ({
        ...number(
          `${metricTitles[metric].replace(" mean", "")}${which} %`,
          (row) => of(row)?.[metric]?.mean_ape_percent,
          percent,
        ),
        tone: errorTone,
      });
      const groups = Object.entries(evaluation.by || {}).flatMap(([field, members]) =>
        Object.entries(members)
          .filter(([, errors]) => means.some((metric) => errors[metric]))
          .map(([name, errors]) => ({
            kind: kindName(field),
            name: modelName(name),
            errors,
            heldOut: ofFit ? heldOutEvaluation.by?.[field]?.[name] : undefined,
          })),
      );
      if (groups.length)
        section.append(
          el("h3", {}, "Mean absolute error by group"),
          table(
            [
              words("by", (row) => row.kind),
              words("group", (row) => row.name),
              number("runs", (row) => Object.values(row.errors)[0]?.experiments),
              ...means.flatMap((metric) =>
                ofFit
                  ? [columnOf(metric, (row) => row.heldOut, " held out"), columnOf(metric, (row) => row.errors, " fitted")]
                  : [columnOf(metric, (row) => row.errors, "")],
              ),
            ],
            groups,
          ),
        );
    },
  };
};
