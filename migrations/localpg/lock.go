//go:build linux || darwin

package localpg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrInUse is wrapped by Start's error when another process uses the data folder.
var ErrInUse = errors.New("in use")

// pollInterval is how often a condition without an event of its own is looked at.
const pollInterval = 10 * time.Millisecond

// errLocked says that somebody else holds a lock.
var errLocked = errors.New("locked")

// lockFile opens path, creating it if missing, and takes the exclusive lock on it, or
// returns errLocked. The lock belongs to the open file: it ends when the last process
// that has inherited it closes it or dies. The file itself stays.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return f, nil
	}
	_ = f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, errLocked
	}
	return nil, fmt.Errorf("lock %s: %w", path, err)
}

// awaitLock is lockFile, but waits for the holder until ctx ends.
func awaitLock(ctx context.Context, path string) (f *os.File, err error) {
	err = poll(ctx, func() (bool, error) {
		f, err = lockFile(path)
		if errors.Is(err, errLocked) {
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		return nil, fmt.Errorf("await lock %s: %w", path, err)
	}
	return f, nil
}

// unlock ends the lock for everybody, also for a child that is just being forked and
// has yet to close what it must not inherit.
func unlock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_UN)
	return errors.Join(err, f.Close())
}

// holdDir takes the data folder for this process. The file holds our process id, for
// the message that the next one gets.
func holdDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, "postgres.lock")
	f, err := lockFile(path)
	if errors.Is(err, errLocked) {
		return nil, fmt.Errorf("data folder %s is %w by process %s: stop that one first, or use another folder",
			dir, ErrInUse, firstLine(path))
	}
	if err != nil {
		return nil, err
	}
	if err := f.Truncate(0); err != nil {
		return nil, errors.Join(fmt.Errorf("write lock: %w", err), f.Close())
	}
	if _, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		return nil, errors.Join(fmt.Errorf("write lock: %w", err), f.Close())
	}
	return f, nil
}

// firstLine returns the first line of a small file, or "unknown".
func firstLine(path string) string {
	content, err := os.ReadFile(path)
	line, _, _ := strings.Cut(string(content), "\n")
	if err != nil || line == "" {
		return "unknown"
	}
	return line
}

// poll calls done until it reports true or an error, or ctx ends.
func poll(ctx context.Context, done func() (bool, error)) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}
