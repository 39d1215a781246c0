reportPages.load = (kit) => {
  const { data, metricTitles, isNumber, significant, label, el, table, words, number, figure } = kit;

  return {
    id: "load",
    title: "Load",
    question: "How does latency grow with load, and does the simulated curve run through the measured points?",
    available: () => data.load_curves.length > 0,
    fill(section) {
      const percentLevel = Math.round(100 * data.interval_level);
      section.append(
        el(
          "p",
          { class: "note" },
          "Curves: the config of this run, simulated at other loads with the stage's duration and the stages before it. Points: measured stages.",
        ),
      );
      if (data.intervals.length)
        section.append(
          el(
            "p",
            { class: "note" },
            `Shaded along the curves, and as bars at the measured stages: where ${percentLevel} % of such measurements should fall${data.intervals.some((one) => one.structural_deviation !== null) ? "" : " as far as parameters and arrivals go: the error of the model's structure is not known for this config, so they are too narrow (rooftune fit --held-out adds it)"}.`,
          ),
        );
      // A run of one stage has its interval on the summary.
      const intervalsOf = (curve, metric) => {
        const own = data.intervals.filter((one) => one.experiment === curve.experiment && one.metric === metric);
        const stages = own.filter((one) => one.stage !== "summary");
        return (stages.length ? stages : curve.measured.length === 1 ? own : [])
          .map((one) => ({
            ...one,
            load: curve.measured.find((point) => stages.length === 0 || point.stage === one.stage)?.load,
          }))
          .filter((one) => isNumber(one.load));
      };
      // Intervals may span decades where the engine saturates: the axis follows curve and points, and a factor of two around them.
      const yDomain = (logarithmic, values, ranges) => {
        const low = Math.min(...values),
          high = Math.max(...values);
        const all = [...values, ...ranges.flatMap((range) => [Math.max(range.low, low / 2), Math.min(range.high, high * 2)])];
        return logarithmic ? [Math.min(...all) / 1.1, Math.max(...all) * 1.1] : [0, Math.max(...all) * 1.05];
      };
      const grid = el("div", { class: "grid" });
      section.append(grid);
      for (const curve of data.load_curves) {
        const unit = curve.unit === "clients" ? "clients" : "requests/s";
        const shown = ["ttft_mean_ms", "e2e_mean_ms", "tpot_mean_ms"];
        const spec = (colours) =>
          plots.panels(
            colours,
            shown.map((metric) => {
              const line = curve.simulated
                .filter((point) => isNumber(point.latencies[metric]))
                .map((point) => ({ x: point.load, y: point.latencies[metric] }));
              const points = curve.measured
                .filter((point) => isNumber(point.latencies[metric]))
                .map((point) => ({
                  x: point.load,
                  y: point.latencies[metric],
                  tip: [
                    label(curve.experiment),
                    `stage ${point.stage} at ${significant(point.load)} ${unit}`,
                    `measured ${metricTitles[metric]} ${significant(point.latencies[metric])} ms`,
                  ],
                }));
              const band = curve.simulated.flatMap((point) =>
                (point.intervals || [])
                  .filter((one) => one.metric === metric)
                  .map((one) => ({ x: point.load, low: one.lower, high: one.upper, y: one.predicted })),
              );
              const layers = band.length
                ? [
                    {
                      kind: "band",
                      points: band.map(({ x, low, high }) => ({ x, low, high })),
                      colour: plots.colourOf(colours, 0),
                    },
                  ]
                : [];
              const bars = intervalsOf(curve, metric).map((one) => ({
                x: one.load,
                low: one.lower,
                high: one.upper,
                tip: [
                  label(curve.experiment),
                  `${percentLevel} % interval: ${significant(one.lower)} to ${significant(one.upper)} ms`,
                ],
              }));
              layers.push({ kind: "line", points: line, style: 0 });
              if (bars.length)
                layers.push({ kind: "rule", points: bars, thickness: 5, opacity: 0.45, colour: plots.colourOf(colours, 0) });
              layers.push({ kind: "symbol", points: points, style: 1, size: 80 });
              return plots.xyPanel(colours, {
                title: metricTitles[metric],
                width: plots.fit(colours, 3, { min: 130, max: 300 }).width,
                height: 170,
                x: { title: unit, log: true, ticks: 4 },
                y: {
                  title: "ms",
                  log: metric !== "tpot_mean_ms",
                  ticks: 4,
                  domain: yDomain(
                    metric !== "tpot_mean_ms",
                    [...line, ...points].map((point) => point.y),
                    [...bars, ...band],
                  ),
                },
                layers,
              });
            }),
            {
              columns: plots.fit(colours, 3, { min: 130, max: 300 }).columns,
              legend: [
                {
                  name: data.intervals.length ? `simulated, with ${percentLevel} % interval` : "simulated",
                  style: 0,
                  line: true,
                },
                { name: "measured", style: 1 },
              ],
            },
          );
        const rows = [
          ...curve.simulated.map((point) => ({ ...point, kind: "simulated" })),
          ...curve.measured.map((point) => ({ ...point, kind: "measured" })),
        ];
        const columns = [
          words("", (row) => row.kind),
          number(unit, (row) => row.load),
          number("like stage", (row) => row.stage),
          ...Object.keys(metricTitles).map((metric) => number(`${metricTitles[metric]} ms`, (row) => row.latencies[metric])),
        ];
        const intervals = shown.flatMap((metric) => intervalsOf(curve, metric));
        const intervalTable = table(
          [
            words("metric", (one) => metricTitles[one.metric]),
            number(unit, (one) => one.load),
            number("predicted ms", (one) => one.predicted),
            number("from ms", (one) => one.lower),
            number("to ms", (one) => one.upper),
          ],
          intervals,
          `${percentLevel} % intervals`,
        );
        grid.append(
          figure(label(curve.experiment), "", spec, el("div", {}, table(columns, rows), intervals.length ? intervalTable : null)),
        );
      }
    },
  };
};
