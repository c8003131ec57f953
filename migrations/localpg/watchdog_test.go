//go:build linux || darwin

package localpg

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestServerEndsWithAKilledProgram(t *testing.T) {
	t.Parallel()
	dir := openFolder(t)
	p := startProgram(t, self(t), dir, account{})
	keep(t, p.url)
	_, err := Start(t.Context(), Options{Dir: dir})
	require.ErrorIs(t, err, ErrInUse)

	p.kill(t)
	s := start(t, Options{Dir: dir}) // at once: waits for the watchdog's work
	require.NotEqual(t, p.pid, s.PID())
	require.Equal(t, "yes", query(t, s.URL("postgres"), `SELECT value FROM kept`))
	require.NoError(t, s.Stop(t.Context()))
	requireEnd(t, s.home)
}

func TestNothingIsLeftOfAKilledProgram(t *testing.T) {
	t.Parallel()
	p := startProgram(t, self(t), "ephemeral", account{})
	p.kill(t)
	requireEnd(t, home{path: p.home})
	require.Eventually(t, func() bool {
		_, err := os.Stat(p.home)
		return os.IsNotExist(err)
	}, time.Minute, pollInterval)
}

func TestCtrlCDoesNotReachTheServer(t *testing.T) {
	t.Parallel()
	p := startProgram(t, self(t), openFolder(t), account{})
	require.NoError(t, syscall.Kill(-p.cmd.Process.Pid, syscall.SIGINT)) // as a terminal does
	require.True(t, p.output.Scan())
	require.Equal(t, "interrupted <nil>", p.output.Text())
}

func TestUnprivilegedUserNeedsNoOther(t *testing.T) {
	t.Parallel()
	as, err := unprivileged()
	require.NoError(t, err)
	dir := openFolder(t)
	require.NoError(t, as.give(dir))
	p := startProgram(t, self(t), dir, as)
	require.Equal(t, filepath.Join(dir, "postgres"), p.home)
	require.Equal(t, "1", query(t, p.url, `SELECT '1'`))
	p.kill(t)

	s := start(t, Options{Dir: dir}) // whoever we are, the cluster stays its owner's
	require.Equal(t, p.url, s.URL("postgres"))
}
