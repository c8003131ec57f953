// Runs the statements that come in, and prints the rows of each as a line of JSON.
const { DuckDBInstance } = require("@duckdb/node-api");
const { readFileSync } = require("node:fs");

(async () => {
  const db = await (await DuckDBInstance.create(":memory:")).connect();
  for (const statement of readFileSync(0, "utf8").split(/;\s*\n/).filter((text) => text.trim())) {
    const rows = await db.runAndReadAll(statement);
    console.log(JSON.stringify(rows.getRowObjectsJson()));
  }
})();
