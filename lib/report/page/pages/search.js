reportPages.search = (kit) => {
  const { result, isNumber, significant, percent, el, table, words, number, figure } = kit;

  const traceFigure = (trace) => {
    const hasHeldOut = trace.some((point) => point.held_out_error_percent);
    const line = (name, style, of) => [
      {
        kind: "line",
        style,
        points: trace.filter((point) => isNumber(of(point))).map((point) => ({ x: point.iteration, y: of(point) })),
      },
      {
        kind: "symbol",
        style,
        size: 30,
        points: trace
          .filter((point) => isNumber(of(point)))
          .map((point) => ({
            x: point.iteration,
            y: of(point),
            tip: [`iteration ${point.iteration}`, `${name}: ${significant(of(point))}`],
          })),
      },
    ];
    const training = (point) => point.error_percent?.all,
      heldOut = (point) => point.held_out_error_percent?.all;
    const spec = (colours) =>
      plots.panels(
        colours,
        [
          plots.xyPanel(colours, {
            title: "objective",
            width: plots.fit(colours, 2).width,
            height: 210,
            x: { title: "iteration" },
            y: { title: "objective", log: trace.every((point) => point.objective > 0) },
            layers: line("objective", 0, (point) => point.objective),
          }),
          plots.xyPanel(colours, {
            title: "mean absolute error of the compared rows, %",
            width: plots.fit(colours, 2).width,
            height: 210,
            x: { title: "iteration" },
            y: { title: "%" },
            layers: [...line("training error %", 0, training), ...(hasHeldOut ? line("held-out error %", 1, heldOut) : [])],
          }),
        ],
        {
          columns: plots.fit(colours, 2).columns,
          legend: hasHeldOut
            ? [
                { name: "training", style: 0 },
                { name: "held out", style: 1 },
              ]
            : [],
        },
      );
    return figure(
      "Convergence of the best start",
      hasHeldOut ? "Where the held-out error rises while training falls, the fit learns noise." : "",
      spec,
      table(
        [
          number("iteration", (p) => p.iteration),
          number("evaluations", (p) => p.evaluations),
          number("objective", (p) => p.objective),
          number("training error %", training, percent),
          number("held-out error %", heldOut, percent),
        ],
        trace,
      ),
    );
  };

  return {
    id: "search",
    title: "Search",
    question: "Did the search find the best point, and do other starts agree?",
    available: () => Array.isArray(result.starts) && result.starts.length > 0,
    fill(section) {
      const starts = [...result.starts].filter((start) => isNumber(start.objective)).sort((a, b) => a.objective - b.objective);
      section.append(
        el(
          "p",
          {},
          `Objective ${significant(result.objective?.before)} → ${significant(result.objective?.after)}; ${result.termination?.text ?? result.termination?.reason ?? "–"}.`,
        ),
      );
      const positive = starts.every((start) => start.objective > 0 && start.initial_objective > 0);
      const spec = (colours) =>
        plots.panels(
          colours,
          [
            plots.xyPanel(colours, {
              width: plots.fit(colours, 1, { max: 620 }).width,
              height: 240,
              x: {
                title: "starts, best first",
                domain: [0, starts.length + 1],
                format: "d",
                ticks: Math.min(10, starts.length + 1),
              },
              y: { title: "objective", log: positive },
              layers: [
                {
                  kind: "rule",
                  colour: colours.faint,
                  points: starts
                    .filter((start) => isNumber(start.initial_objective))
                    .map((start, index) => ({
                      x: index + 1,
                      y: start.objective,
                      low: start.objective,
                      high: start.initial_objective,
                    })),
                },
                {
                  kind: "symbol",
                  style: 3,
                  hollow: true,
                  points: starts
                    .filter((start) => isNumber(start.initial_objective))
                    .map((start, index) => ({
                      x: index + 1,
                      y: start.initial_objective,
                      tip: [`start ${start.start}`, `objective at the start ${significant(start.initial_objective)}`],
                    })),
                },
                {
                  kind: "symbol",
                  style: 0,
                  points: starts.map((start, index) => ({
                    x: index + 1,
                    y: start.objective,
                    tip: [
                      `start ${start.start}`,
                      `reached ${significant(start.objective)} in ${start.evaluations} evaluations`,
                      start.termination?.reason ?? "",
                    ],
                  })),
                },
              ],
            }),
          ],
          {
            columns: 1,
            legend: [
              { name: "at the start", style: 3, hollow: true },
              { name: "reached", style: 0 },
            ],
          },
        );
      if ((result.trace || []).length > 1) section.append(traceFigure(result.trace));
      if (starts.length < 2) {
        section.append(el("p", { class: "note" }, "It was the only start: whether others would end there is not known."));
        return;
      }
      section.append(
        figure(
          "Starts of the search",
          "A flat left end means that several starts reached the same optimum.",
          spec,
          table(
            [
              number("start", (s) => s.start),
              number("objective at start", (s) => s.initial_objective),
              number("reached", (s) => s.objective),
              number("evaluations", (s) => s.evaluations),
              number("refused", (s) => s.refusals),
              words("ended", (s) => (s.pruned ? "given up early" : (s.termination?.reason ?? "–"))),
            ],
            starts,
          ),
        ),
      );
    },
  };
};
