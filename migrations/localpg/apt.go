//go:build linux || darwin

package localpg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// clusterConf is read by Debian's packages when they decide whether an installation
// also makes and starts a server.
const clusterConf = "/etc/postgresql-common/createcluster.d/delivery-ledger.conf"

// fromAPT installs Debian's package, for root only. It is the last source, since it
// changes the machine; but no server of the machine's own is made or started.
func fromAPT() source {
	return source{name: "apt-get", fetch: func(ctx context.Context, _ string, _ int) (err error) {
		if os.Geteuid() != 0 {
			return errors.New("only root can install packages")
		}
		if _, err := exec.LookPath("apt-get"); err != nil {
			return fmt.Errorf("look for apt-get: %w", err)
		}
		if err := os.MkdirAll(filepath.Dir(clusterConf), 0o755); err != nil {
			return fmt.Errorf("forbid a server of its own: %w", err)
		}
		if err := os.WriteFile(clusterConf, []byte("create_main_cluster = false\n"), 0o644); err != nil {
			return fmt.Errorf("forbid a server of its own: %w", err)
		}
		defer func() { err = errors.Join(err, os.Remove(clusterConf)) }()

		env := []string{"DEBIAN_FRONTEND=noninteractive"}
		if err := run(ctx, "/", env, "apt-get", "update", "-qq"); err != nil {
			return err
		}
		return run(ctx, "/", env, "apt-get", "install", "-y", "-qq", "--no-install-recommends", "postgresql")
	}}
}
