// What a customer writes with fetch: a delivery, its webhook, and the companies that were delivered since the last sync.
const base = process.env.OPENPROSPECT_URL;
const headers = { Authorization: `Bearer ${process.env.OPENPROSPECT_API_KEY}`, 'Content-Type': 'application/json' };

async function call(method, path, body) {
  const response = await fetch(base + '/api/v1' + path, { method, headers, body: body && JSON.stringify(body), redirect: 'error' });
  if (!response.ok) {
    const { code, message } = await response.json();
    throw new Error(`${method} ${path}: ${response.status} ${code}: ${message}`);
  }
  return response.status === 204 ? undefined : response.json();
}

const delivery = await call('POST', '/deliveries/', { name: 'CRM Sync', status: 'active', schedule: 'immediate' });
await call('POST', `/deliveries/${delivery.id}/destinations`, {
  type: 'webhook', url: process.env.RECEIVER_URL, auth_type: 'bearer', auth_token: 'your-secret-token',
});
for (const name of ['Acme Corp', 'Grüezi AG', 'Kōbe Robotics']) {
  await call('POST', `/deliveries/${delivery.id}/qualifications`, {
    company: { id: 'comp_' + encodeURIComponent(name), name }, prospects: [], qualification_score: 85, match_reasons: ['Uses HubSpot'],
  });
}

const got = [];
for (let since = '2025-01-15T00:00:00Z', tries = 0; got.length < 3 && tries < 5000; tries++) {
  const page = await call('GET', `/deliveries/${delivery.id}/companies?delivered_since=${since}&limit=2`);
  for (const item of page.items) {
    got.push(item.name);
    since = item.delivered_at;
  }
}
console.log(`Pulled: ${got.join(', ')}`);

await call('PUT', `/deliveries/${delivery.id}`, { name: 'CRM Sync (Updated)' });
const refusal = await call('GET', '/deliveries/dcf_none').catch((error) => error.message);
console.log(refusal);
