reportPages.crossval = (kit) => {
  const { isHeldOut, crossval, metricTitles, means, percent, plural, el, table, words, number, folded, onScreenOnly, figure } =
    kit;

  return {
    id: "crossval",
    title: "Cross-validation",
    question: "How well does it predict what the fit has not seen?",
    available: () => Boolean(crossval && crossval.result && Array.isArray(crossval.result.folds) && crossval.result.folds.length),
    fill(section) {
      const folds = crossval.result.folds;
      if (!isHeldOut) section.append(el("p", { class: "note" }, `From ${crossval.folder}.`));
      const pooled = crossval.result.held_out || {};
      section.append(
        el(
          "p",
          {},
          `All held-out runs together: ${means
            .filter((metric) => pooled[metric])
            .map((metric) => `${metricTitles[metric]} ${percent(pooled[metric].mean_ape_percent)} %`)
            .join(", ")}.`,
        ),
        el("p", { class: "note" }, "A long bar: what was left out is unlike the rest."),
      );
      const shown = ["e2e_mean_ms", "ttft_mean_ms", "tpot_mean_ms"].filter((metric) =>
        folds.some((fold) => fold.held_out?.[metric]),
      );
      for (const metric of shown) {
        const good = folds.filter((fold) => fold.held_out?.[metric] && fold.training?.[metric]);
        const name = (fold) => `${fold.fold} (${plural(fold.held_out[metric].experiments, "run")})`;
        const spec = (colours) =>
          plots.dotRange(colours, {
            labels: good.map(name),
            x: { title: `mean absolute error of ${metricTitles[metric]}, %` },
            ranges: good.map((fold) => ({
              label: name(fold),
              low: Math.min(fold.training[metric].mean_ape_percent, fold.held_out[metric].mean_ape_percent),
              high: Math.max(fold.training[metric].mean_ape_percent, fold.held_out[metric].mean_ape_percent),
            })),
            dots: good.flatMap((fold) =>
              [
                ["training", 0],
                ["held out", 1],
              ].map(([kind]) => {
                const value = (kind === "training" ? fold.training : fold.held_out)[metric].mean_ape_percent;
                return { label: name(fold), x: value, kind, tip: [name(fold), `${kind}: ${percent(value)} %`] };
              }),
            ),
            legend: [
              { name: "training", style: 0 },
              { name: "held out", style: 1 },
            ],
          });
        const drawnAs = shown.length > 2 && metric === shown[2] ? onScreenOnly : (node) => node;
        section.append(
          drawnAs(
            figure(
              `Folds: ${metricTitles[metric]}`,
              "",
              spec,
              table(
                [
                  words("left out", (f) => f.fold),
                  number("training %", (f) => f.training?.[metric]?.mean_ape_percent, percent),
                  number("held out %", (f) => f.held_out?.[metric]?.mean_ape_percent, percent),
                  words("only in the part left out", (f) => (f.lost_coverage || []).join(", ")),
                ],
                folds,
              ),
            ),
          ),
        );
      }
      const names = Object.keys(folds[0].parameters || {});
      if (names.length)
        section.append(
          folded(
            "Parameters of every fold",
            table(
              [words("parameter", (name) => name), ...folds.map((fold) => number(fold.fold, (name) => fold.parameters[name]))],
              names,
            ),
          ),
        );
    },
  };
};
