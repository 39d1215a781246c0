reportPages.onboard = (kit) => {
  const { result, metricTitles, significant, percent, signed, el, table, words, number, errorTone, folded, figure } = kit;

  return {
    id: "onboard",
    title: "Onboarding",
    question: "What did each step teach about the new GPU, and which run should be next?",
    available: () => result.schema === "rooftune/onboard/1",
    fill(section) {
      const steps = result.steps;
      const rowsOf = (step) => [
        ...step.fitted.map((row) => ({ ...row, step: step.step, kind: "fitted" })),
        ...step.unseen.map((row) => ({ ...row, step: step.step, kind: "unseen" })),
      ];
      for (const metric of ["e2e_mean_ms", "ttft_mean_ms"]) {
        const rows = steps.flatMap(rowsOf).filter((row) => row.metric === metric);
        if (!rows.length) continue;
        const name = (row) => `${row.step}: ${row.experiment}`;
        const spec = (colours) =>
          plots.dotRange(colours, {
            labels: rows.map(name),
            x: { title: `error of ${metricTitles[metric]}, % (predicted − measured)`, format: "+.0f" },
            reference: 0,
            ranges: rows.flatMap((row) => {
              const own = steps
                .find((step) => step.step === row.step)
                .intervals.find((one) => one.experiment === row.experiment && one.stage === "summary" && one.metric === metric);
              return own
                ? [
                    {
                      label: name(row),
                      low: 100 * (row.predicted / own.upper - 1),
                      high: 100 * (row.predicted / own.lower - 1),
                      tip: [
                        name(row),
                        `a measurement should lie between ${significant(own.lower)} and ${significant(own.upper)} ms`,
                      ],
                    },
                  ]
                : [];
            }),
            dots: rows.map((row) => ({
              label: name(row),
              x: row.error_percent,
              kind: row.kind,
              tip: [
                name(row),
                `predicted ${significant(row.predicted)} ms, measured ${significant(row.measured)} ms`,
                `error ${signed(row.error_percent)} %, ${row.kind}`,
              ],
            })),
            legend: [
              { name: "unseen", style: 1 },
              { name: "fitted", style: 0 },
            ],
          });
        section.append(
          figure(
            `Error after each step: ${metricTitles[metric]}`,
            "Bars: errors that the prediction interval allows. Unseen runs tell what to expect of new ones.",
            spec,
            table(
              [
                words("knows", (row) => row.step),
                words("run", (row) => row.experiment),
                words("run was", (row) => row.kind),
                number("predicted ms", (row) => row.predicted),
                number("measured ms", (row) => row.measured),
                { ...number("error %", (row) => row.error_percent, signed), tone: errorTone },
              ],
              rows,
            ),
          ),
        );
      }
      const counted = steps.filter((step) => step.unseen_in_interval.measurements > 0);
      if (counted.length)
        section.append(
          el("h3", {}, "Unseen measurements inside their interval"),
          table(
            [
              words("knows", (step) => step.step),
              number("inside", (step) => step.unseen_in_interval.inside),
              number("of", (step) => step.unseen_in_interval.measurements),
            ],
            counted,
          ),
        );
      const last = steps[steps.length - 1];
      section.append(
        el("h3", {}, `Parameters after '${last.step}'`),
        table(
          [
            words("parameter", (p) => p.parameter),
            number("expected", (p) => p.expected),
            words("because", (p) => p.expectation),
            number("value", (p) => p.value),
            number("± expected, %", (p) => 100 * p.expected_deviation, percent),
            number("± now, %", (p) => 100 * p.deviation, percent),
            words("source", (p) => p.source),
            words("told by the runs", (p) => (p.identified ? "yes" : "no")),
          ],
          last.parameters,
          "Deviations are of the logarithm (of the logit for shares with bounds).",
        ),
      );
      if (last.next_runs.length) {
        const columns = [
          words("model", (run) => run.model),
          number("TP", (run) => run.tp),
          number("requests/s", (run) => run.rate_per_s),
          number("prompt tokens", (run) => run.prompt_tokens),
          number("output tokens", (run) => run.output_tokens),
          number("GPU-minutes", (run) => run.gpu_minutes),
          number("predictions then ± %", (run) => 100 * run.deviation_after, percent),
          number("parameters, bits", (run) => run.bits, percent),
        ];
        const shown = 8,
          caption = `How well all candidates would be predicted after the run; now: ± ${percent(100 * last.next_runs[0].deviation_before)} %.`;
        section.append(el("h3", {}, `Next runs after '${last.step}'`), table(columns, last.next_runs.slice(0, shown), caption));
        if (last.next_runs.length > shown)
          section.append(folded(`All ${last.next_runs.length} candidates`, table(columns, last.next_runs)));
      }
      if (result.kv_blocks.length)
        section.append(
          el("h3", {}, "Other numbers of KV blocks"),
          table(
            [
              words("run", (row) => row.experiment),
              number("KV blocks", (row) => row.total_kv_blocks),
              words("", (row) => (row.recorded ? "as recorded" : "")),
              number("TTFT error %", (row) => row.ttft_error_percent, signed),
              number("E2E error %", (row) => row.e2e_error_percent, signed),
            ],
            result.kv_blocks,
          ),
        );
    },
  };
};
