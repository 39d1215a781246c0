// Vega specifications. Each function takes a theme and plain data and returns a specification; nothing here touches the page.
// Colours: Okabe and Ito's palette, which people without colour vision can tell apart; every series has a shape or a dash of
// its own as well.
const themes = {
  light: {
    text: "#1b1e23",
    faint: "#5a616b",
    grid: "#e2e6ea",
    band: "#009E73",
    bandOpacity: 0.16,
    palette: [
      "#0072B2",
      "#D55E00",
      "#009E73",
      "#CC79A7",
      "#E69F00",
      "#56B4E9",
      "#8A7A00",
      "#7B4FB5",
      "#A0522D",
      "#4E7F3A",
      "#B0446B",
      "#3A4A8C",
    ],
  },
  dark: {
    text: "#e8eaed",
    faint: "#a4abb5",
    grid: "#343b44",
    band: "#009E73",
    bandOpacity: 0.3,
    palette: [
      "#56B4E9",
      "#E69F00",
      "#009E73",
      "#CC79A7",
      "#F0E442",
      "#D55E00",
      "#B8A93A",
      "#B59AE0",
      "#D2926B",
      "#93C47D",
      "#E07A9E",
      "#8FA0E8",
    ],
  },
};
const shapes = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right", "triangle-left"];
const dashes = [
  [1, 0],
  [6, 3],
  [2, 2],
  [8, 3, 2, 3],
  [12, 4],
  [4, 4],
  [1, 3],
  [10, 2, 2, 2],
];

// Terms of step times keep their colour from plot to plot and from report to report: those that models share by name, others after
// them in the order in which they are asked for.
const termStyles = new Map(
  [
    "overhead",
    "sequences",
    "linear",
    "activations",
    "kv_reads",
    "prefill_attention",
    "allreduce",
    "moe",
    "prefill_launch",
    "sampler",
    "attention",
    "embedding",
  ].map((term, style) => [term, style]),
);

const plots = (() => {
  // A letter of axis labels is about so wide.
  const letter = 6.1;
  const textWidth = (texts) => letter * Math.max(1, ...texts.map((text) => String(text).length));
  const termStyle = (term) => {
    if (!termStyles.has(term)) termStyles.set(term, termStyles.size);
    return termStyles.get(term);
  };
  // How many panels of at least `min` find room side by side, and how wide each of them then is. An axis takes `beside` more.
  const fit = (theme, wanted, { min = 230, max = 420, beside = 66 } = {}) => {
    const columns = Math.max(1, Math.min(wanted, Math.floor(theme.room / (min + beside))));
    return { columns, width: Math.max(150, Math.min(max, Math.floor(theme.room / columns) - beside - (columns > 1 ? 20 : 0))) };
  };
  // Says that an axis is logarithmic; in lines that are no longer than the axis.
  const scaleTitle = (axis, size) => {
    const text = axis.log && !/logarithmic/.test(axis.title) ? `${axis.title} (logarithmic)` : axis.title;
    const lines = [];
    for (const word of String(text ?? "").split(" ")) {
      if (lines.length && (lines.at(-1).length + word.length + 1) * 1.1 * letter <= size) lines.push(`${lines.pop()} ${word}`);
      else lines.push(word);
    }
    return lines.length > 1 ? lines : text;
  };
  const colourOf = (theme, index) => theme.palette[index % theme.palette.length];
  const termColour = (theme, term) => (term === "other" ? theme.faint : colourOf(theme, termStyle(term)));
  const shapeOf = (index) => shapes[index % shapes.length];
  const dashOf = (index) => dashes[index % dashes.length];

  const base = (theme) => ({
    padding: 4,
    background: "transparent",
    config: {
      axis: {
        labelColor: theme.text,
        titleColor: theme.text,
        gridColor: theme.grid,
        domainColor: theme.faint,
        tickColor: theme.faint,
        labelFontSize: 11,
        titleFontSize: 12,
        titleFontWeight: "normal",
      },
      legend: { labelColor: theme.text, titleColor: theme.text, labelFontSize: 11, labelLimit: 600, symbolStrokeWidth: 1.5 },
      title: { color: theme.text, fontSize: 13, anchor: "start" },
      text: { fill: theme.text },
    },
  });

  // What a mark looks like.
  const drawn = (update) => ({ encode: { update } });
  const sized = (width, height) => drawn({ width: { value: width }, height: { value: height } });

  // The extent of some numbers with room around them.
  const extent = (values, logarithmic) => {
    const finite = values.filter((value) => Number.isFinite(value) && (!logarithmic || value > 0));
    const low = Math.min(...finite),
      high = Math.max(...finite);
    if (!finite.length) return logarithmic ? [0.1, 1] : [0, 1];
    if (logarithmic) return [low / 1.15, high * 1.15];
    const room = (high - low || Math.abs(high) || 1) * 0.05;
    return [low >= 0 && low < 0.4 * high ? 0 : low - room, high + room];
  };

  const axisScale = (name, range, axis, values) => ({
    name,
    range,
    type: axis.log ? "log" : "linear",
    domain: axis.domain || extent(values, axis.log),
    zero: false,
    nice: !axis.log && !axis.domain,
    clamp: axis.clamp === true,
  });

  // One coordinate system with layers of areas, lines and symbols. `layer.style` picks colour, shape and dash.
  const xyPanel = (theme, { title, width, height, x, y, layers }) => {
    const xs = layers.flatMap((layer) => layer.points.map((point) => point.x));
    const ys = layers.flatMap((layer) =>
      layer.points.flatMap((point) => [point.y, point.low, point.high].filter((v) => v !== undefined)),
    );
    const common = (layer) => ({ x: { scale: "x", field: "x" }, tooltip: { field: "tip" }, ...(layer.encode || {}) });
    const marks = layers.map((layer, index) => {
      const from = { data: `layer${index}` };
      const colour = layer.colour || colourOf(theme, layer.style || 0);
      if (layer.kind === "band") {
        return {
          type: "area",
          from,
          interactive: false,
          ...drawn({
            x: { scale: "x", field: "x" },
            y: { scale: "y", field: "high" },
            y2: { scale: "y", field: "low" },
            fill: { value: colour },
            fillOpacity: { value: layer.opacity || theme.bandOpacity },
          }),
        };
      }
      if (layer.kind === "line") {
        return {
          type: "line",
          from,
          interactive: false,
          ...drawn({
            x: { scale: "x", field: "x" },
            y: { scale: "y", field: "y" },
            stroke: { value: colour },
            strokeWidth: { value: layer.thickness || 1.8 },
            strokeDash: { value: layer.dash || dashOf(layer.style || 0) },
            defined: { signal: "isValid(datum.y)" },
          }),
        };
      }
      if (layer.kind === "rule") {
        return {
          type: "rule",
          from,
          ...drawn({
            ...common(layer),
            y: { scale: "y", field: "low" },
            y2: { scale: "y", field: "high" },
            stroke: { value: colour },
            strokeWidth: { value: layer.thickness || 1.5 },
            strokeOpacity: { value: layer.opacity || 1 },
          }),
        };
      }
      return {
        type: "symbol",
        from,
        ...drawn({
          ...common(layer),
          y: { scale: "y", field: "y" },
          shape: { value: layer.shape || shapeOf(layer.style || 0) },
          size: { value: layer.size || 60 },
          fill: { value: layer.hollow ? "transparent" : colour },
          fillOpacity: { value: layer.opacity || 0.85 },
          stroke: { value: colour },
          strokeWidth: { value: layer.hollow ? 1.5 : 0.8 },
        }),
      };
    });
    return {
      type: "group",
      ...sized(width, height),
      ...(title ? { title: { text: title, fontSize: 12 } } : {}),
      data: layers.map((layer, index) => ({ name: `layer${index}`, values: layer.points })),
      scales: [axisScale("x", [0, width], x, xs), axisScale("y", [height, 0], y, ys)],
      axes: [
        {
          orient: "bottom",
          scale: "x",
          title: scaleTitle(x, width),
          grid: true,
          gridScale: "y",
          tickCount: x.ticks || 5,
          format: x.format || "~r",
          labelOverlap: true,
          labelFlush: true,
        },
        {
          orient: "left",
          scale: "y",
          title: scaleTitle(y, height),
          grid: true,
          gridScale: "x",
          tickCount: y.ticks || 5,
          format: y.format || "~r",
          labelOverlap: true,
        },
      ],
      marks: [{ type: "group", clip: true, ...sized(width, height), marks }],
    };
  };

  // Panels side by side over a common legend of named series.
  const panels = (theme, list, { columns = 3, legend = [], legendColumns = 3 } = {}) => {
    const spec = { ...base(theme), layout: { columns, padding: 24, bounds: "full", align: "each" }, marks: list };
    if (legend.length) {
      const names = legend.map((entry) => entry.name);
      spec.scales = [
        {
          name: "legendColour",
          type: "ordinal",
          domain: names,
          range: legend.map((entry) => entry.colour || colourOf(theme, entry.style || 0)),
        },
        {
          name: "legendFill",
          type: "ordinal",
          domain: names,
          range: legend.map((entry) =>
            entry.line || entry.hollow ? "transparent" : entry.colour || colourOf(theme, entry.style || 0),
          ),
        },
        {
          name: "legendShape",
          type: "ordinal",
          domain: names,
          range: legend.map((entry) => (entry.line ? "stroke" : entry.shape || shapeOf(entry.style || 0))),
        },
        {
          name: "legendDash",
          type: "ordinal",
          domain: names,
          range: legend.map((entry) => (entry.line ? dashOf(entry.style || 0) : [1, 0])),
        },
      ];
      spec.legends = [
        {
          stroke: "legendColour",
          fill: "legendFill",
          shape: "legendShape",
          strokeDash: "legendDash",
          orient: "bottom",
          direction: "horizontal",
          columns: Math.max(1, Math.min(legendColumns, Math.floor(theme.room / (textWidth(names) + 40)))),
          symbolSize: 90,
        },
      ];
    }
    return spec;
  };

  // Coloured cells with their numbers. `scheme` diverges around zero up to +-`limit`.
  const heatMap = (theme, { cells, rows, columns, limit, format, cellWidth = 76, cellHeight = 22, legendTitle }) => ({
    // Rows keep their whole names: what finds no room scrolls sideways.
    ...base(theme),
    width: columns.length * cellWidth,
    height: rows.length * cellHeight,
    data: [{ name: "cells", values: cells }],
    scales: [
      { name: "x", type: "band", domain: columns, range: "width", padding: 0.03 },
      { name: "y", type: "band", domain: rows, range: "height", padding: 0.06 },
      // From Okabe and Ito's blue to their vermillion over a ground that black text can be read on.
      { name: "colour", type: "linear", domain: [-limit, 0, limit], range: ["#56A5D8", "#F4F1EA", "#E8894A"], clamp: true },
    ],
    axes: [
      {
        orient: "top",
        scale: "x",
        domain: false,
        ticks: false,
        labelAngle: cellWidth < 60 ? -60 : 0,
        labelAlign: cellWidth < 60 ? "left" : "center",
        labelLimit: 900,
      },
      { orient: "left", scale: "y", domain: false, ticks: false, labelLimit: 900 },
    ],
    legends: legendTitle
      ? [{ fill: "colour", title: legendTitle, orient: "bottom", direction: "horizontal", gradientLength: 240 }]
      : [],
    marks: [
      {
        type: "rect",
        from: { data: "cells" },
        ...drawn({
          x: { scale: "x", field: "column" },
          width: { scale: "x", band: 1 },
          y: { scale: "y", field: "row" },
          height: { scale: "y", band: 1 },
          fill: { scale: "colour", field: "value" },
          tooltip: { field: "tip" },
        }),
      },
      ...(cellWidth < 30
        ? []
        : [
            {
              type: "text",
              from: { data: "cells" },
              interactive: false,
              ...drawn({
                x: { scale: "x", field: "column", band: 0.5 },
                y: { scale: "y", field: "row", band: 0.5 },
                align: { value: "center" },
                baseline: { value: "middle" },
                fill: { value: "#101010" },
                fontSize: { value: 11 },
                text: { signal: `format(datum.value, '${format}')` },
              }),
            },
          ]),
    ],
  });

  // One line per label with ranges and several kinds of points on it: intervals, training against held out, bars of errors.
  const dotRange = (theme, { labels, ranges = [], dots, x, reference, legend = [] }) => {
    // Names are never cut: where they leave no room beside the lines, they stand above them.
    const beside = textWidth(labels) + 40;
    const above = theme.room - beside < 200;
    const width = Math.max(160, Math.min(620, theme.room - (above ? 30 : beside)));
    const rowHeight = above ? 38 : 22;
    const values = [...dots.map((dot) => dot.x), ...ranges.flatMap((range) => [range.low, range.high])];
    const height = Math.max(1, labels.length) * rowHeight;
    const names = legend.map((entry) => entry.name);
    return {
      ...base(theme),
      width,
      height,
      data: [
        { name: "ranges", values: ranges },
        { name: "dots", values: dots },
        { name: "reference", values: reference === undefined ? [] : [{ x: reference }] },
        { name: "labels", values: above ? labels.map((label) => ({ label })) : [] },
      ],
      scales: [
        { name: "y", type: "point", domain: labels, range: "height", padding: 0.5 },
        { ...axisScale("x", "width", x, values) },
        { name: "colour", type: "ordinal", domain: names, range: legend.map((entry) => colourOf(theme, entry.style)) },
        { name: "shape", type: "ordinal", domain: names, range: legend.map((entry) => shapeOf(entry.style)) },
      ],
      axes: [
        {
          orient: "bottom",
          scale: "x",
          title: scaleTitle(x, width),
          grid: true,
          format: x.format || "~r",
          labelOverlap: true,
          tickCount: x.ticks || 6,
        },
        { orient: "left", scale: "y", ticks: false, domain: false, labels: !above, labelLimit: 900, grid: true },
      ],
      legends:
        names.length > 1
          ? [
              {
                fill: "colour",
                shape: "shape",
                orient: "bottom",
                direction: "horizontal",
                columns: Math.max(1, Math.min(4, Math.floor(theme.room / (textWidth(names) + 40)))),
                symbolSize: 90,
              },
            ]
          : [],
      marks: [
        {
          type: "rule",
          from: { data: "reference" },
          ...drawn({
            x: { scale: "x", field: "x" },
            y: { value: 0 },
            y2: { value: height },
            stroke: { value: theme.faint },
            strokeDash: { value: [4, 3] },
          }),
        },
        {
          type: "rule",
          from: { data: "ranges" },
          ...drawn({
            x: { scale: "x", field: "low" },
            x2: { scale: "x", field: "high" },
            y: { scale: "y", field: "label" },
            stroke: { value: theme.faint },
            strokeWidth: { value: 3 },
            strokeOpacity: { value: 0.7 },
            strokeCap: { value: "butt" },
            tooltip: { field: "tip" },
          }),
        },
        {
          type: "text",
          from: { data: "labels" },
          interactive: false,
          ...drawn({
            x: { value: 2 },
            y: { scale: "y", field: "label", offset: -13 },
            baseline: { value: "middle" },
            fontSize: { value: 11 },
            fill: { value: theme.text },
            text: { field: "label" },
          }),
        },
        {
          type: "symbol",
          from: { data: "dots" },
          ...drawn({
            x: { scale: "x", field: "x" },
            y: { scale: "y", field: "label" },
            size: { value: 70 },
            fill: { scale: "colour", field: "kind" },
            shape: { scale: "shape", field: "kind" },
            stroke: { value: theme.text },
            strokeWidth: { value: 0.5 },
            tooltip: { field: "tip" },
          }),
        },
      ],
    };
  };

  // Stacked bars over categories with a mark for the true total, which stacked terms may miss where a model takes maxima.
  const stackedPanel = (theme, { title, width, height, bars, totals, categories, terms, xTitle, yTitle }) => ({
    type: "group",
    ...sized(width, height),
    title: { text: title, fontSize: 12 },
    data: [
      {
        name: "bars",
        values: bars,
        transform: [{ type: "stack", groupby: ["category"], sort: { field: "order" }, field: "value" }],
      },
      { name: "totals", values: totals },
    ],
    scales: [
      { name: "x", type: "band", domain: categories, range: [0, width], padding: 0.15 },
      {
        name: "y",
        type: "linear",
        range: [height, 0],
        nice: true,
        zero: true,
        domain: [0, Math.max(1e-9, ...totals.map((total) => total.value), ...totals.map((total) => total.stacked))],
      },
      { name: "fill", type: "ordinal", domain: terms, range: terms.map((term) => termColour(theme, term)) },
    ],
    axes: [
      { orient: "bottom", scale: "x", title: xTitle, labelOverlap: true },
      { orient: "left", scale: "y", title: yTitle, grid: true, gridScale: "x", format: "~r", tickCount: 6 },
    ],
    marks: [
      {
        type: "rect",
        from: { data: "bars" },
        ...drawn({
          x: { scale: "x", field: "category" },
          width: { scale: "x", band: 1 },
          y: { scale: "y", field: "y1" },
          y2: { scale: "y", field: "y0" },
          fill: { scale: "fill", field: "term" },
          stroke: { value: theme.text },
          strokeWidth: { value: 0.6 },
          tooltip: { field: "tip" },
        }),
      },
      {
        type: "symbol",
        from: { data: "totals" },
        ...drawn({
          x: { scale: "x", field: "category", band: 0.5 },
          y: { scale: "y", field: "value" },
          shape: { value: "diamond" },
          size: { value: 60 },
          fill: { value: theme.text },
          stroke: { value: theme.grid },
          tooltip: { field: "tip" },
        }),
      },
    ],
  });

  return { xyPanel, panels, heatMap, dotRange, stackedPanel, colourOf, shapeOf, termColour, fit };
})();
