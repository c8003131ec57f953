//go:build linux || darwin

package localpg

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// settings returns the server's settings as arguments. They win over the cluster's
// postgresql.conf; everything else may be set there.
func settings(h home, opts Options) []string {
	all := map[string]string{
		"listen_addresses":        "",
		"port":                    "5432", // names the socket's file
		"unix_socket_directories": `"` + strings.ReplaceAll(h.socket, `"`, `""`) + `"`,
		"unix_socket_permissions": "0700",
		"timezone":                "UTC",
		"log_timezone":            "UTC",
		"max_connections":         "200",
		"shared_buffers":          "256MB",
		"max_wal_size":            "2GB",
		"wal_compression":         "on",
		"jit":                     "off", // costs more than it saves on small databases
	}
	if opts.Ephemeral {
		all["fsync"] = "off"
		all["shared_buffers"] = "128MB"
		all["max_wal_size"] = "512MB"
		all["dynamic_shared_memory_type"] = "mmap" // files in the cluster: nothing is left elsewhere
	}
	maps.Copy(all, opts.Settings)
	var args []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		args = append(args, "-c", name+"="+all[name])
	}
	return args
}

// clusterMajor returns the major version of the cluster in a home, or 0 if it has none.
func clusterMajor(h home) (int, error) {
	content, err := os.ReadFile(filepath.Join(h.data(), "PG_VERSION"))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	major, convErr := strconv.Atoi(strings.TrimSpace(string(content)))
	if err := errors.Join(err, convErr); err != nil {
		return 0, fmt.Errorf("read version of cluster: %w", err)
	}
	return major, nil
}

// initCluster makes the cluster, whole or not at all.
func (s *Server) initCluster(ctx context.Context) error {
	unfinished := s.home.data() + ".new"
	alive, err := s.takeCluster(ctx)
	if err != nil {
		return err
	}
	defer alive.Close()
	if err := os.RemoveAll(unfinished); err != nil {
		return fmt.Errorf("clear cluster: %w", err)
	}
	output, err := s.openLog()
	if err != nil {
		return err
	}
	defer output.Close()
	args := []string{
		"--pgdata=" + unfinished, "--username=postgres", "--encoding=UTF8", "--locale=C",
		"--auth-local=trust", "--auth-host=reject",
	}
	if s.opts.Ephemeral {
		args = append(args, "--no-sync")
	}
	cmd, err := s.watchdog.start(ctx, s.home.as, s.home.path, output, alive, filepath.Join(s.bin.dir, "initdb"), args...)
	if err != nil {
		return err
	}
	err = cmd.Wait()
	s.watchdog.unwatch()
	if err != nil {
		err = fmt.Errorf("make cluster: initdb: %w\n%s", cmp.Or(context.Cause(ctx), err), s.logTail())
		return errors.Join(err, alive.Close(), s.awaitEnd())
	}
	if err := os.Rename(unfinished, s.home.data()); err != nil {
		return fmt.Errorf("make cluster: %w", err)
	}
	return nil
}

// clearStale removes what a Postgres that was killed has left and the next one would
// take for a running server. The caller holds the cluster, so none of ours is running;
// one that somebody has started by hand answers, and is respected.
func clearStale(ctx context.Context, h home) error {
	path := filepath.Join(h.data(), "postmaster.pid")
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("look for another server: %w", err)
	}
	lines := strings.Split(string(content), "\n")
	if len(lines) > 4 && answers(ctx, "unix", filepath.Join(lines[4], ".s.PGSQL."+lines[3])) ||
		len(lines) > 5 && answers(ctx, "tcp", net.JoinHostPort(lines[5], lines[3])) {
		return fmt.Errorf("cluster %s is %w by a Postgres that was started by hand (process %s): stop that one first", h.data(), ErrInUse, lines[0])
	}
	stale := []string{path, filepath.Join(h.socket, socketName), filepath.Join(h.socket, socketName+".lock")}
	for _, path := range stale {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("clear after killed server: %w", err)
		}
	}
	return nil
}

// answers reports whether somebody listens at the address.
func answers(ctx context.Context, network, address string) bool {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return false
	}
	return conn.Close() == nil
}
