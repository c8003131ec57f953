package export_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
	"github.com/openprospect/delivery-ledger/projections"
	"github.com/openprospect/delivery-ledger/projections/export"
	"github.com/openprospect/delivery-ledger/projections/projectionstest"
)

// patience is how long a test waits for what must happen.
const patience = 2 * time.Minute

// formats are all of them.
var formats = []export.Format{export.NDJSON, export.CSV, export.Parquet}

// hostile are texts that a careless writer spoils.
var hostile = []string{
	"Acme Corp", "", " ", `"`, `""`, `a"b,c`, "two\nlines", "two\r\nlines", "\n", `\.`, `\n`, "tab\t", "'; DROP TABLE events; --", "null", "NULL", "1e3",
	"Grüezi 🏔️ 東京 \u2028 \ufeff \u202e", "\x01\x1f\x7f", strings.Repeat("long ", 100_000),
}

// A ledger is what a test exports.
type ledger struct {
	pool  *pgxpool.Pool
	store *eventstore.Store
}

// newLedger returns a ledger with a delivery of each organisation, under each of which companies with those names, as
// parts of their IDs too, were handed over.
func newLedger(tb testing.TB, names []string, organisations ...domain.OrganisationID) ledger {
	tb.Helper()
	pool := testdb.New(tb)
	l := ledger{pool, projectionstest.NewStore(tb, pool)}
	for _, org := range organisations {
		delivery, destination := domain.DeliveryID("dcf_"+org), domain.DestinationID("dst_"+org)
		l.append(tb, domain.DeliveryStream(delivery),
			domain.DeliveryCreated{Delivery: delivery, Organisation: org, Name: names[len(names)-1], Status: domain.Active, Schedule: "immediate", Search: "search"},
			domain.DestinationAdded{Delivery: delivery, Destination: domain.Destination{ID: destination, Type: domain.Webhook, URL: "https://example.com/?a=\"b\""}})
		for i, name := range names {
			company, err := json.Marshal(map[string]any{"id": name, "name": name})
			require.NoError(tb, err)
			stream := fmt.Sprintf("handover/%s/%.50s%d", delivery, name, i)
			l.append(tb, stream, domain.CompanyQualified{
				HandOver: domain.HandOverID(fmt.Sprintf("del_%s%d", org, i)), Organisation: org, Delivery: delivery, Search: "search",
				CompanyID: domain.CompanyID(fmt.Sprintf("%.50s%d", name, i)), Company: company, Prospects: json.RawMessage(`[ ]`), MatchReasons: names[:i],
			})
		}
		dispatch := domain.DispatchIDFor(domain.HandOverID(fmt.Sprintf("del_%s0", org)), destination)
		l.append(tb, domain.DispatchStream(dispatch), domain.AttemptSucceeded{Owed: new(time.Unix(0, 0)), Attempt: domain.Attempt{
			Dispatch: dispatch, HandOver: domain.HandOverID(fmt.Sprintf("del_%s0", org)), Delivery: delivery, Destination: destination, Number: 1, Status: 200,
		}})
		replay := domain.ReplayID("rpl_" + org)
		l.append(tb, domain.ReplayStream(replay), domain.ReplayStarted{Replay: replay, Delivery: delivery})
		requalification := domain.RequalificationID("rql_" + org)
		l.append(tb, domain.RequalificationStream(requalification), domain.RequalificationStarted{Requalification: requalification, Delivery: delivery})
		erasure := domain.ErasureID("ers_" + org)
		l.append(tb, domain.ErasureStream(erasure), domain.ErasureStarted{Erasure: erasure, Organisation: org, Subject: domain.ErasureSubject{Prospect: "p"}})
		l.append(tb, domain.ExclusionStream(org, "exc_1"),
			domain.ExclusionAdded{Organisation: org, Excluded: domain.Excluded{Exclusion: "exc_1", Kind: "company", Value: "comp_1", Reason: names[0]}})
	}
	return l
}

// append appends events to a new stream.
func (l ledger) append(tb testing.TB, stream string, events ...eventstore.Event) {
	tb.Helper()
	_, err := l.store.Append(tb.Context(), eventstore.Append{Stream: stream, Events: events})
	require.NoError(tb, err)
}

// project has the read models show the whole log, and returns where it ends.
func (l ledger) project(tb testing.TB) eventstore.Position {
	tb.Helper()
	head := l.head(tb)
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	stop := projectionstest.Follow(tb, l.pool, l.store)
	for _, p := range projections.All() {
		require.NoError(tb, l.store.Await(ctx, p.Name, head))
	}
	stop()
	return head
}

// head returns the last position of the log.
func (l ledger) head(tb testing.TB) eventstore.Position {
	tb.Helper()
	head, err := l.store.Head(tb.Context())
	require.NoError(tb, err)
	return head
}

// log exports a part of the log, and returns the file.
func (l ledger) log(tb testing.TB, format export.Format, span export.Span) []byte {
	tb.Helper()
	var out bytes.Buffer
	file := export.Stream(&out)
	w, err := file.Rows(format, export.Log())
	require.NoError(tb, err)
	at := span.After
	rows, err := export.WriteLog(tb.Context(), l.pool, w, span, func(next eventstore.Position) { at = next })
	require.NoError(tb, err)
	require.NoError(tb, w.Close())
	require.NoError(tb, file.Keep())
	require.Equal(tb, max(span.After, span.Until), at)
	if span.Organisation == "" {
		require.EqualValues(tb, max(0, span.Until-span.After), rows)
	}
	return out.Bytes()
}

// table exports a table of the read models, and returns the file.
func (l ledger) table(tb testing.TB, format export.Format, t export.Table, org domain.OrganisationID) (file []byte, rows int64, at eventstore.Position) {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "rows")
	f, err := export.Create(path)
	require.NoError(tb, err)
	defer f.Discard()
	w, err := f.Rows(format, t)
	require.NoError(tb, err)
	rows, at, err = export.WriteTable(tb.Context(), l.pool, w, t, org, func(int64, int64) {})
	require.NoError(tb, err)
	require.NoError(tb, w.Close())
	require.NoError(tb, f.Keep())
	file, err = os.ReadFile(path)
	require.NoError(tb, err)
	return file, rows, at
}

// parse reads a file of any format: each row has its columns in order, as text that means the same whichever the format;
// nil is null.
func (l ledger) parse(tb testing.TB, format export.Format, t export.Table, file []byte) [][]*string {
	tb.Helper()
	switch format {
	case export.NDJSON:
		return parseNDJSON(tb, t, file)
	case export.CSV:
		return l.parseCSV(tb, t, file)
	default:
		return parseParquet(tb, t, file)
	}
}

// parseNDJSON reads rows with what Go has for it.
func parseNDJSON(tb testing.TB, t export.Table, file []byte) (rows [][]*string) {
	tb.Helper()
	for line := range bytes.Lines(file) {
		var fields map[string]json.RawMessage
		require.NoError(tb, json.Unmarshal(line, &fields))
		require.Len(tb, fields, len(t.Columns))
		row := make([]*string, len(t.Columns))
		for i, c := range t.Columns {
			value := string(fields[c.Name])
			switch {
			case value == "null" && c.Type != export.JSON:
				require.True(tb, c.Optional)
				continue
			case c.Type == export.Text || c.Type == export.Time || c.Type == export.Date:
				require.NoError(tb, json.Unmarshal(fields[c.Name], &value))
			}
			row[i] = &value
		}
		rows = append(rows, row)
	}
	return rows
}

// parseCSV reads rows with Postgres, which keeps what others do not: null apart from nothing, and all ends of lines.
func (l ledger) parseCSV(tb testing.TB, t export.Table, file []byte) (rows [][]*string) {
	tb.Helper()
	conn, err := l.pool.Acquire(tb.Context())
	require.NoError(tb, err)
	defer conn.Release()
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = c.Name
	}
	header, _, _ := strings.Cut(string(file), "\n")
	require.Equal(tb, strings.Join(names, ","), header)
	_, err = conn.Exec(tb.Context(), `CREATE TEMPORARY TABLE parsed (place serial, "`+strings.Join(names, `" text, "`)+`" text)`)
	require.NoError(tb, err)
	_, err = conn.Conn().PgConn().CopyFrom(tb.Context(), bytes.NewReader(file),
		`COPY parsed ("`+strings.Join(names, `", "`)+`") FROM STDIN (FORMAT csv, HEADER)`)
	require.NoError(tb, err)
	found, err := conn.Query(tb.Context(), `SELECT "`+strings.Join(names, `", "`)+`" FROM parsed ORDER BY place`)
	require.NoError(tb, err)
	for found.Next() {
		row, into := make([]*string, len(names)), make([]any, len(names))
		for i := range row {
			into[i] = &row[i]
		}
		require.NoError(tb, found.Scan(into...))
		rows = append(rows, row)
	}
	require.NoError(tb, found.Err())
	_, err = conn.Exec(tb.Context(), `DROP TABLE parsed`)
	require.NoError(tb, err)
	return rows
}

// parseParquet reads rows, and holds the schema to the columns.
func parseParquet(tb testing.TB, t export.Table, file []byte) (rows [][]*string) {
	tb.Helper()
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	require.NoError(tb, err)
	types := map[export.Type]string{
		export.Text: "STRING", export.JSON: "JSON", export.Integer: "INT(64,true)", export.Boolean: "BOOLEAN",
		export.Time: "TIMESTAMP(isAdjustedToUTC=true,unit=MICROS)", export.Date: "DATE", export.Real: "DOUBLE",
	}
	fields := f.Schema().Fields()
	require.Len(tb, fields, len(t.Columns))
	for i, c := range t.Columns {
		require.Equal(tb, c.Name, fields[i].Name(), "columns are in order")
		require.Equal(tb, types[c.Type], fields[i].Type().String(), c.Name)
		require.Equal(tb, c.Optional, fields[i].Optional(), c.Name)
	}
	reader := parquet.NewReader(bytes.NewReader(file), f.Schema())
	defer reader.Close()
	buffer := make([]parquet.Row, 7)
	for {
		n, err := reader.ReadRows(buffer)
		for _, values := range buffer[:n] {
			row := make([]*string, len(t.Columns))
			for i, c := range t.Columns {
				switch value := values[i]; {
				case value.IsNull():
				case c.Type == export.Time:
					row[i] = new(time.UnixMicro(value.Int64()).UTC().Format(time.RFC3339Nano))
				case c.Type == export.Date:
					row[i] = new(time.Unix(0, 0).UTC().AddDate(0, 0, int(value.Int32())).Format(time.DateOnly))
				case c.Type == export.Real:
					row[i] = new(strconv.FormatFloat(value.Double(), 'f', -1, 64))
				default:
					row[i] = new(value.String())
				}
			}
			rows = append(rows, row)
		}
		if err != nil {
			require.ErrorContains(tb, err, "EOF")
			return rows
		}
	}
}
