reportPages.compare = (kit) => {
  const { result, metricTitles, percent, plural, table, words, number, figure } = kit;

  return {
    id: "compare",
    title: "Comparison",
    question: "Which model, and which correction, is worth its parameters?",
    available: () => Array.isArray(result.variants),
    fill(section) {
      const lists = [
        ["Variants", result.variants],
        ...(result.one_by_one ? [[`${result.one_by_one.from} with one correction taken back`, result.one_by_one.reverted]] : []),
      ];
      for (const [title, variants] of lists) {
        for (const metric of ["e2e_mean_ms", "ttft_mean_ms"]) {
          const good = variants.filter((variant) => variant.training?.[metric]);
          if (!good.length) continue;
          const spec = (colours) =>
            plots.dotRange(colours, {
              labels: good.map((variant) => variant.name),
              x: { title: `mean absolute error of ${metricTitles[metric] ?? metric}, % (logarithmic)`, log: true },
              dots: good.flatMap((variant) =>
                [
                  ["training", variant.training],
                  ["held out", variant.held_out],
                ]
                  .filter(([, errors]) => errors?.[metric])
                  .map(([kind, errors]) => ({
                    label: variant.name,
                    x: errors[metric].mean_ape_percent,
                    kind,
                    tip: [
                      variant.name,
                      `${kind}: ${percent(errors[metric].mean_ape_percent)} %`,
                      plural(variant.free_parameters, "free parameter"),
                    ],
                  })),
              ),
              legend: [
                { name: "training", style: 0 },
                { name: "held out", style: 1 },
              ],
            });
          section.append(
            figure(
              `${title}: ${metricTitles[metric] ?? metric}`,
              "",
              spec,
              table(
                [
                  words("variant", (v) => v.name),
                  words("step-time model", (v) => v.step_time_model),
                  number("free parameters", (v) => v.free_parameters),
                  number("evaluations", (v) => v.evaluations),
                  number("training %", (v) => v.training?.[metric]?.mean_ape_percent, percent),
                  number("held out %", (v) => v.held_out?.[metric]?.mean_ape_percent, percent),
                  words("", (v) => v.failure || v.no_held_out || ""),
                ],
                variants,
              ),
            ),
          );
        }
      }
    },
  };
};
