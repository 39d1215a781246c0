// The page's modules share one scope in the report: each file says what it takes from the others.
const browser = Object.fromEntries(
  [
    "document",
    "matchMedia",
    "innerWidth",
    "innerHeight",
    "location",
    "addEventListener",
    "fetch",
    "setTimeout",
    "clearTimeout",
    "setInterval",
  ].map((name) => [name, "readonly"]),
);
const shared = Object.fromEntries(
  ["rooftuneModules", "themes", "plots", "reportKit", "reportPages"].map((name) => [name, "readonly"]),
);

module.exports = [
  { ignores: ["**/eslint.config.js"] },
  {
    files: ["**/*.js"],
    languageOptions: { ecmaVersion: 2022, sourceType: "script", globals: { ...browser, ...shared } },
    rules: {
      "no-undef": "error",
      "no-unused-vars": ["error", { vars: "local" }],
      "no-redeclare": ["error", { builtinGlobals: false }],
      "prefer-const": "error",
      "no-var": "error",
      eqeqeq: "error",
      "no-shadow": "error",
      "no-use-before-define": ["error", { functions: false, variables: false }],
    },
  },
];
