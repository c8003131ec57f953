//go:build linux || darwin

package localpg

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// childEnv makes the test binary a program that uses this package: it holds a data
// folder, or an ephemeral server if it is "ephemeral".
const childEnv = "LOCALPG_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		if err := child(dir); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// child starts a server, prints its URL, home and process id, and runs until its input
// ends. On SIGINT it prints whether the server still answers.
func child(dir string) error {
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	ctx := context.Background()
	opts := Options{Dir: dir}
	if dir == "ephemeral" {
		opts = Options{Ephemeral: true}
	}
	s, err := Start(ctx, opts)
	if err != nil {
		return err
	}
	fmt.Println(s.URL("postgres"), s.home.path, s.PID())
	go func() {
		for range interrupts {
			_, err := s.CreateDatabase(ctx, "interrupted")
			fmt.Println("interrupted", err)
		}
	}()
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n') // ends with the parent
	return s.Stop(ctx)
}

// deadline returns a context that ends a test which hangs.
func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// openFolder returns a folder that every user can enter, unlike t.TempDir.
func openFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "localpg-test-")
	require.NoError(t, err)
	t.Cleanup(func() { // a server that has been told to end may still be writing
		require.Eventually(t, func() bool { return os.RemoveAll(dir) == nil }, 30*time.Second, 10*time.Millisecond)
	})
	require.NoError(t, os.Chmod(dir, 0o755))
	return dir
}

// start starts a server that is stopped with the test.
func start(t *testing.T, opts Options) *Server {
	t.Helper()
	s, err := Start(deadline(t), opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop(context.Background())) })
	return s
}

// keep makes a table on a connection of its own, to be found again.
func keep(t *testing.T, url string) {
	t.Helper()
	ctx := deadline(t)
	conn, err := pgx.Connect(ctx, url)
	require.NoError(t, err)
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, `CREATE TABLE kept AS SELECT 'yes' AS value`)
	require.NoError(t, err)
}

// query returns the one value that a query selects.
func query(t *testing.T, url, statement string) (value string) {
	t.Helper()
	ctx := deadline(t)
	conn, err := pgx.Connect(ctx, url)
	require.NoError(t, err)
	defer conn.Close(ctx)
	require.NoError(t, conn.QueryRow(ctx, statement).Scan(&value))
	return value
}

// program is a running child.
type program struct {
	cmd    *exec.Cmd
	output *bufio.Scanner
	url    string
	home   string
	pid    int
}

// startProgram runs the test binary as a child in a process group of its own.
func startProgram(t *testing.T, binary, dir string, as account) *program {
	t.Helper()
	p := &program{cmd: exec.Command(binary)}
	p.cmd.Dir = "/"
	p.cmd.Env = append(os.Environ(), childEnv+"="+dir)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if as.other {
		p.cmd.SysProcAttr.Credential = &syscall.Credential{Uid: as.uid, Gid: as.gid}
	}
	_, err := p.cmd.StdinPipe() // open as long as we live
	require.NoError(t, err)
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() { _, _ = p.cmd.Process.Kill(), p.cmd.Wait() })
	p.output = bufio.NewScanner(out)
	require.True(t, p.output.Scan())
	n, err := fmt.Sscan(p.output.Text(), &p.url, &p.home, &p.pid)
	require.NoError(t, err, p.output.Text())
	require.Equal(t, 3, n)
	return p
}

// self returns the path of the test binary, copied to where every user can run it.
func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	require.NoError(t, err)
	copied := filepath.Join(openFolder(t), "localpg.test")
	require.NoError(t, exec.Command("cp", path, copied).Run()) // a copy of our own could be "busy"
	return copied
}

// requireEnd waits until no process of the cluster is left.
func requireEnd(t *testing.T, h home) {
	t.Helper()
	require.Eventually(t, func() bool {
		f, err := lockFile(h.alive())
		return os.IsNotExist(err) || err == nil && f.Close() == nil
	}, time.Minute, pollInterval)
}

// kill ends the program with SIGKILL and waits until it has.
func (p *program) kill(t *testing.T) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Kill())
	require.Error(t, p.cmd.Wait(), "it was killed")
}
