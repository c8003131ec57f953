//go:build linux || darwin

package localpg

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDataIsKeptBetweenRuns(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(openFolder(t), "made when missing")
	s := start(t, Options{Dir: dir})
	database, err := s.CreateDatabase(t.Context(), "ledger")
	require.NoError(t, err)
	keep(t, database)
	require.NoError(t, s.Stop(t.Context()))
	require.Zero(t, s.PID())
	require.NoError(t, s.Stop(t.Context()), "a second Stop does nothing")

	s = start(t, Options{Dir: dir})
	again, err := s.CreateDatabase(t.Context(), "ledger")
	require.NoError(t, err)
	require.Equal(t, database, again, "the URL stays")
	require.Equal(t, "yes", query(t, again, `SELECT value FROM kept`))
	require.Equal(t, "on", query(t, again, `SHOW fsync`))
	require.Equal(t, "UTF8", query(t, again, `SHOW server_encoding`))
	require.Equal(t, "C", query(t, again, `SELECT datcollate FROM pg_database WHERE datname = current_database()`))
}

func TestServerListensInAFolderOfItsOwnOnly(t *testing.T) {
	t.Parallel()
	s := start(t, Options{Ephemeral: true, Settings: map[string]string{"max_connections": "33"}})
	require.Empty(t, query(t, s.URL("postgres"), `SHOW listen_addresses`))
	require.Equal(t, "33", query(t, s.URL("postgres"), `SHOW max_connections`))

	parsed, err := url.Parse(s.URL("postgres"))
	require.NoError(t, err)
	info, err := os.Stat(parsed.Query().Get("host"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
}

func TestSecondStartIsRefused(t *testing.T) {
	t.Parallel()
	dir := openFolder(t)
	s := start(t, Options{Dir: dir})
	_, err := Start(t.Context(), Options{Dir: dir})
	require.ErrorIs(t, err, ErrInUse)
	require.ErrorContains(t, err, dir)
	require.ErrorContains(t, err, strconv.Itoa(os.Getpid()))
	require.Equal(t, "1", query(t, s.URL("postgres"), `SELECT '1'`), "the first goes on")
}

func TestServerStartedByHandIsRespected(t *testing.T) {
	t.Parallel()
	dir := openFolder(t)
	s := start(t, Options{Dir: dir})
	content, err := os.ReadFile(filepath.Join(s.home.data(), "postmaster.pid"))
	require.NoError(t, err)
	other := start(t, Options{Ephemeral: true})
	require.NoError(t, s.Stop(t.Context()))

	claim := strings.ReplaceAll(string(content), s.home.socket, other.home.socket) // somebody answers there
	require.NoError(t, os.WriteFile(filepath.Join(s.home.data(), "postmaster.pid"), []byte(claim), 0o600))
	_, err = Start(t.Context(), Options{Dir: dir})
	require.ErrorIs(t, err, ErrInUse)
	require.ErrorContains(t, err, "by hand")
}

func TestStalePostmasterFileIsPassedOver(t *testing.T) {
	t.Parallel()
	dir := openFolder(t)
	s := start(t, Options{Dir: dir})
	path := filepath.Join(s.home.data(), "postmaster.pid")
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, s.Stop(t.Context()))

	// The process id has come to be another's: Postgres would refuse to start.
	other := start(t, Options{Ephemeral: true})
	_, rest, _ := strings.Cut(string(content), "\n")
	require.NoError(t, os.WriteFile(path, []byte(strconv.Itoa(other.PID())+"\n"+rest), 0o600))
	s = start(t, Options{Dir: dir})
	require.Equal(t, "1", query(t, s.URL("postgres"), `SELECT '1'`))
	require.Equal(t, "1", query(t, other.URL("postgres"), `SELECT '1'`), "the other is unharmed")
}

func TestRestartAfterKillKeepsWhatWasCommitted(t *testing.T) {
	t.Parallel()
	for name, kill := range map[string]func(*Server) error{
		"by Kill": func(s *Server) error { return s.Kill(t.Context()) },
		"by hand": func(s *Server) error { return syscall.Kill(s.PID(), syscall.SIGKILL) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, Options{Ephemeral: true})
			database, pid := s.URL("postgres"), s.PID()
			keep(t, database)
			require.NoError(t, kill(s))
			require.NoError(t, s.Restart(deadline(t)))
			require.Equal(t, database, s.URL("postgres"))
			require.NotEqual(t, pid, s.PID())
			require.Equal(t, "yes", query(t, database, `SELECT value FROM kept`))
		})
	}
}

func TestStopWithoutTimeLeavesNothingRunning(t *testing.T) {
	t.Parallel()
	dir := openFolder(t)
	s := start(t, Options{Dir: dir})
	keep(t, s.URL("postgres"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := s.Stop(ctx)
	if err != nil { // it may have been quick enough
		require.ErrorIs(t, err, context.Canceled)
	}
	requireEnd(t, s.home)
	s = start(t, Options{Dir: dir})
	require.Equal(t, "yes", query(t, s.URL("postgres"), `SELECT value FROM kept`))
	require.NoError(t, s.Stop(t.Context()))
	require.Error(t, s.Restart(t.Context()), "stopped for good")
}

func TestCancelledStartLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := openFolder(t)
	for _, step := range []string{"making", "starting"} {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := Start(ctx, Options{Dir: dir, Progress: func(line string) {
			if strings.HasPrefix(line, step) {
				cancel()
			}
		}})
		require.ErrorIs(t, err, context.Canceled, step)
		requireEnd(t, home{path: filepath.Join(dir, "postgres")})
	}
	s := start(t, Options{Dir: dir})
	require.Equal(t, "1", query(t, s.URL("postgres"), `SELECT '1'`))
}

func TestServerThatCannotStartSaysWhy(t *testing.T) {
	t.Parallel()
	_, err := Start(deadline(t), Options{Ephemeral: true, Settings: map[string]string{"shared_buffers": "nonsense"}})
	require.ErrorContains(t, err, "shared_buffers")

	_, err = Start(t.Context(), Options{})
	require.ErrorContains(t, err, "data folder")
}

func TestEphemeralFolderIsRemoved(t *testing.T) {
	t.Parallel()
	s := start(t, Options{Ephemeral: true})
	require.DirExists(t, s.home.path)
	require.NoError(t, s.Stop(t.Context()))
	require.NoDirExists(t, s.home.path)
}
