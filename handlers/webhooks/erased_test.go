package webhooks_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/projections"
)

// What is sealed in between goes out as it came, byte for byte; once somebody is erased, the next attempt is without.
func TestWebhooksGoWithoutWhoWasErased(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.cfg.Retries = domain.RetrySchedule{time.Hour}
	r := newReceiver(t, failing(1, 500))
	d := b.delivery(t, destination(r.URL))
	const jane, john = `{"id":"jane","name":"Ja\u006ee <&>","n":1.50}`, `{"id":"john","tags":["a , b"]}`
	o := qualifySample(t, b, d, func(q *domain.Qualification) {
		q.Prospects = json.RawMessage("[" + jane + " , " + john + "]")
	})
	records, err := b.store.ReadStream(t.Context(), domain.HandOverStream(d.ID, o.State.Company))
	require.NoError(t, err)
	require.NotContains(t, string(records[0].Data), `"name":"Ja`)
	event, err := b.store.Registry().Decode(records[0])
	require.NoError(t, err)
	sealed := event.(domain.CompanyQualified)
	stop := b.work(t)
	first := r.await(t, 1)[0]
	b.awaitCounts(t, d, projections.Counts{domain.Retrying: 1})
	stop()
	require.Contains(t, first.body, `"prospects":[`+jane+`,`+john+`],`)
	require.NoError(t, b.subjects.Destroy(t.Context(), string(org), map[int64][][]string{sealed.Key: sealed.Subjects([]string{"jane"})}))
	_, err = b.pool.Exec(t.Context(), `SELECT pg_sleep($1)`, b.subjects.Settled().Seconds())
	require.NoError(t, err)
	b.makeDue(t)
	b.work(t)
	require.Contains(t, r.await(t, 2)[1].body, `"prospects":[`+john+`],`)
}
