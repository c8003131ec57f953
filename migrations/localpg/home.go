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
)

// elsewhere is where clusters go whose data folder the server's user cannot enter.
const elsewhere = "/var/lib/delivery-ledger"

// maxSocketPath is what fits into a sockaddr_un on macOS; Linux takes 4 bytes more.
const maxSocketPath = 103

// socketName is the file that Postgres listens on in its socket folder.
const socketName = ".s.PGSQL.5432"

// home is the folder of one cluster, which belongs to the account that runs it.
type home struct {
	path   string
	as     account
	socket string // folder of the socket
}

func (h home) data() string  { return filepath.Join(h.path, "data") }
func (h home) alive() string { return filepath.Join(h.path, "alive") } // locked by the server's processes
func (h home) log() string   { return filepath.Join(h.path, "postgres.log") }

// findHome returns the home of the data folder's cluster, made if there is none yet.
// The caller holds the data folder.
func findHome(ctx context.Context, dir, elsewhere string, say func(string)) (home, error) {
	pointer := filepath.Join(dir, "postgres.location")
	if content, err := os.ReadFile(pointer); err == nil {
		h, err := openHome(ctx, strings.TrimSpace(string(content)))
		if errors.Is(err, os.ErrNotExist) {
			return home{}, fmt.Errorf("follow %s: %w (remove the file to start with an empty database)", pointer, err)
		}
		return h, err
	}
	inside := filepath.Join(dir, "postgres")
	if h, err := openHome(ctx, inside); !errors.Is(err, os.ErrNotExist) {
		return h, err
	}
	as, err := unprivileged()
	if err != nil {
		return home{}, err
	}
	if !as.other || as.canEnter(ctx, dir) {
		return makeHome(inside, as)
	}
	path, err := makeElsewhere(ctx, dir, elsewhere, as)
	if err != nil {
		return home{}, err
	}
	if err := writeFile(pointer, path+"\n"); err != nil {
		return home{}, errors.Join(err, os.Remove(path))
	}
	say(fmt.Sprintf("user %s cannot enter %s: the database is kept in %s", as.name, dir, path))
	return makeHome(path, as)
}

// makeElsewhere makes a folder outside of the data folder that the account can enter.
func makeElsewhere(ctx context.Context, dir, elsewhere string, as account) (string, error) {
	if err := os.MkdirAll(elsewhere, 0o755); err != nil {
		return "", fmt.Errorf("make folder for clusters: %w", err)
	}
	if !as.canEnter(ctx, elsewhere) {
		return "", fmt.Errorf("make folder for clusters: user %s can enter neither %s nor %s: use another data folder", as.name, dir, elsewhere)
	}
	path, err := os.MkdirTemp(elsewhere, filepath.Base(dir)+"-")
	if err != nil {
		return "", fmt.Errorf("make cluster's folder: %w", err)
	}
	return path, nil
}

// openHome returns the existing home at path, to be run by its owner.
func openHome(ctx context.Context, path string) (home, error) {
	as, err := ownerOf(path)
	if err != nil {
		return home{}, err
	}
	if !as.other && os.Geteuid() == 0 { // made, but not given away yet, when we were killed
		if as, err = unprivileged(); err != nil {
			return home{}, err
		}
	}
	if as.other && !as.canEnter(ctx, filepath.Dir(path)) {
		return home{}, fmt.Errorf("open cluster: it belongs to user %s, who can no longer enter %s: move the data folder", as.name, path)
	}
	return makeHome(path, as)
}

// makeHome makes what is missing of the home at path.
func makeHome(path string, as account) (home, error) {
	h := home{path: path, as: as, socket: filepath.Join(path, "run")}
	if err := os.MkdirAll(h.socket, 0o700); err != nil {
		return home{}, fmt.Errorf("make cluster's folder: %w", err)
	}
	if err := as.give(path, h.socket); err != nil {
		return home{}, err
	}
	commas := strings.Contains(h.socket, ",") // a host with commas is a list of hosts
	if len(filepath.Join(h.socket, socketName)) <= maxSocketPath && !commas {
		return h, nil
	}
	short, err := os.MkdirTemp("/tmp", "ledger-pg-")
	if err != nil {
		return home{}, fmt.Errorf("make socket folder: %w", err)
	}
	h.socket = short
	return h, as.give(short)
}

// temporaryHome makes a home that is meant to be removed.
func temporaryHome(ctx context.Context) (home, error) {
	as, err := unprivileged()
	if err != nil {
		return home{}, err
	}
	for _, parent := range temporaryParents() {
		if !as.canEnter(ctx, parent) {
			err = errors.Join(err, fmt.Errorf("make temporary cluster: user %s cannot enter %s", as.name, parent))
			continue
		}
		path, mkErr := os.MkdirTemp(parent, "ledger-pg-")
		if mkErr == nil {
			return makeHome(path, as)
		}
		err = errors.Join(err, fmt.Errorf("make temporary cluster: %w", mkErr))
	}
	return home{}, err
}

// temporaryParents lists where a temporary cluster may be, best first. A cluster makes
// many files, which is ten times as fast in memory; what $TMPDIR says comes first.
func temporaryParents() []string {
	parents := []string{os.TempDir(), "/tmp", "/var/tmp"}
	const memory, plenty = "/dev/shm", 4 << 30 // bytes
	var stat syscall.Statfs_t
	if os.Getenv("TMPDIR") == "" && syscall.Statfs(memory, &stat) == nil && stat.Bavail*uint64(stat.Bsize) >= plenty {
		return append([]string{memory}, parents...)
	}
	return parents
}

// borrowed returns the folders outside of the data folder that end with the server.
func (h home) borrowed(ephemeral bool) []string {
	var folders []string
	if ephemeral {
		folders = append(folders, h.path)
	}
	if filepath.Dir(h.socket) != h.path {
		folders = append(folders, h.socket)
	}
	return folders
}

// writeFile writes a small file, whole or not at all.
func writeFile(path, content string) error {
	if err := os.WriteFile(path+".new", []byte(content), 0o644); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
