package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

// companyQualified returns an append of a company of about a kilobyte, handed over to an organisation.
func companyQualified(org domain.OrganisationID) eventstore.Append {
	id := uuid.Must(uuid.NewV7()).String()
	return eventstore.Append{Stream: "handover/dcf_1/" + id, Events: []eventstore.Event{domain.CompanyQualified{
		HandOver: domain.HandOverID("del_" + id), Organisation: org, Delivery: "dcf_1", Search: "search", CompanyID: domain.CompanyID(id),
		Company:   []byte(`{"id":"` + id + `","name":"Grüezi, \"Söhne\"","about":"` + strings.Repeat("Series B. ", 60) + `"}`),
		Prospects: []byte(`[{"id":"pros_` + id + `","title":"VP Marketing"}]`), Score: 85, MatchReasons: []string{"Uses HubSpot"},
	}}}
}

// fillLog appends that many of them to a new log, and returns the database.
func fillLog(tb testing.TB, events int) (database string) {
	tb.Helper()
	database = testdb.URL(tb)
	store := eventstore.New(openPool(tb, database), eventstore.NewRegistry(domain.Events()...), eventstore.Options{})
	for left := events; left > 0; left -= 1000 {
		appends := make([]eventstore.Append, min(left, 1000))
		for i := range appends {
			appends[i] = companyQualified("org_1")
		}
		for _, r := range store.AppendEach(tb.Context(), appends) {
			require.NoError(tb, r.Err)
		}
	}
	return database
}

// size returns the size of a file, 0 when it is not there.
func size(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

func TestExportThatIsKilledIsContinuedToWhatOneRunWrites(t *testing.T) {
	t.Parallel()
	const events = 11_000 // more than two pages
	database := fillLog(t, events)
	for _, format := range []string{"ndjson", "csv"} {
		dir := t.TempDir()
		whole, parts := filepath.Join(dir, "whole"), filepath.Join(dir, "parts")
		out, _, err := verb(t, "", "export", "log", "--format", format, "--out", whole, "--database-url", database)
		require.NoError(t, err)
		require.Equal(t, "Exported 11000 events of the log up to position 11000. What follows comes with --after 11000.\n", out)
		killed := []string{"export", "log", "--format", format, "--out", parts, "--append", "--database-url"}
		for _, stall := range []int64{1 << 20, 4 << 20} { // in the first page, and in a later one of what is left
			w := newWire(t, database)
			var passed int64
			w.hold(func(_ int, toServer bool, piece []byte) bool {
				if !toServer {
					passed += int64(len(piece))
				}
				return passed > stall
			})
			before := size(parts)
			p, _ := launch(t, nil, append(killed, w.url)...)
			require.Eventually(t, func() bool { return size(parts) > before+stall/2 }, patience, pollEvery, p.printed())
			p.kill()
			require.Less(t, size(parts), size(whole))
		}
		out, _, err = verb(t, "", append(killed, database)...)
		require.NoError(t, err)
		require.Contains(t, out, " of the log up to position 11000.")
		requireSameFile(t, whole, parts)
		out, _, err = verb(t, "", append(killed, database)...)
		require.NoError(t, err)
		require.Equal(t, "Exported 0 events of the log up to position 11000. What follows comes with --after 11000.\n", out)
		requireSameFile(t, whole, parts)
	}
}

// requireSameFile fails the test unless two files are the same. It doesn't print megabytes.
func requireSameFile(t *testing.T, want, got string) {
	t.Helper()
	a, err := os.ReadFile(want)
	require.NoError(t, err)
	b, err := os.ReadFile(got)
	require.NoError(t, err)
	require.True(t, string(a) == string(b), "%s has %d bytes, %s %d", want, len(a), got, len(b)) //nolint:testifylint // it prints both
}

func TestExportThatIsKilledLeavesNoParquetFile(t *testing.T) {
	t.Parallel()
	database := fillLog(t, 2000)
	out := filepath.Join(t.TempDir(), "log.parquet")
	w := newWire(t, database)
	stalled := make(chan struct{})
	var passed int
	w.hold(func(_ int, toServer bool, piece []byte) bool {
		if toServer || passed > 1<<20 {
			return !toServer
		}
		if passed += len(piece); passed > 1<<20 {
			close(stalled)
		}
		return passed > 1<<20
	})
	p, _ := launch(t, nil, "export", "log", "--format", "parquet", "--out", out, "--database-url", w.url)
	select {
	case <-stalled:
	case <-p.done:
		require.FailNow(t, "the export ended", p.printed())
	case <-time.After(patience):
		require.FailNow(t, "the export does not read", p.printed())
	}
	p.kill()
	require.NoFileExists(t, out)
	_, _, err := verb(t, "", "export", "log", "--format", "parquet", "--out", out, "--database-url", database)
	require.NoError(t, err)
	require.EqualValues(t, 2000, parquetRows(t, out))
}

// parquetRows returns how many rows a Parquet file has.
func parquetRows(tb testing.TB, path string) int64 {
	tb.Helper()
	f, err := os.Open(path)
	require.NoError(tb, err)
	defer f.Close()
	file, err := parquet.OpenFile(f, size(path))
	require.NoError(tb, err)
	return file.NumRows()
}

func TestExportWritesTheSpanThatWasAskedFor(t *testing.T) {
	t.Parallel()
	database := fillLog(t, 9)
	var recorded time.Time
	require.NoError(t, openPool(t, database).QueryRow(t.Context(), `SELECT recorded_at FROM events WHERE position = 4`).Scan(&recorded))
	for want, args := range map[string][]string{
		"1 to 9": {}, "1 to 4": {"--until", recorded.Format(time.RFC3339Nano)}, "3 to 5": {"--after", "2", "--until", "5"},
		"8 to 9": {"--after", "7", "--until", "99"}, "10 to 9": {"--after", "9"}, "1 to 0": {"--until", "2000-01-01T00:00:00Z"},
	} {
		var first, last int
		_, err := fmt.Sscanf(want, "%d to %d", &first, &last)
		require.NoError(t, err)
		out, errs, err := verb(t, "", append([]string{"export", "log", "--format", "csv", "--database-url", database}, args...)...)
		require.NoError(t, err)
		require.Contains(t, errs, fmt.Sprintf("Exported %s of the log up to position %d. ", counted(int64(last-first+1), "event"), last))
		lines := strings.Split(strings.TrimSpace(out), "\n")
		require.Len(t, lines, last-first+2, want)
		for i, line := range lines[1:] {
			require.True(t, strings.HasPrefix(line, strconv.Itoa(first+i)+","), line)
		}
	}
}

func TestExportOfWhatIsNotThereWritesNothing(t *testing.T) {
	t.Parallel()
	database := fillLog(t, 1)
	out := filepath.Join(t.TempDir(), "log")
	_, _, err := verb(t, "", "export", "log", "--organisation", "Nobody", "--out", out, "--database-url", database)
	require.ErrorContains(t, err, `there is no organisation "Nobody"`)
	require.NoFileExists(t, out)
	require.NoError(t, os.WriteFile(out, []byte("mine"), 0o600))
	_, _, err = verb(t, "", "export", "log", "--append", "--out", out, "--database-url", database)
	require.ErrorContains(t, err, "it is not what this export has written")
	require.EqualValues(t, 4, size(out))
}

func TestExportRefusesWhatDoesNotGoTogether(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"nonsense":                              `must be one of "log","companies",`,
		"log --format xml":                      `--format must be one of "ndjson","csv","parquet" but got "xml"`,
		"stats --after 1":                       "--after, --until and --append are for the log",
		"log --append":                          "--append needs --out, and the format ndjson or csv",
		"log --append --out x --format csv":     "use the database of --database-url",
		"log --append --out x --format parquet": "--append needs --out, and the format ndjson or csv",
		"log --after -1":                        "--after",
		"log --until yesterday":                 `--until must be a position or a time such as 2026-07-01T00:00:00Z, not "yesterday"`,
		"log --until 0":                         "--until must be a position or a time",
	} {
		_, _, err := verb(t, "", append([]string{"export", "--database-url", "nonsense"}, strings.Fields(args)...)...)
		require.ErrorContains(t, err, want, args)
	}
}
