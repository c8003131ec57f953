package export_test

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/projections/export"
)

// continued goes on with a file up to a position.
func (l ledger) continued(ctx context.Context, t require.TestingT, path string, format export.Format, span export.Span) error {
	f, at, err := export.Continue(ctx, l.pool, path, format, span)
	if err != nil {
		return err
	}
	defer f.Discard()
	w, err := f.Rows(format, export.Log())
	require.NoError(t, err)
	span.After = max(span.After, at)
	_, err = export.WriteLog(ctx, l.pool, w, span, func(eventstore.Position) {})
	require.NoError(t, err)
	require.NoError(t, w.Close())
	require.NoError(t, f.Keep())
	return nil
}

func TestFileThatWasCutAnywhereIsContinuedToWhatOneRunWrites(t *testing.T) {
	t.Parallel()
	l := newLedger(t, hostile[:len(hostile)-1], "org_a", "org_b")
	head := l.head(t)
	path := filepath.Join(t.TempDir(), "log")
	rapid.Check(t, func(rt *rapid.T) {
		format := rapid.SampledFrom(formats[:2]).Draw(rt, "format")
		span := export.Span{
			After: eventstore.Position(rapid.IntRange(0, int(head)).Draw(rt, "after")), Until: head,
			Organisation: rapid.SampledFrom([]domain.OrganisationID{"", "org_a", "org_b"}).Draw(rt, "organisation"),
		}
		whole := l.log(t, format, span)
		part := span // an earlier run went this far, and its file was cut
		part.Until = eventstore.Position(rapid.IntRange(int(span.After), int(head)).Draw(rt, "until"))
		file := l.log(t, format, part)
		cut := rapid.IntRange(0, len(file)).Draw(rt, "cut")
		require.NoError(rt, os.WriteFile(path, file[:cut], 0o600))
		require.NoError(rt, l.continued(t.Context(), rt, path, format, span))
		got, err := os.ReadFile(path)
		require.NoError(rt, err)
		require.Equal(rt, string(whole), string(got))
	})
}

func TestLineThatIsLongerThanAnyBufferIsContinued(t *testing.T) {
	t.Parallel()
	l := newLedger(t, hostile, "org_a")
	for _, format := range formats[:2] {
		whole := l.log(t, format, export.Span{Until: l.head(t)})
		path := filepath.Join(t.TempDir(), "log")
		for _, cut := range []int{300_000, len(whole) - 300_000, len(whole) - 1, len(whole)} {
			require.NoError(t, os.WriteFile(path, whole[:cut], 0o600))
			require.NoError(t, l.continued(t.Context(), t, path, format, export.Span{Until: l.head(t)}))
			got, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, string(whole), string(got))
		}
	}
}

func TestFileThatIsNotOfThisExportIsRefusedAndLeftAsItIs(t *testing.T) {
	t.Parallel()
	l, other := newLedger(t, hostile[:4], "org_a", "org_b"), newLedger(t, hostile[:3], "org_a")
	all, csv := export.Span{Until: 3}, l.log(t, export.CSV, export.Span{Until: 3})
	ndjson := l.log(t, export.NDJSON, all)
	for name, file := range map[string][]byte{
		"of another ledger":        other.log(t, export.NDJSON, all),
		"of another format":        csv,
		"of another organisation":  l.log(t, export.NDJSON, export.Span{Until: l.head(t), Organisation: "org_b"}),
		"changed":                  append(ndjson[:len(ndjson)-3:len(ndjson)-3], "0\"}\n"...),
		"a position without event": []byte("{\"position\":99999,\"a\":1}\n"),
		"a text":                   []byte("Dear diary,\ntoday"),
		"a text of one line":       []byte("Dear diary"),
		"Parquet":                  l.log(t, export.Parquet, all),
	} {
		path := filepath.Join(t.TempDir(), "log")
		require.NoError(t, os.WriteFile(path, file, 0o600))
		err := l.continued(t.Context(), t, path, export.NDJSON, export.Span{Until: math.MaxInt32, Organisation: "org_a"})
		require.ErrorContains(t, err, "it is not what this export has written", name)
		got, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, file, got, name)
	}
}

func TestFileIsContinuedByOneAtATime(t *testing.T) {
	t.Parallel()
	l := newLedger(t, hostile[:1], "org_a")
	path := filepath.Join(t.TempDir(), "log")
	f, at, err := export.Continue(t.Context(), l.pool, path, export.CSV, export.Span{})
	require.NoError(t, err)
	require.Zero(t, at)
	_, _, err = export.Continue(t.Context(), l.pool, path, export.CSV, export.Span{})
	require.ErrorContains(t, err, "continue "+path+": somebody else writes to it")
	f.Discard()
	require.NoError(t, l.continued(t.Context(), t, path, export.CSV, export.Span{Until: 1}))
	_, _, err = export.Continue(t.Context(), l.pool, t.TempDir(), export.CSV, export.Span{})
	require.ErrorContains(t, err, "continue file: open ")
}
