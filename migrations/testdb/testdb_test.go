//go:build linux || darwin

package testdb

import (
	"context"
	"os"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/migrations"
)

// databaseOf returns the name of the pool's database.
func databaseOf(t *testing.T, pool *pgxpool.Pool) (name string) {
	t.Helper()
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT current_database()`).Scan(&name))
	return name
}

func TestDatabaseIsMigratedAndItsOwn(t *testing.T) {
	t.Parallel()
	first, second := New(t), New(t)
	require.NotEqual(t, databaseOf(t, first), databaseOf(t, second))
	for _, pool := range []*pgxpool.Pool{first, second} {
		_, err := pool.Exec(t.Context(), `CREATE TABLE only_here (value int)`)
		require.NoError(t, err)
		pending, err := migrations.Pending(t.Context(), pool.Config().ConnString())
		require.NoError(t, err)
		require.False(t, pending)
	}
}

func TestDatabaseIsDroppedWithItsTest(t *testing.T) {
	t.Parallel()
	var address string
	t.Run("test", func(t *testing.T) {
		address = URL(t)
		conn, err := pgx.Connect(t.Context(), address)
		require.NoError(t, err, "and is never closed")
		_, err = conn.Exec(t.Context(), `BEGIN`)
		require.NoError(t, err)
	})
	_, err := pgx.Connect(t.Context(), address)
	require.ErrorContains(t, err, "3D000") // no such database
}

func TestManyTestsAtOnce(t *testing.T) {
	t.Parallel()
	for range 16 {
		t.Run("one", func(t *testing.T) {
			t.Parallel()
			require.NotEmpty(t, databaseOf(t, New(t)))
		})
	}
}

// recorder is a test that records that it failed.
type recorder struct {
	testing.TB
	failures []string
}

func (r *recorder) Errorf(format string, _ ...any) { r.failures = append(r.failures, format) }

func TestConnectionThatIsNotGivenBackFailsTheTest(t *testing.T) {
	t.Parallel()
	pool, r := New(t), &recorder{TB: t}
	conn, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	closePool(r, pool, time.Millisecond)
	require.Len(t, r.failures, 1)
	require.Contains(t, r.failures[0], "not given back")
	conn.Release()
}

func TestProcessesShareATemplate(t *testing.T) {
	t.Parallel()
	server := NewServer(t)
	results := make(chan string, 4)
	for range cap(results) {
		go func() {
			name, err := makeTemplate(context.Background(), server.URL("postgres"))
			if err != nil {
				t.Error(err)
			}
			results <- name
		}()
	}
	name := <-results
	for range cap(results) - 1 {
		require.Equal(t, name, <-results)
	}
	pending, err := migrations.Pending(t.Context(), server.URL(name))
	require.NoError(t, err)
	require.False(t, pending)
}

func TestTemplateIsNamedAfterItsMigrations(t *testing.T) {
	t.Parallel()
	hashes := map[string]bool{}
	for _, files := range []fstest.MapFS{
		{"1.sql": {Data: []byte("a")}, "2.sql": {Data: []byte("b")}},
		{"1.sql": {Data: []byte("a")}, "2.sql": {Data: []byte("c")}},
		{"1.sql": {Data: []byte("a")}, "3.sql": {Data: []byte("b")}},
	} {
		sum, err := hashOf(files)
		require.NoError(t, err)
		hashes[sum] = true
	}
	require.Len(t, hashes, 3)
}

func TestServerOfItsOwnSurvivesKill(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	server := NewServer(t)
	pool := NewOn(t, server)
	_, err := pool.Exec(ctx, `CREATE TABLE kept AS SELECT 1 AS value`)
	require.NoError(t, err)

	require.NoError(t, server.Kill(ctx))
	require.Error(t, pool.Ping(ctx))
	require.NoError(t, server.Restart(ctx))
	var value int
	require.NoError(t, pool.QueryRow(ctx, `SELECT value FROM kept`).Scan(&value), "the pool finds the server again")
	require.Equal(t, 1, value)
	require.Equal(t, URLOn(t, server), pool.Config().ConnString())
}

func TestDirIsOpenToOthers(t *testing.T) {
	t.Parallel()
	info, err := os.Stat(Dir(t))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o755), info.Mode().Perm())
}

func BenchmarkNew(b *testing.B) {
	URL(b) // starts the server
	for b.Loop() {
		URL(b)
	}
}
