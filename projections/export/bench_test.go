package export_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
	"github.com/openprospect/delivery-ledger/projections"
	"github.com/openprospect/delivery-ledger/projections/export"
	"github.com/openprospect/delivery-ledger/projections/projectionstest"
)

// A scale is where rows are written to, that weighs them.
type scale struct{ bytes int64 }

// Write implements [io.Writer].
func (s *scale) Write(p []byte) (int, error) {
	s.bytes += int64(len(p))
	return len(p), nil
}

// newExportable returns a ledger that has handed n companies over, each an event of about 400 bytes, and shows them.
func newExportable(tb testing.TB, n int) ledger {
	tb.Helper()
	pool := testdb.New(tb)
	l := ledger{pool, projectionstest.NewStore(tb, pool)}
	l.append(tb, domain.DeliveryStream("dcf_1"), domain.DeliveryCreated{
		Delivery: "dcf_1", Organisation: "org_1", Name: "CRM Sync", Status: domain.Active, Schedule: "immediate", Search: "search",
	})
	for left := n; left > 0; left -= 1000 {
		appends := make([]eventstore.Append, min(left, 1000))
		for i := range appends {
			id := domain.CompanyID(fmt.Sprintf("comp_%08d", left-i))
			appends[i] = eventstore.Append{Stream: domain.HandOverStream("dcf_1", id), Events: []eventstore.Event{domain.CompanyQualified{
				HandOver: domain.NewHandOverID(), Organisation: "org_1", Delivery: "dcf_1", Search: "search", CompanyID: id,
				Company:   json.RawMessage(`{"id":"` + string(id) + `","name":"TechCorp Inc","domain":"techcorp.example","industry":"SaaS"}`),
				Prospects: json.RawMessage(`[{"id":"pros_1","first_name":"Jane"}]`), Score: 85, MatchReasons: []string{"Uses HubSpot"},
			}}}
		}
		for _, r := range l.store.AppendEach(tb.Context(), appends) {
			require.NoError(tb, r.Err)
		}
	}
	require.NoError(tb, projections.Rebuild(tb.Context(), pool, l.store.Registry(), projections.Companies()))
	return l
}

// BenchmarkExport measures how fast as many events, and companies, as -benchtime says, such as 1000000x, are exported, and the
// most memory that the process had in use.
func BenchmarkExport(b *testing.B) {
	ledgers := map[int]ledger{} // by length
	companies, _ := export.TableNamed("companies")
	for _, table := range []export.Table{export.Log(), companies} {
		for _, format := range formats {
			b.Run(table.Name+"/"+string(format), func(sub *testing.B) {
				l, ok := ledgers[sub.N]
				if !ok {
					l = newExportable(b, sub.N)
					ledgers[sub.N] = l
				}
				head := l.head(sub)
				var out scale
				peak := testdb.PeakMemory(sub)
				sub.ResetTimer()
				file := export.Stream(&out)
				w, err := file.Rows(format, table)
				require.NoError(sub, err)
				var rows int64
				if table.Name == companies.Name {
					rows, _, err = export.WriteTable(sub.Context(), l.pool, w, table, "", func(int64, int64) {})
				} else {
					rows, err = export.WriteLog(sub.Context(), l.pool, w, export.Span{Until: head}, func(eventstore.Position) {})
				}
				require.NoError(sub, err)
				require.NoError(sub, w.Close())
				require.NoError(sub, file.Keep())
				sub.StopTimer()
				require.GreaterOrEqual(sub, rows, int64(sub.N))
				sub.ReportMetric(peak(), "MiB")
				sub.ReportMetric(float64(rows)/sub.Elapsed().Seconds(), "rows/s")
				sub.ReportMetric(float64(out.bytes)/1e6/sub.Elapsed().Seconds(), "MB/s")
			})
		}
	}
}
