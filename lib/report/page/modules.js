// A registry for the modules of Vega, which Debian packages one by one in the CommonJS form.
const rooftuneModules = (() => {
  const factories = new Map();
  const loaded = new Map();
  const require = (name) => {
    if (!loaded.has(name)) {
      const module = { exports: {} };
      loaded.set(name, module.exports);
      factories.get(name)(module.exports, module, require);
    }
    return loaded.get(name);
  };
  return {
    define: (name, factory) => factories.set(name, factory),
    // What plots need of Vega, or null when the report was written without it.
    vega: () => {
      if (!factories.has("vega-view")) return null;
      const { transforms } = require("vega-dataflow");
      for (const name of ["vega-transforms", "vega-view-transforms", "vega-encode"]) Object.assign(transforms, require(name));
      return { parse: require("vega-parser").parse, View: require("vega-view").View };
    },
  };
})();
