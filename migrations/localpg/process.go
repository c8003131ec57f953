//go:build linux || darwin

package localpg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// haltGrace is how long the server's processes may take to end after a signal that
// leaves them nothing to do.
const haltGrace = 20 * time.Second

// process is a running postmaster.
type process struct {
	pid    int
	exited chan struct{} // closed when it has been reaped
}

func (p *process) ended() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// launch starts the postmaster and waits until it takes connections.
func (s *Server) launch(ctx context.Context) error {
	alive, err := s.takeCluster(ctx)
	if err != nil {
		return err
	}
	defer alive.Close() // the server has inherited it
	if err := clearStale(ctx, s.home); err != nil {
		return err
	}
	output, err := s.openLog()
	if err != nil {
		return err
	}
	defer output.Close()
	args := append([]string{"-D", s.home.data()}, settings(s.home, s.opts)...)
	cmd, err := s.watchdog.start(context.WithoutCancel(ctx), s.home.as, s.home.path, output, alive,
		filepath.Join(s.bin.dir, "postgres"), args...)
	if err != nil {
		return err
	}
	p := &process{pid: cmd.Process.Pid, exited: make(chan struct{})}
	go func() {
		defer close(p.exited)
		_ = cmd.Wait() // how it ended is in its log
		s.watchdog.unwatch()
	}()
	s.process = p
	if err := s.awaitReady(ctx); err != nil {
		_ = alive.Close() // halt waits for all who hold it
		return errors.Join(err, s.halt(context.WithoutCancel(ctx), syscall.SIGQUIT))
	}
	return nil
}

// awaitReady returns when the server takes connections, however long it recovers, or
// has died.
func (s *Server) awaitReady(ctx context.Context) error {
	err := poll(ctx, func() (bool, error) {
		if s.process.ended() {
			return false, fmt.Errorf("it ended by itself\n%s", s.logTail())
		}
		content, _ := os.ReadFile(filepath.Join(s.home.data(), "postmaster.pid")) // not there yet: empty
		const statusLine = 7                                                      // as pg_ctl reads it
		lines := strings.Split(string(content), "\n")
		if len(lines) <= statusLine || strings.TrimSpace(lines[statusLine]) != "ready" {
			return false, nil
		}
		conn, err := pgx.Connect(ctx, s.URL("postgres"))
		if err != nil {
			return false, err
		}
		return true, conn.Close(ctx)
	})
	if err != nil {
		return fmt.Errorf("await postgres: %w", err)
	}
	return nil
}

// halt ends the server with the signal and waits until nothing of it runs. If ctx ends
// first, it is ended at once, and halt returns an error.
func (s *Server) halt(ctx context.Context, signal syscall.Signal) error {
	if s.process == nil {
		return nil
	}
	err := s.signal(signal)
	select {
	case <-s.process.exited:
	case <-ctx.Done():
		err = errors.Join(err, fmt.Errorf("stop postgres in order: %w", context.Cause(ctx)), s.signal(syscall.SIGQUIT))
		select {
		case <-s.process.exited:
		case <-time.After(haltGrace):
			err = errors.Join(err, s.signal(syscall.SIGKILL))
			<-s.process.exited
		}
	}
	s.process = nil
	return errors.Join(err, s.awaitEnd())
}

// awaitEnd waits for the last process of the cluster, which has been told to end or
// will notice that its parent has.
func (s *Server) awaitEnd() error {
	ctx, cancel := context.WithTimeout(context.Background(), haltGrace)
	defer cancel()
	alive, err := awaitLock(ctx, s.home.alive())
	if err != nil {
		return fmt.Errorf("await end of postgres' processes: %w", err)
	}
	return alive.Close()
}

// signal sends the postmaster a signal; one that has ended needs none.
func (s *Server) signal(signal syscall.Signal) error {
	if s.process.ended() {
		return nil
	}
	if err := syscall.Kill(s.process.pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal postgres: %w", err)
	}
	return nil
}

// openLog begins a new server log; that of the last run is kept beside it.
func (s *Server) openLog() (*os.File, error) {
	if err := os.Rename(s.home.log(), s.home.log()+".old"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("turn server log: %w", err)
	}
	f, err := os.OpenFile(s.home.log(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open server log: %w", err)
	}
	if err := s.home.as.give(s.home.log(), s.home.alive()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// logTail returns the last lines of the server log.
func (s *Server) logTail() string {
	content, err := os.ReadFile(s.home.log())
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return strings.Join(lines[max(0, len(lines)-10):], "\n")
}
