reportPages.kernels = (kit) => {
  const { data, significant, unique, table, words, number, onScreenOnly, figure } = kit;

  return {
    id: "kernels",
    title: "Kernels",
    question: "What do measured kernels reach of the GPU's roof?",
    available: () => data.kernels.length > 0,
    fill(section) {
      for (const gpu of data.kernels) {
        const kinds = unique(gpu.points.map((point) => `${point.kernel} ${point.format}`));
        const spec = (colours) => {
          const xs = gpu.points.map((point) => point.flops_per_byte);
          const [low, high] = [Math.min(...xs) / 1.5, Math.max(...xs) * 1.5];
          const roof = (peak) =>
            [low, peak / gpu.bandwidth_tbs, high]
              .filter((x) => x >= low && x <= high)
              .map((x) => ({ x, y: Math.min(peak, x * gpu.bandwidth_tbs) }));
          const layers = [{ kind: "line", points: roof(gpu.peak_bf16_tflops), colour: colours.text, dash: [1, 0] }];
          if (gpu.peak_fp8_tflops)
            layers.push({ kind: "line", points: roof(gpu.peak_fp8_tflops), colour: colours.text, dash: [6, 3] });
          kinds.forEach((kind, style) =>
            layers.push({
              kind: "symbol",
              style,
              size: 22,
              opacity: 0.55,
              points: gpu.points
                .filter((point) => `${point.kernel} ${point.format}` === kind)
                .map((point) => ({
                  x: point.flops_per_byte,
                  y: point.achieved_tflops,
                  tip: [
                    kind,
                    point.shape,
                    `${significant(point.achieved_tflops)} TFLOP/s in ${significant(point.latency_us)} us`,
                  ],
                })),
            }),
          );
          return plots.panels(
            colours,
            [
              plots.xyPanel(colours, {
                width: plots.fit(colours, 1, { max: 800 }).width,
                height: 400,
                x: { title: "arithmetic intensity, FLOP per byte", log: true },
                y: { title: "achieved, TFLOP/s", log: true },
                layers,
              }),
            ],
            {
              columns: 1,
              legend: [
                ...kinds.map((name, style) => ({ name, style })),
                { name: "data sheet, bf16", line: true, colour: colours.text, style: 0 },
                ...(gpu.peak_fp8_tflops ? [{ name: "data sheet, FP8", line: true, colour: colours.text, style: 1 }] : []),
              ],
            },
          );
        };
        section.append(
          onScreenOnly(
            figure(
              `${gpu.gpu}: kernels under the roofline`,
              `${gpu.points.length} of ${gpu.measured} measured kernels (${gpu.engine}); the roof: ${gpu.bandwidth_tbs} TB/s and ${gpu.peak_bf16_tflops} TFLOP/s bf16.`,
              spec,
              table(
                [
                  words("kernel", (p) => p.kernel),
                  words("format", (p) => p.format),
                  words("shape", (p) => p.shape),
                  number("FLOP/byte", (p) => p.flops_per_byte),
                  number("TFLOP/s", (p) => p.achieved_tflops),
                  number("us", (p) => p.latency_us),
                ],
                gpu.points,
              ),
            ),
          ),
        );
      }
    },
  };
};
