reportPages.manifest = (kit) => {
  const { run, plural, el, table, words, folded } = kit;

  return {
    id: "manifest",
    title: "Manifest",
    question: "What exactly was run?",
    available: () => true,
    fill(section) {
      const manifest = run.manifest;
      const facts = [
        ["command", `rooftune ${manifest.arguments.join(" ")}`],
        ["run folder", run.folder],
        ["state", manifest.state],
        ["seed", manifest.seed],
        ["replicates", manifest.replicates],
        ["limited by time", manifest.limited_by_time ? "yes" : "no"],
        ["simulator", manifest.simulator_identity],
        [
          "versions",
          Object.entries(manifest.versions)
            .map((entry) => entry.join(" "))
            .join(", "),
        ],
      ];
      section.append(
        table([words("", (fact) => fact[0]), words("", (fact) => String(fact[1]))], facts),
        el("h3", {}, "Inputs"),
        folded(
          `${plural(manifest.inputs.length, "file")} that the run read, with their hashes`,
          table([words("file", (input) => input.path), words("SHA-256", (input) => input.sha256)], manifest.inputs),
        ),
      );
    },
  };
};
