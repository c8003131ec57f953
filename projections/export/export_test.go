package export_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/projections"
	"github.com/openprospect/delivery-ledger/projections/export"
)

// values returns a record as rows of the log have it.
func values(rec eventstore.Record) []string {
	return []string{
		strconv.FormatInt(int64(rec.Position), 10), rec.Stream, strconv.FormatInt(int64(rec.Version), 10), rec.Type,
		strconv.Itoa(int(rec.SchemaVersion)), rec.RecordedAt.UTC().Format(time.RFC3339Nano), rec.ID.String(),
		string(rec.Data), string(rec.Metadata), hex.EncodeToString(rec.Hash),
	}
}

// texts returns a row that has no null.
func texts(t *testing.T, row []*string) []string {
	t.Helper()
	all := make([]string, len(row))
	for i, value := range row {
		require.NotNil(t, value)
		all[i] = *value
	}
	return all
}

func TestLogIsExportedAsItIsInEachFormat(t *testing.T) {
	t.Parallel()
	l := newLedger(t, hostile, "org_a")
	records, err := eventstore.ReadPage(t.Context(), l.pool, 1, l.head(t))
	require.NoError(t, err)
	for _, format := range formats {
		for _, span := range []export.Span{{Until: l.head(t)}, {After: 3, Until: 5}, {After: 5, Until: 5}, {After: 9, Until: 2}} {
			rows := l.parse(t, format, export.Log(), l.log(t, format, span))
			want := records[span.After:max(span.After, span.Until)]
			require.Len(t, rows, len(want), format)
			for i, rec := range want {
				require.Equal(t, values(rec), texts(t, rows[i]), format)
			}
		}
	}
}

func TestLogOfOneOrganisationIsAllThatIsAboutIt(t *testing.T) {
	t.Parallel()
	l := newLedger(t, hostile[:3], "org_a", "org_b")
	l.append(t, "recovery/dst_org_b", domain.DestinationRecovered{Delivery: "dcf_org_b", Destination: "dst_org_b"})
	rows := l.parse(t, export.CSV, export.Log(), l.log(t, export.CSV, export.Span{Until: l.head(t), Organisation: "org_b"}))
	first := (int(l.head(t)) - 1) / 2 // what was appended for the one comes before what was for the other
	require.Len(t, rows, first+1)
	for i, row := range rows {
		require.Equal(t, strconv.Itoa(first+1+i), *row[0])
		require.Contains(t, *row[7], "org_b")
	}
}

func TestEveryEventNamesADeliveryOrAnOrganisation(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../domain/testdata/events/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		var about struct{ Delivery, Organisation string }
		require.NoError(t, json.Unmarshal(text, &about))
		require.NotEmpty(t, about.Delivery+about.Organisation, "%s is in no organisation's export", file)
	}
}

func TestReadModelsAreExportedAsTheyAreInEachFormat(t *testing.T) {
	t.Parallel()
	l := newLedger(t, hostile, "org_a", "org_b")
	head := l.project(t)
	for _, table := range export.Tables()[1:] {
		const query = `SELECT row_to_json(t) FROM `
		from := table.Name
		if from == "daily" {
			from = `(SELECT *, time_to_deliver_ms(times, 50) AS p50_ms, time_to_deliver_ms(times, 95) AS p95_ms, time_to_deliver_ms(times, 99) AS p99_ms FROM daily)`
		}
		rows, err := l.pool.Query(t.Context(), query+from+` t`)
		require.NoError(t, err)
		shown, err := pgx.CollectRows(rows, pgx.RowTo[map[string]json.RawMessage])
		require.NoError(t, err)
		require.NotEmpty(t, shown, table.Name)
		file, count, at := l.table(t, export.NDJSON, table, "")
		require.Equal(t, head, at)
		require.EqualValues(t, len(shown), count, table.Name)
		parsed := l.parse(t, export.NDJSON, table, file)
		require.ElementsMatch(t, wanted(t, table, shown), parsed, table.Name)
		for _, format := range formats {
			file, _, _ := l.table(t, format, table, "")
			require.Equal(t, parsed, l.parse(t, format, table, file), "%s as %s", table.Name, format)
		}
		file, count, _ = l.table(t, export.NDJSON, table, "org_b")
		require.EqualValues(t, len(shown), 2*count, table.Name)
		require.NotContains(t, string(file), "org_a", table.Name)
	}
}

// wanted returns what rows are in an export when they are that in the database.
func wanted(t *testing.T, table export.Table, shown []map[string]json.RawMessage) [][]*string {
	t.Helper()
	rows := make([][]*string, len(shown))
	for n, fields := range shown {
		delivery := string(fields["delivery_id"])
		if _, ok := fields["organisation_id"]; !ok {
			fields["organisation_id"] = json.RawMessage(strings.Replace(delivery, "dcf_", "", 1))
		}
		if _, ok := fields["delivery_number"]; ok {
			fields["number"] = fields["delivery_number"]
		}
		rows[n] = make([]*string, len(table.Columns))
		for i, c := range table.Columns {
			require.Contains(t, fields, c.Name, table.Name)
			value := string(fields[c.Name])
			if value == "null" {
				continue
			}
			if c.Type == export.Text || c.Type == export.Time || c.Type == export.Date {
				require.NoError(t, json.Unmarshal(fields[c.Name], &value))
			}
			if c.Type == export.Time {
				at, err := time.Parse(time.RFC3339, value)
				require.NoError(t, err)
				value = at.UTC().Format(time.RFC3339Nano)
			}
			if c.Type == export.Real {
				number, err := strconv.ParseFloat(value, 64)
				require.NoError(t, err)
				value = strconv.FormatFloat(number, 'f', -1, 64)
			}
			rows[n][i] = &value
		}
	}
	return rows
}

func TestEveryReadModelIsExported(t *testing.T) {
	t.Parallel()
	exported := map[string]bool{}
	for _, table := range export.Tables() {
		exported[table.Name] = true
	}
	for _, p := range projections.All() {
		require.True(t, exported[p.Name], p.Name)
	}
}

func TestFileIsThereWhenItIsCompleteAndOtherwiseAsItWas(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(path, []byte("before"), 0o600))
	for _, keep := range []bool{false, true} {
		f, err := export.Create(path)
		require.NoError(t, err)
		w, err := f.Rows(export.CSV, export.Log())
		require.NoError(t, err)
		require.NoError(t, w.Close())
		if keep {
			require.NoError(t, f.Keep())
		}
		f.Discard()
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, keep, bytes.HasPrefix(text, []byte("position,stream,")))
		left, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Len(t, left, 1, "nothing else is left")
	}
	_, err := export.Create(filepath.Join(dir, "nowhere", "file"))
	require.ErrorContains(t, err, "create "+dir)
}
