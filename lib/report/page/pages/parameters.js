reportPages.parameters = (kit) => {
  const {
    result,
    metrics,
    metricTitles,
    isNumber,
    significant,
    percent,
    plural,
    el,
    table,
    words,
    number,
    folded,
    printedAsTable,
    onScreenOnly,
    figure,
    verdictOf,
  } = kit;

  const relativeAxis = {
    title: "relative to the fitted value (logarithmic; ends at a tenth and tenfold)",
    log: true,
    domain: [0.1, 10],
    clamp: true,
  };
  const clip = (value) => Math.min(relativeAxis.domain[1], Math.max(relativeAxis.domain[0], value));

  const interval = (parameter) => {
    // Relative to the value.
    const own = parameter.interval_95;
    if (Array.isArray(own) && own.every(isNumber) && parameter.value > 0)
      return { low: own[0] / parameter.value, high: own[1] / parameter.value };
    return null;
  };

  const bootstrapFigure = (parameters) => {
    const valueOf = new Map(parameters.map((parameter) => [parameter.parameter, parameter.value]));
    const rows = result.bootstrap.parameters.filter((row) => valueOf.get(row.parameter) > 0 && row.lower_95 > 0);
    const spec = (colours) =>
      plots.dotRange(colours, {
        labels: rows.map((row) => row.parameter),
        reference: 1,
        x: relativeAxis,
        ranges: rows.map((row) => ({
          label: row.parameter,
          low: clip(row.lower_95 / valueOf.get(row.parameter)),
          high: clip(row.upper_95 / valueOf.get(row.parameter)),
          tip: [row.parameter, `95 % of refits: ${significant(row.lower_95)} to ${significant(row.upper_95)}`],
        })),
        dots: rows.map((row) => ({
          label: row.parameter,
          x: 1,
          kind: "fitted",
          tip: [row.parameter, `fitted ${significant(valueOf.get(row.parameter))}`],
        })),
        legend: [{ name: "fitted", style: 0 }],
      });
    return figure(
      `Bootstrap: ${plural(result.bootstrap.refits, "refit")} on experiments drawn with replacement`,
      result.bootstrap.failed ? `${result.bootstrap.failed} of them failed.` : "Bars: the middle 95 % of the refits.",
      spec,
      table(
        [
          words("parameter", (r) => r.parameter),
          number("standard deviation", (r) => r.standard_deviation),
          number("95 % from", (r) => r.lower_95),
          number("to", (r) => r.upper_95),
        ],
        result.bootstrap.parameters,
      ),
    );
  };
  const profileFigure = (profile) => {
    const fitted = result.parameters.find((parameter) => parameter.parameter === profile.parameter);
    const points = profile.points
      .filter((point) => isNumber(point.value) && isNumber(point.objective))
      .sort((a, b) => a.value - b.value);
    const spec = (colours) => {
      const edge = [points[0].value, points[points.length - 1].value];
      const layers = [
        { kind: "line", style: 0, points: points.map((point) => ({ x: point.value, y: point.objective })) },
        {
          kind: "symbol",
          style: 0,
          size: 30,
          points: points.map((point) => ({
            x: point.value,
            y: point.objective,
            tip: [profile.parameter, `value ${significant(point.value)}`, `objective ${significant(point.objective)}`],
          })),
        },
      ];
      if (isNumber(profile.threshold))
        layers.push({
          kind: "line",
          colour: colours.faint,
          dash: [5, 3],
          points: edge.map((x) => ({ x, y: profile.threshold })),
        });
      return plots.panels(
        colours,
        [
          plots.xyPanel(colours, {
            width: plots.fit(colours, 1, { max: 420 }).width,
            height: 180,
            x: { title: `${profile.parameter}${fitted ? `, ${fitted.unit}` : ""}`, log: edge[0] > 0 },
            y: { title: "objective" },
            layers,
          }),
        ],
        { columns: 1 },
      );
    };
    const caption = `95 % interval: ${isNumber(profile.lower_95) ? significant(profile.lower_95) : "not reached"} to ${isNumber(profile.upper_95) ? significant(profile.upper_95) : "not reached"}.`;
    return figure(
      profile.parameter,
      caption,
      spec,
      table([number("value", (p) => p.value), number("objective", (p) => p.objective)], points),
    );
  };

  // Who wants which parameter higher or lower; below a thousandth nobody would miss what the other metric takes.
  const contested = (result.pulls || []).filter((one) => one.disagreement >= 1e-3);
  const pullFigure = () => {
    const pulling = metrics.filter((metric) => contested.some((one) => isNumber(one.by_metric[metric])));
    const inPercent = (pull) => (isNumber(pull) ? 100 * pull : pull);
    const signed = (value) => (isNumber(value) ? `${value > 0 ? "+" : ""}${value.toFixed(2)}` : "–");
    const names = [
      ...pulling.map((metric) => [metricTitles[metric], (one) => one.by_metric[metric]]),
      ["prior", (one) => one.prior],
    ];
    const spec = (colours) =>
      plots.dotRange(colours, {
        labels: contested.map((one) => one.parameter),
        reference: 0,
        x: { title: "pull, % of the value" },
        dots: contested.flatMap((one) =>
          names
            .filter(([, pull]) => isNumber(pull(one)))
            .map(([name, pull]) => ({
              label: one.parameter,
              x: inPercent(pull(one)),
              kind: name,
              tip: [one.parameter, `${name} ${signed(inPercent(pull(one)))} %`],
            })),
        ),
        legend: names.map(([name], index) => ({ name, style: index })),
      });
    const byModel = contested.flatMap((one) =>
      Object.entries(one.by_model).map(([model, pulls]) => ({ parameter: one.parameter, model, pulls })),
    );
    const strongest = contested.flatMap((one) => one.strongest.map((row) => ({ parameter: one.parameter, ...row })));
    return figure(
      "Where metrics pull a parameter apart",
      "So much higher or lower would the parameter be, all others held, if the metric's measurements counted twice. All pulls on a parameter and its prior's cancel: it lies where neither side has its way.",
      spec,
      el(
        "div",
        {},
        table(
          [
            words("parameter", (one) => one.parameter),
            ...names.map(([name, pull]) => number(`${name} %`, (one) => inPercent(pull(one)), signed)),
          ],
          contested,
        ),
        table(
          [
            words("parameter", (row) => row.parameter),
            words("model", (row) => row.model),
            ...pulling.map((metric) => number(`${metricTitles[metric]} %`, (row) => inPercent(row.pulls[metric]), signed)),
          ],
          byModel,
          "By model",
        ),
        table(
          [
            words("parameter", (row) => row.parameter),
            words("measurement", (row) => row.experiment),
            words("stage", (row) => String(row.stage)),
            words("metric", (row) => metricTitles[row.metric] ?? row.metric),
            number("pull %", (row) => inPercent(row.pull), signed),
          ],
          strongest,
          "The measurements that pull hardest",
        ),
      ),
    );
  };

  return {
    id: "parameters",
    title: "Parameters",
    question: "What was fitted, and how sure are the values?",
    available: () => Array.isArray(result.parameters) && result.parameters.length > 0,
    fill(section) {
      const parameters = result.parameters;
      const spec = (colours) =>
        plots.dotRange(colours, {
          labels: parameters.map((parameter) => parameter.parameter),
          reference: 1,
          x: relativeAxis,
          ranges: parameters.filter(interval).map((parameter) => ({
            label: parameter.parameter,
            low: clip(interval(parameter).low),
            high: clip(interval(parameter).high),
            tip: [
              parameter.parameter,
              `95 % interval: ${significant(parameter.value * interval(parameter).low)} to ${significant(parameter.value * interval(parameter).high)} ${parameter.unit}`,
            ],
          })),
          dots: parameters.flatMap((parameter) => [
            ...(parameter.value > 0 && parameter.start > 0
              ? [
                  {
                    label: parameter.parameter,
                    x: clip(parameter.start / parameter.value),
                    kind: "start",
                    tip: [parameter.parameter, `start ${significant(parameter.start)} ${parameter.unit}`],
                  },
                ]
              : []),
            {
              label: parameter.parameter,
              x: 1,
              kind: "fitted",
              tip: [parameter.parameter, `fitted ${significant(parameter.value)} ${parameter.unit}`, verdictOf(parameter)].filter(
                Boolean,
              ),
            },
          ]),
          legend: [
            { name: "fitted", style: 0 },
            { name: "start", style: 3 },
          ],
        });
      const columns = [
        words("parameter", (p) => p.parameter),
        words("unit", (p) => p.unit),
        number("start", (p) => p.start),
        number("value", (p) => p.value),
        number("standard error", (p) => p.standard_error),
        ...(parameters.some((p) => isNumber(p.prior_share))
          ? [
              {
                ...number(
                  "variance left of the prior's %",
                  (p) => (isNumber(p.prior_share) ? 100 * p.prior_share : null),
                  percent,
                ),
                onScreen: true,
              },
            ]
          : []),
        number("95 % from", (p) => (interval(p) ? p.value * interval(p).low : null)),
        number("to", (p) => (interval(p) ? p.value * interval(p).high : null)),
        { ...number("lower bound", (p) => p.lower), onScreen: true },
        { ...number("upper bound", (p) => p.upper), onScreen: true },
        { ...words("verdict", verdictOf), tone: (flag) => (flag ? "bad" : "") },
      ];
      section.append(
        printedAsTable(
          figure(
            "Fitted values with 95 % intervals",
            "Bars: 95 % interval from the curvature of the objective at the optimum. Long bars: the data hardly determine the value.",
            spec,
            table(columns, parameters),
          ),
        ),
      );
      if (contested.length) section.append(onScreenOnly(pullFigure()));
      if (result.bootstrap) section.append(bootstrapFigure(parameters));
      if ((result.profiles || []).length)
        section.append(
          el("h3", {}, "Profile likelihood"),
          el(
            "p",
            { class: "note" },
            "One parameter held at a value, all others refitted. Below the dashed line: inside the 95 % interval. A flat curve: the data do not determine the value.",
          ),
          el("div", { class: "grid narrow" }, ...result.profiles.map(profileFigure)),
        );
      const pairs = result.correlations || [];
      if (pairs.length) {
        const names = parameters
          .map((parameter) => parameter.parameter)
          .filter((name) => pairs.some((pair) => pair.first === name || pair.second === name));
        const cells = pairs.flatMap((pair) =>
          [
            [pair.first, pair.second],
            [pair.second, pair.first],
          ].map(([row, column]) => ({
            row,
            column,
            value: pair.correlation,
            tip: [`${pair.first}`, `${pair.second}`, `correlation ${pair.correlation.toFixed(2)}`],
          })),
        );
        const map = (colours) =>
          plots.heatMap(colours, {
            rows: names,
            columns: names,
            cells,
            limit: 1,
            format: "+.2f",
            cellWidth: 34,
            cellHeight: 22,
            legendTitle: "correlation",
          });
        section.append(
          onScreenOnly(
            figure(
              "Correlations",
              "Pairs above 0.1 in size. Near ±1: the data cannot tell the two apart.",
              map,
              table(
                [
                  words("first", (p) => p.first),
                  words("second", (p) => p.second),
                  number(
                    "correlation",
                    (p) => p.correlation,
                    (value) => value.toFixed(3),
                  ),
                ],
                pairs,
              ),
            ),
          ),
        );
      }
      if ((result.directions || []).length)
        section.append(
          folded(
            "Directions of the parameters, by how well the data determine them",
            table(
              [
                words("state", (d) => d.state),
                number("standard error", (d) => d.standard_error),
                words("parameters and their components", (d) =>
                  Object.entries(d.parameters)
                    .map(([name, part]) => `${name} ${part.toFixed(2)}`)
                    .join(", "),
                ),
              ],
              result.directions,
            ),
          ),
        );
    },
  };
};
