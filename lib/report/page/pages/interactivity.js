reportPages.interactivity = (kit) => {
  const { data, significant, signed, el, table, words, number, figure } = kit;

  const perGpu = (pace) => pace.output_tokens_per_s_per_gpu;
  const perUser = (pace) => pace.output_tokens_per_s_per_user;
  const error = (point, of) => 100 * (of(point.predicted) / of(point.measured) - 1);
  // Sweeps of one model on one GPU share a plot: TP degrees and lengths are what a reader compares there.
  const groups = new Map();
  for (const curve of data.interactivity || []) {
    const title = `${curve.model} on ${curve.gpu}`;
    groups.set(title, [...(groups.get(title) || []), curve]);
  }

  const groupFigure = (title, curves) => {
    const spec = (colours) =>
      plots.panels(
        colours,
        [
          plots.xyPanel(colours, {
            width: plots.fit(colours, 1, { max: 640 }).width,
            height: 320,
            x: { title: "output tokens/s per user (1 / TPOT)", log: true },
            y: { title: "output tokens/s per GPU", log: true },
            layers: curves.flatMap((curve, index) => [
              {
                kind: "line",
                style: index,
                points: curve.points.map((point) => ({ x: perUser(point.predicted), y: perGpu(point.predicted) })),
              },
              {
                kind: "symbol",
                style: index,
                size: 70,
                points: curve.points.map((point) => ({
                  x: perUser(point.measured),
                  y: perGpu(point.measured),
                  tip: [
                    curve.sweep,
                    `${point.clients} clients`,
                    `measured ${significant(perGpu(point.measured))} per GPU, ${significant(perUser(point.measured))} per user`,
                    `predicted ${significant(perGpu(point.predicted))} and ${significant(perUser(point.predicted))}`,
                  ],
                })),
              },
            ]),
          }),
        ],
        { columns: 1, legend: curves.map((curve, index) => ({ name: curve.sweep, style: index })), legendColumns: 1 },
      );
    const rows = curves.flatMap((curve) => curve.points.map((point) => ({ ...point, sweep: curve.sweep, tp: curve.tp })));
    return figure(
      title,
      "Lines: predicted by the config of this run. Points: measured. Each is a number of clients; more of them lie further left.",
      spec,
      table(
        [
          words("sweep", (row) => row.sweep),
          number("TP", (row) => row.tp),
          number("clients", (row) => row.clients),
          number("tokens/s per GPU predicted", (row) => perGpu(row.predicted)),
          number("measured", (row) => perGpu(row.measured)),
          number("error %", (row) => error(row, perGpu), signed),
          number("tokens/s per user predicted", (row) => perUser(row.predicted)),
          number("measured", (row) => perUser(row.measured)),
          number("error %", (row) => error(row, perUser), signed),
        ],
        rows,
      ),
    );
  };

  return {
    id: "interactivity",
    title: "Interactivity",
    question: "How much does a GPU give where one user sees so many tokens per second?",
    available: () => groups.size > 0,
    fill(section) {
      section.append(
        el(
          "p",
          { class: "note" },
          "Per GPU: clients x mean output / mean E2E, a loop in its steady state; per user: 1 / mean TPOT. Both from the means, predicted and measured alike (where no E2E was published, TTFT and TPOT make it).",
        ),
        el("div", { class: "grid" }, ...[...groups].map(([title, curves]) => groupFigure(title, curves))),
      );
    },
  };
};
