const express = require('express');
const app = express();
app.use(express.json());
app.post('/webhooks/openprospect', (req, res) => {
// 1. Verify Authentication
const authHeader = req.headers.authorization;
if (authHeader !== 'Bearer your-secret-token') {
return res.status(401).send('Unauthorized');
}
// 2. Process Data
const { company } = req.body.data;
console.log(`Received qualified lead: ${company.name}`);
// 3. Return 200 OK
res.status(200).json({ status: 'received' });
});
