//go:build linux || darwin

package localpg

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Options say what Start starts.
type Options struct {
	// Dir is the data folder. It is made if it is missing, and keeps the cluster
	// between runs. It is needed unless Ephemeral is set.
	Dir string

	// Ephemeral makes a cluster for tests: in a temporary folder of its own (in memory,
	// where there is plenty), which is removed at the end even if that is a SIGKILL, and
	// without fsync. A commit that was
	// acknowledged survives the death of the server, but not that of the machine.
	Ephemeral bool

	// Settings are further settings of the server; they win over this package's.
	Settings map[string]string

	// Progress, if set, is told in one line each what takes time or is worth knowing. It
	// is called before Start returns only, and never twice at once.
	Progress func(line string)

	finder    *finder // tests: in place of this machine's
	elsewhere string  // tests: in place of elsewhere
}

// Server is a private Postgres. Its methods may be called from several goroutines.
type Server struct {
	opts     Options
	home     home
	bin      binaries
	lock     *os.File  // on the data folder; nil for an ephemeral server
	watchdog *watchdog // from initdb until released

	mu       sync.Mutex
	process  *process // nil while the server does not run
	released bool
}

// Start starts the data folder's Postgres, and returns when it takes connections. On a
// machine without Postgres it fetches one. It fails at once, with ErrInUse, while
// another process uses the folder. When ctx ends before Start returns, or Start fails,
// nothing is left running; afterwards ctx means nothing to the server.
//
// The server ends with Stop or with this process, whichever comes first.
func Start(ctx context.Context, opts Options) (*Server, error) {
	if (opts.Dir == "") != opts.Ephemeral {
		return nil, errors.New("start postgres: need either a data folder or Ephemeral")
	}
	if opts.Progress == nil {
		opts.Progress = func(string) {}
	}
	s := &Server{opts: opts}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start postgres: %w", err), s.release())
	}
	return s, nil
}

func (s *Server) start(ctx context.Context) error {
	if err := s.settle(ctx); err != nil {
		return err
	}
	major, err := clusterMajor(s.home)
	if err != nil {
		return err
	}
	f := s.opts.finder
	if f == nil {
		machine := newFinder(s.opts.Progress)
		f = &machine
	}
	if s.bin, err = f.find(ctx, s.home.as, major); err != nil {
		return err
	}
	signal := "INT"
	if s.opts.Ephemeral {
		signal = "QUIT"
	}
	if s.watchdog, err = startWatchdog(s.home.as, signal, s.home.borrowed(s.opts.Ephemeral)); err != nil {
		return err
	}
	if major == 0 {
		s.opts.Progress("making a database cluster in " + s.home.path)
		if err := s.initCluster(ctx); err != nil {
			return err
		}
	}
	s.opts.Progress(fmt.Sprintf("starting Postgres %s from %s, data in %s", s.bin.version, s.bin.dir, s.home.path))
	return s.launch(ctx)
}

// settle takes the data folder and finds the cluster's home.
func (s *Server) settle(ctx context.Context) (err error) {
	if s.opts.Ephemeral {
		s.home, err = temporaryHome(ctx)
		return err
	}
	dir, err := filepath.Abs(s.opts.Dir)
	if err != nil {
		return fmt.Errorf("resolve data folder: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make data folder: %w", err)
	}
	if s.lock, err = holdDir(dir); err != nil {
		return err
	}
	s.home, err = findHome(ctx, dir, cmp.Or(s.opts.elsewhere, elsewhere), s.opts.Progress)
	return err
}

// URL returns the address of a database on the server, for pgx as well as for psql. It
// stays the same until Stop, and, unless the data folder's path is very long or
// has a comma, from run to run. It needs no password: who may enter the server's folder may connect.
func (s *Server) URL(database string) string {
	socket := strings.NewReplacer("%2F", "/", "+", "%20").Replace(url.QueryEscape(s.home.socket)) // a + is no space to psql
	query := "host=" + socket + "&port=5432"
	u := url.URL{Scheme: "postgres", User: url.User("postgres"), Path: "/" + database, RawQuery: query}
	return u.String()
}

// CreateDatabase makes sure that there is a database of that name, and returns its URL.
func (s *Server) CreateDatabase(ctx context.Context, name string) (string, error) {
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return "", fmt.Errorf("create database %s: %w", name, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	const query = `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`
	var exists bool
	if err := conn.QueryRow(ctx, query, name).Scan(&exists); err != nil {
		return "", fmt.Errorf("look for database %s: %w", name, err)
	}
	if !exists {
		if _, err := conn.Exec(ctx, `CREATE DATABASE `+pgx.Identifier{name}.Sanitize()); err != nil {
			return "", fmt.Errorf("create database %s: %w", name, err)
		}
	}
	return s.URL(name), nil
}

// PID returns the process id of the server, or 0 while it does not run.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil || s.process.ended() {
		return 0
	}
	return s.process.pid
}

// Major returns the major version of the Postgres that runs.
func (s *Server) Major() int { return s.bin.major }

// Stop ends the server, cutting its connections, and returns when nothing of it runs.
// If ctx ends first, the server is ended at once, to recover at its next start, and
// Stop returns an error. Later calls do nothing.
func (s *Server) Stop(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.released {
		return nil
	}
	err := s.halt(ctx, syscall.SIGINT)
	return errors.Join(err, s.release())
}

// Kill ends the server with SIGKILL, as a crash would, and returns when nothing of it
// runs. Restart brings it back.
func (s *Server) Kill(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.halt(ctx, syscall.SIGKILL)
}

// Restart stops the server if it runs, and starts it again under the same URL.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.released {
		return errors.New("restart postgres: it was stopped for good")
	}
	if err := s.halt(ctx, syscall.SIGINT); err != nil {
		return err
	}
	if err := s.launch(ctx); err != nil {
		return fmt.Errorf("restart postgres: %w", err)
	}
	return nil
}

// takeCluster takes the cluster, waiting for the server of a process that was just
// killed: its watchdog is stopping it.
func (s *Server) takeCluster(ctx context.Context) (*os.File, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 20*time.Second, ErrInUse)
	defer cancel()
	alive, err := awaitLock(ctx, s.home.alive())
	if errors.Is(err, ErrInUse) {
		pid := firstLine(filepath.Join(s.home.data(), "postmaster.pid"))
		return nil, fmt.Errorf("cluster %s is %w by a Postgres of an earlier run (process %s): stop that one first", s.home.path, ErrInUse, pid)
	}
	return alive, err
}

// release gives back what the server holds while it does not run. What a failed Start
// did not come to hold is passed over.
func (s *Server) release() (err error) {
	s.released = true
	if s.watchdog != nil {
		err = s.watchdog.release()
	}
	if s.home.path != "" {
		for _, folder := range s.home.borrowed(s.opts.Ephemeral) {
			err = errors.Join(err, os.RemoveAll(folder))
		}
	}
	if s.lock != nil {
		err = errors.Join(err, unlock(s.lock))
	}
	return err
}
