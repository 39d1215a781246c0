reportPages.journal = (kit) => {
  const { data, significant, plural, el, table, words, number, folded, figure } = kit;

  return {
    id: "journal",
    title: "Journal",
    question: "Which changes were tried, why, and what did runs that no fit had seen say?",
    available: () => Boolean(data.journal && data.journal.rounds.length),
    fill(section) {
      const { rounds, screenings, outcome } = data.journal;
      const stays = (round) => round.fate !== "reverted";
      const kept = rounds.filter(stays),
        reverted = rounds.filter((round) => !stays(round));
      section.append(
        el(
          "p",
          {},
          `${kept.length - 1} of ${plural(rounds.length - 1, "judged change")} kept: held-out score ${significant(rounds[0].after_percent)} → ${significant(kept.at(-1).after_percent)} %.` +
            (outcome ? ` Ended: ${outcome.reason}.` : " Not ended yet."),
        ),
      );
      const tip = (round) => [
        `round ${round.round}: ${round.move}`,
        `${round.fate}: ${round.why || round.change}`,
        `${significant(round.before_percent)} → ${significant(round.after_percent)} %`,
      ];
      const point = (round) => ({
        x: round.round,
        y: round.after_percent,
        low: round.after_percent - round.noise_percent,
        high: round.after_percent + round.noise_percent,
        tip: tip(round),
      });
      // What holds between two kept rounds is a step: a reverted round leaves nothing behind.
      const steps = [];
      for (const round of rounds) {
        const now = steps.length ? steps.at(-1).y : round.after_percent;
        steps.push({ x: round.round, y: now });
        if (stays(round)) steps.push({ x: round.round, y: round.after_percent });
      }
      const spec = (colours) =>
        plots.panels(
          colours,
          [
            plots.xyPanel(colours, {
              width: plots.fit(colours, 1, { max: 900 }).width,
              height: 260,
              x: { title: "round", format: "d", domain: [-0.5, rounds.length - 0.5], ticks: Math.min(15, rounds.length) },
              y: { title: "held-out score, %" },
              layers: [
                { kind: "line", style: 0, points: steps },
                { kind: "rule", colour: colours.faint, points: rounds.filter((round) => round.noise_percent > 0).map(point) },
                { kind: "symbol", style: 1, shape: "cross", hollow: true, size: 90, points: reverted.map(point) },
                { kind: "symbol", style: 0, shape: "circle", size: 90, points: kept.map(point) },
              ],
            }),
          ],
          {
            columns: 1,
            legend: [
              { name: "kept", style: 0, shape: "circle" },
              ...(reverted.length ? [{ name: "reverted", style: 1, shape: "cross", hollow: true }] : []),
            ],
          },
        );
      section.append(
        figure(
          "Rounds",
          "Each mark is what a change made of the held-out score, with its noise over seeds; the line is the score that was kept. Below the line is better, but a change also needs to beat its noise, pay for its parameters and spare every group.",
          spec,
        ),
      );
      const verdict = { ...words("verdict", (r) => r.fate), tone: (fate) => (fate === "kept" ? "word good" : "word") };
      section.append(
        table(
          [
            number("round", (r) => r.round),
            verdict,
            words("move", (r) => r.move),
            words("reason", (r) => r.reason),
            number("before %", (r) => r.before_percent),
            number("after %", (r) => r.after_percent),
            number("noise %", (r) => r.noise_percent),
            words("why", (r) => r.why),
          ],
          rounds,
          "Rounds of the journal",
        ),
      );
      section.append(
        folded(
          "What each round changed, and the finding that suggested it",
          table(
            [
              number("round", (r) => r.round),
              words("change", (r) => r.change),
              number("parameters", (r) => r.free_parameters),
              words("suggested by", (r) => r.suggested_by),
            ],
            rounds,
          ),
        ),
      );
      const refused = screenings.flatMap((screening) =>
        screening.candidates
          .filter((item) => item.fate === "refused")
          .map((item) => ({ ...item, screening: screening.screening })),
      );
      if (refused.length)
        section.append(
          folded(
            "Refused before any fit",
            table([number("diagnosis", (r) => r.screening), words("move", (r) => r.move), words("why", (r) => r.why)], refused),
          ),
        );
      for (const screening of screenings) {
        section.append(
          folded(
            `Diagnosis ${screening.screening}, of the structure of round ${screening.structure}`,
            table([number("t", (f) => f.t), words("finding", (f) => f.text)], screening.findings),
          ),
        );
        section.append(
          folded(
            `Moves screened after diagnosis ${screening.screening}`,
            table(
              [
                words("move", (c) => c.move),
                words("change", (c) => c.change),
                words("fate", (c) => c.fate),
                number("before %", (c) => c.before_percent),
                number("after %", (c) => c.score_percent),
                number("folds", (c) => c.folds),
              ],
              screening.candidates,
            ),
          ),
        );
      }
    },
  };
};
