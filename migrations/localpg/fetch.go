//go:build linux || darwin

package localpg

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// fetchTimeout bounds one attempt to fetch about 60 MB.
const fetchTimeout = 5 * time.Minute

// source is a place to fetch Postgres from. Its fetch puts folders bin, lib and share
// into a folder, or installs a Postgres where the finder looks.
type source struct {
	name  string
	fetch func(ctx context.Context, into string, major int) error
}

// fetch tries the sources until the finder sees binaries that will do. What keeps to
// our cache is tried before what changes the machine.
func (f finder) fetch(ctx context.Context, as account, major int) (found binaries, failed []error) {
	if len(f.sources) == 0 {
		return binaries{}, nil
	}
	if err := os.MkdirAll(f.cache, 0o755); err != nil {
		return binaries{}, []error{fmt.Errorf("make cache: %w", err)}
	}
	lock, err := awaitLock(ctx, filepath.Join(f.cache, "fetch.lock"))
	if err != nil {
		return binaries{}, []error{err}
	}
	defer lock.Close()
	if found, _ := f.look(ctx, as, major); found.dir != "" {
		return found, nil // another process has fetched it meanwhile
	}
	wanted := cmp.Or(major, newestMajor)
	for _, s := range f.sources {
		f.say(fmt.Sprintf("fetching Postgres %d (%s)", wanted, s.name))
		target := filepath.Join(f.cache, fmt.Sprintf("%s-%d", s.name, wanted))
		err := f.fill(target, func(into string) error {
			limited, cancel := context.WithTimeout(ctx, fetchTimeout)
			defer cancel()
			return s.fetch(limited, into, wanted)
		})
		if err != nil {
			failed = append(failed, fmt.Errorf("fetch (%s): %w", s.name, err))
			continue
		}
		found, rejected := f.look(ctx, as, major)
		if found.dir != "" {
			return found, nil
		}
		failed = append(failed, rejected...)
	}
	return binaries{}, failed
}

// fill lets write make a tree and puts it in place of target, whole or not at all. An
// empty tree is dropped.
func (f finder) fill(target string, write func(into string) error) error {
	if err := os.MkdirAll(f.cache, 0o755); err != nil {
		return fmt.Errorf("make cache: %w", err)
	}
	into, err := os.MkdirTemp(f.cache, ".new-")
	if err != nil {
		return fmt.Errorf("make cache: %w", err)
	}
	defer os.RemoveAll(into)
	if err := write(into); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(into, "bin")); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err := publish(into); err != nil {
		return fmt.Errorf("open cache to everybody: %w", err)
	}
	if err := os.RemoveAll(target); err != nil {
		return fmt.Errorf("clear cache: %w", err)
	}
	if err := os.Rename(into, target); err != nil {
		return fmt.Errorf("fill cache: %w", err)
	}
	return nil
}

// cacheDir returns the folder for fetched binaries. For root it is one that the user
// we step down to can enter, which root's own cache is not.
func cacheDir() string {
	if os.Geteuid() == 0 {
		return "/var/cache/delivery-ledger"
	}
	if dir, err := os.UserCacheDir(); err == nil {
		dir = filepath.Join(dir, "delivery-ledger")
		if os.MkdirAll(dir, 0o700) == nil {
			return dir
		}
	}
	// A user without a home. The name can be guessed, so take the folder only if it is
	// ours alone: programs in it will be run.
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("delivery-ledger-%d", os.Geteuid()))
	_ = os.Mkdir(dir, 0o700) // whether it is there and ours is seen below
	info, err := os.Lstat(dir)
	if err == nil && info.IsDir() && info.Mode().Perm() == 0o700 && int(info.Sys().(*syscall.Stat_t).Uid) == os.Geteuid() {
		return dir
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("delivery-ledger-%d-%d", os.Geteuid(), os.Getpid()))
}

// run runs a program that may change what it likes, and reports what it said if it fails.
func run(ctx context.Context, dir string, env []string, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("run %s: %w %s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}
