// Lets the documentation's receiver, which is given unchanged and does not listen by itself, listen on loopback.
const { readFileSync } = require('node:fs');
const sample = readFileSync(process.argv[2], 'utf8');
const app = new Function('require', `${sample}\nreturn app;`)(require);
const server = app.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}/webhooks/openprospect`));
