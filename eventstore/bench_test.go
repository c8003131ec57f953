package eventstore_test

import (
	"encoding/json"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

// qualified is an event as the ledger has most of: about 700 bytes.
type qualified struct {
	HandOver     string          `json:"hand_over"`
	Organisation string          `json:"organisation"`
	Delivery     string          `json:"delivery"`
	Search       string          `json:"prospect_search"`
	CompanyID    string          `json:"company_id"`
	Company      json.RawMessage `json:"company"`
	Prospects    json.RawMessage `json:"prospects"`
	Score        int             `json:"qualification_score"`
	MatchReasons []string        `json:"match_reasons"`
}

func (qualified) EventType() string { return "company.qualified" }

// newQualified returns the first event of a stream, and the stream.
func newQualified() eventstore.Append {
	id := uuid.Must(uuid.NewV7()).String()
	const delivery = "dcf_01jnf4w0000000000000000000"
	return eventstore.Append{
		Stream: "handover/" + delivery + "/comp_" + id,
		Events: []eventstore.Event{qualified{
			HandOver: "del_" + id, Organisation: "org_01jnf4w0000000000000000000", Delivery: delivery,
			Search: "7f9d1c3e-4a5b-4c6d-8e7f-901234567890", CompanyID: "comp_" + id,
			Company: json.RawMessage(`{"id":"comp_` + id + `","name":"TechCorp Inc","domain":"techcorp.example","industry":"SaaS",` +
				`"size":"50-200","location":"San Francisco, CA","technologies":["HubSpot","AWS","React"]}`),
			Prospects: json.RawMessage(`[{"id":"pros_` + id + `","first_name":"Jane","last_name":"Smith","title":"VP Marketing",` +
				`"email":"jane@techcorp.example","linkedin_url":"https://linkedin.example/in/janesmith"}]`),
			Score: 85, MatchReasons: []string{"Uses HubSpot", "Series B funded"},
		}},
	}
}

// newAppends returns n of them.
func newAppends(n int) []eventstore.Append {
	appends := make([]eventstore.Append, n)
	for i := range appends {
		appends[i] = newQualified()
	}
	return appends
}

// copyColumns are those of the table of events.
var copyColumns = []string{
	"position", "version", "recorded_at", "id", "schema_version", "stream", "type", "data", "metadata", "hash",
}

// rowsOf returns rows like those that appending n events makes.
func rowsOf(tb testing.TB, n int) [][]any {
	tb.Helper()
	rows := make([][]any, n)
	for i := range rows {
		a := newQualified()
		data, err := json.Marshal(a.Events[0])
		require.NoError(tb, err)
		rows[i] = []any{
			int64(i + 1), int64(1), time.Now(), [16]byte(uuid.New()), int16(1), a.Stream, "company.qualified",
			data, []byte(`{}`), make([]byte, 32),
		}
	}
	return rows
}

// copyRate returns how many such events a second go into an empty log by COPY, a few thousand
// a transaction: what the disk and the indexes allow.
func copyRate(tb testing.TB) float64 {
	tb.Helper()
	const total, group = 64_000, 4_000
	pool := testdb.New(tb)
	rows := rowsOf(tb, total)
	began := time.Now()
	for i := 0; i < total; i += group {
		_, err := pool.CopyFrom(tb.Context(), pgx.Identifier{"events"}, copyColumns, pgx.CopyFromRows(rows[i:i+group]))
		require.NoError(tb, err)
	}
	return total / time.Since(began).Seconds()
}

// report reports the rate of events, also as a share of what COPY gives in the same run: the
// mean of before and after.
func report(b *testing.B, events int64, copiedBefore float64) {
	b.Helper()
	b.StopTimer()
	rate := float64(events) / b.Elapsed().Seconds()
	b.ReportMetric(rate, "events/s")
	b.ReportMetric(2*rate/(copiedBefore+copyRate(b)), "xCOPY")
}

// BenchmarkAppend measures appends of one event by many callers at once, and in groups.
func BenchmarkAppend(b *testing.B) {
	for _, callers := range []int{1, 64, 1024} {
		b.Run("callers="+strconv.Itoa(callers), func(b *testing.B) {
			pool := testdb.New(b)
			store := newStore(pool)
			appends := newAppends(b.N)
			copied := copyRate(b)
			var next atomic.Int64
			b.ResetTimer()
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
						if _, err := store.Append(b.Context(), appends[i-1]); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			report(b, int64(b.N), copied)
		})
	}
	b.Run("group=1000", func(b *testing.B) {
		pool := testdb.New(b)
		store := newStore(pool)
		appends := newAppends(b.N * 1000)
		copied := copyRate(b)
		b.ResetTimer()
		for i := range b.N {
			for _, r := range store.AppendEach(b.Context(), appends[i*1000:(i+1)*1000]) {
				require.NoError(b, r.Err)
			}
		}
		report(b, int64(b.N)*1000, copied)
	})
}

// BenchmarkVerify measures how fast the log is read and its hashes are computed again.
func BenchmarkVerify(b *testing.B) {
	const events = 50_000
	pool := testdb.New(b)
	fillForBenchmark(b, pool, events)
	b.ResetTimer()
	for range b.N {
		n, err := eventstore.Verify(b.Context(), pool, nil)
		require.NoError(b, err)
		require.EqualValues(b, events, n)
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)*events/b.Elapsed().Seconds(), "events/s")
}

// fillForBenchmark appends events.
func fillForBenchmark(tb testing.TB, pool *pgxpool.Pool, events int) {
	tb.Helper()
	store := newStore(pool)
	for range events / 1000 {
		for _, r := range store.AppendEach(tb.Context(), newAppends(1000)) {
			require.NoError(tb, r.Err)
		}
	}
}
