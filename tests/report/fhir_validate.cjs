// Validates FHIR R4 bundles with npm's `fhir`: node fhir_validate.cjs FILE...; NODE_PATH names the node_modules.
// Prints one line per problem and exits 1 when there is any.
const fs = require("fs");
const { Fhir } = require("fhir");

const fhir = new Fhir();
let bad = 0;
for (const file of process.argv.slice(2)) {
  const bundle = JSON.parse(fs.readFileSync(file, "utf8"));
  const resources = [bundle, ...(bundle.entry || []).map((entry) => entry.resource)];
  // The package does not resolve references, so that is done here.
  const urls = new Set((bundle.entry || []).map((entry) => entry.fullUrl));
  JSON.stringify(bundle, (key, value) => {
    if (key === "reference" && !urls.has(value)) {
      bad += 1;
      console.log(`${file}: reference ${value} leads nowhere`);
    }
    return value;
  });
  for (const resource of resources) {
    const result = fhir.validate(resource, { errorOnUnexpected: true });
    for (const message of result.messages || []) {
      if (["error", "fatal"].includes(message.severity)) {
        bad += 1;
        console.log(`${file}: ${resource.resourceType}: ${message.location}: ${message.message}`);
      }
    }
    if (!result.valid && !(result.messages || []).length) {
      bad += 1;
      console.log(`${file}: ${resource.resourceType}: not valid`);
    }
  }
}
process.exit(bad ? 1 : 0);
