reportPages.live = (kit) => {
  const { data, significant, plural, el, table, words, number, list } = kit;
  const betweenLooks = 2000; // ms
  const quietFor = 30; // s without anything new that are worth a word
  let state = data.live;
  let changed = Date.now();
  let lost = false;

  const count = (value) => value.toLocaleString("en");
  const said = () => {
    const sentences = [];
    if (state.rounds !== null) {
      const judged = Math.max(0, state.rounds - 1);
      sentences.push(
        state.rounds === 0
          ? "The structure of the study itself is being fitted and judged."
          : `${plural(judged, "change")} judged${state.most_rounds ? ` of at most ${state.most_rounds}` : ""}.`,
      );
      if (state.waiting.length) sentences.push(`Being judged now: ${state.waiting[0]}.`);
      else if (state.rounds > 0) sentences.push("Errors are being diagnosed and moves screened.");
    } else {
      const most = state.most_evaluations ? ` of at most ${count(state.most_evaluations)}` : "";
      const { progress } = state;
      const parts = progress && progress.parts ? `${progress.finished} of ${progress.of} ${progress.parts}` : "";
      const begun = state.searches.length > 1 || state.folds ? plural(state.searches.length, "fit") : "";
      if (progress && progress.is_stored_elsewhere) {
        const found = progress.found ? `, ${count(progress.found)} more were in it already` : "";
        sentences.push(
          `${plural(progress.computed, "evaluation")} went into another store than the run folder's own${found}. What they hold is not shown here.`,
        );
        if (progress.objective !== null) sentences.push(`Objective: ${significant(progress.objective)} at best.`);
      } else {
        sentences.push(
          state.evaluations === 0 ? "Nothing is stored yet." : `${plural(state.evaluations, "evaluation")} stored${most}.`,
        );
        if (state.refusals > 0) sentences.push(`${count(state.refusals)} of them had no answer.`);
      }
      if (parts) sentences.push(`Finished: ${parts}${begun ? `; begun: ${begun}` : ""}.`);
      else if (begun) sentences.push(`Begun: ${begun}${state.folds ? `; each seed has ${plural(state.folds, "fold")}` : ""}.`);
      const newest = state.newest === null ? null : state.searches[state.newest];
      if (newest)
        sentences.push(
          `Objective: ${significant(newest.best)} at best, ${state.last === null ? "no answer" : significant(state.last)} at the point tried last.`,
        );
    }
    const quiet = Math.round((Date.now() - changed) / 1000);
    if (lost) sentences.push("The server of this page has ended: nothing here changes any more.");
    else if (quiet >= quietFor) sentences.push(`Nothing new for ${quiet} s. A run that was ended goes on with --resume.`);
    return sentences.map((sentence) => el("p", {}, sentence));
  };
  const render = (body) => {
    const parts = said();
    if (state.waiting.length > 1) parts.push(el("h3", {}, "Waiting to be judged"), list(state.waiting.slice(1)));
    if (state.parameters.length)
      parts.push(
        table(
          [
            words("parameter", (row) => row.parameter),
            number("best so far", (row) => row.best),
            number("tried last", (row) => row.last),
          ],
          state.parameters,
          state.searches.length > 1 ? "Of the fit that was stored last" : "Parameters",
        ),
      );
    if (state.searches.length > 1)
      parts.push(
        table(
          [
            number("fit", (row) => row.index),
            number("evaluations", (row) => row.evaluations),
            number("best objective", (row) => row.best),
          ],
          state.searches.map((search, index) => ({ ...search, index: index + 1 })),
          "Fits in the order in which they were begun",
        ),
      );
    body.replaceChildren(...parts);
  };
  // A finished run has a report, and a round that is over a line in the journal: both come with a new page.
  const isOtherPage = (next) => next.state !== state.state || next.rounds !== state.rounds;
  const look = async (body) => {
    if (document.hidden) return;
    try {
      const answer = await fetch("state.json", { cache: "no-store" });
      const next = await answer.json();
      if (isOtherPage(next)) {
        location.reload();
        return;
      }
      if (JSON.stringify(next) !== JSON.stringify(state)) changed = Date.now();
      state = next;
      lost = false;
    } catch {
      lost = true;
    }
    render(body);
  };

  return {
    id: "live",
    title: "Now",
    question: "What is tried now, and what is left?",
    available: () => Boolean(data.live),
    fill(section) {
      const body = el("div", { "aria-live": "polite" });
      section.append(...state.notices.map((notice) => el("p", { class: "note" }, notice)), body);
      render(body);
      setInterval(() => look(body), betweenLooks);
      document.addEventListener("visibilitychange", () => look(body));
    },
  };
};
