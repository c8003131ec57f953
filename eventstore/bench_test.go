package eventstore_test

import (
	"encoding/json"
	"runtime/debug"
	"slices"
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

// A yardstick writes events to a log of its own by COPY, a few thousand a transaction: what the
// disk and the indexes allow.
type yardstick struct {
	pool   *pgxpool.Pool
	events int
	took   time.Duration
}

// measure copies events like those that appends make.
func (y *yardstick) measure(b *testing.B, appends []eventstore.Append) {
	b.Helper()
	const group = 4000
	rows := make([][]any, len(appends))
	for i, a := range appends {
		data, err := json.Marshal(a.Events[0])
		require.NoError(b, err)
		y.events++
		rows[i] = []any{
			int64(y.events), int64(1), time.Now(), [16]byte(uuid.New()), int16(1), a.Stream, "company.qualified",
			data, []byte(`{}`), make([]byte, 32),
		}
	}
	began := time.Now()
	for page := range slices.Chunk(rows, group) {
		_, err := y.pool.CopyFrom(b.Context(), pgx.Identifier{"events"}, copyColumns, pgx.CopyFromRows(page))
		require.NoError(b, err)
	}
	y.took += time.Since(began)
}

// againstCopy measures write, which appends n times per events, and reports the rate of events,
// also as a share of what COPY gives. The two take turns of about a second, so that
// whatever else the machine does hits both alike.
func againstCopy(b *testing.B, per int, write func(*eventstore.Store, []eventstore.Append)) {
	b.Helper()
	const turn = 100_000
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // as the program has it
	store := newStore(testdb.New(b))
	copied := yardstick{pool: testdb.New(b)}
	b.ResetTimer()
	for left := b.N * per; left > 0; left -= turn {
		b.StopTimer()
		appends := newAppends(min(left, turn))
		b.StartTimer()
		write(store, appends)
		b.StopTimer()
		copied.measure(b, appends)
		b.StartTimer()
	}
	b.StopTimer()
	rate := float64(b.N*per) / b.Elapsed().Seconds()
	b.ReportMetric(rate, "events/s")
	b.ReportMetric(rate*copied.took.Seconds()/float64(copied.events), "xCOPY")
}

// BenchmarkAppend measures appends of one event by many callers at once, and in groups.
func BenchmarkAppend(b *testing.B) {
	for _, callers := range []int{1, 64, 1024} {
		b.Run("callers="+strconv.Itoa(callers), func(b *testing.B) {
			againstCopy(b, 1, func(store *eventstore.Store, appends []eventstore.Append) {
				var next atomic.Int64
				var wg sync.WaitGroup
				for range callers {
					wg.Go(func() {
						for i := next.Add(1); i <= int64(len(appends)); i = next.Add(1) {
							if _, err := store.Append(b.Context(), appends[i-1]); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
			})
		})
	}
	b.Run("group=1000", func(b *testing.B) {
		againstCopy(b, 1000, func(store *eventstore.Store, appends []eventstore.Append) {
			for group := range slices.Chunk(appends, 1000) {
				for _, r := range store.AppendEach(b.Context(), group) {
					require.NoError(b, r.Err)
				}
			}
		})
	})
}

// BenchmarkVerify measures how fast a log of as many events as -benchtime says, such as 1000000x, is read and its hashes are
// computed again, and the most memory that the process had in use.
func BenchmarkVerify(b *testing.B) {
	pool := testdb.New(b)
	fillForBenchmark(b, pool, b.N)
	peak := testdb.PeakMemory(b)
	b.ResetTimer()
	n, err := eventstore.Verify(b.Context(), pool, nil)
	b.StopTimer()
	require.NoError(b, err)
	require.EqualValues(b, b.N, n)
	b.ReportMetric(peak(), "MiB")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// fillForBenchmark appends events.
func fillForBenchmark(tb testing.TB, pool *pgxpool.Pool, events int) {
	tb.Helper()
	store := newStore(pool)
	for left := events; left > 0; left -= 1000 {
		for _, r := range store.AppendEach(tb.Context(), newAppends(min(left, 1000))) {
			require.NoError(tb, r.Err)
		}
	}
}
