reportPages.steps = (kit) => {
  const { data, significant, el, table, words, number, figure } = kit;

  return {
    id: "steps",
    title: "Step time",
    question: "Where does an engine step's time go?",
    available: () => data.step_time.length > 0,
    fill(section) {
      section.append(
        el(
          "p",
          { class: "note" },
          "Terms of the step-time model, stacked; the diamond is the whole step, which is less than the stack where compute and memory overlap. Left: steps that only decode, every request at the data's mean context. Right: a prompt alone.",
        ),
      );
      const grid = el("div", { class: "grid" });
      section.append(grid);
      for (const steps of data.step_time) {
        const largest = steps.terms
          .map((term, index) => ({ term, index, time: Math.max(...steps.samples.map((sample) => sample.terms_us[index])) }))
          .filter((entry) => entry.time > 0)
          .sort((a, b) => b.time - a.time);
        const kept = largest.slice(0, largest.length > 9 ? 8 : 9).sort((a, b) => a.index - b.index);
        const rest = largest.slice(kept.length);
        const terms = [...kept.map((entry) => entry.term), ...(rest.length ? ["other"] : [])];
        const panel = (colours, samples, category, xTitle, title) => {
          const bars = samples.flatMap((sample) => {
            const own = kept.map((entry, order) => ({
              category: category(sample),
              term: entry.term,
              order,
              value: sample.terms_us[entry.index] / 1000,
            }));
            if (rest.length)
              own.push({
                category: category(sample),
                term: "other",
                order: kept.length,
                value: rest.reduce((sum, entry) => sum + sample.terms_us[entry.index], 0) / 1000,
              });
            return own.map((bar) => ({ ...bar, tip: [sample.batch, `${bar.term}: ${significant(bar.value)} ms`] }));
          });
          const totals = samples.map((sample) => ({
            category: category(sample),
            value: sample.total_us / 1000,
            stacked: sample.terms_us.reduce((sum, term) => sum + term, 0) / 1000,
            tip: [
              sample.batch,
              `whole step: ${significant(sample.total_us / 1000)} ms`,
              sample.bound ? `ruled by ${sample.bound}` : "",
            ],
          }));
          return plots.stackedPanel(colours, {
            title,
            width: plots.fit(colours, 2).width,
            height: 210,
            bars,
            totals,
            categories: samples.map(category),
            terms,
            xTitle,
            yTitle: "ms",
          });
        };
        const spec = (colours) =>
          plots.panels(
            colours,
            [
              panel(
                colours,
                steps.samples.filter((sample) => sample.decode_requests > 0),
                (sample) => sample.decode_requests,
                "decoding requests",
                "decode steps",
              ),
              panel(
                colours,
                steps.samples.filter((sample) => sample.prefill_tokens > 0),
                (sample) => sample.prefill_tokens,
                "prompt tokens",
                "prefill steps",
              ),
            ],
            {
              columns: plots.fit(colours, 2).columns,
              legend: terms.map((name) => ({ name, colour: plots.termColour(colours, name), shape: "square" })),
              legendColumns: 6,
            },
          );
        const columns = [
          words("step", (sample) => sample.batch),
          number("whole step ms", (sample) => sample.total_us / 1000),
          words("ruled by", (sample) => sample.bound),
          ...steps.terms.map((term, index) => number(`${term} ms`, (sample) => sample.terms_us[index] / 1000)),
        ];
        grid.append(
          figure(
            `${steps.model}, ${steps.gpu}, TP ${steps.tp}`,
            `Context of each decoding request: ${Math.round(steps.context_tokens)} tokens.`,
            spec,
            table(columns, steps.samples),
          ),
        );
      }
    },
  };
};
