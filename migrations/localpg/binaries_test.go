//go:build linux || darwin

package localpg

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// fakeBin makes a bin folder whose postgres claims a version. It is written by a child
// process: what we have open for writing ourselves could be "busy" when it is run.
func fakeBin(t *testing.T, dir, version string) string {
	t.Helper()
	script := `mkdir -p "$1" && cd "$1" && printf '#!/bin/sh\necho "postgres (PostgreSQL) %s"\n' "$2" >postgres &&
		cp postgres initdb && cp postgres pg_ctl && chmod 0755 "$1" *`
	require.NoError(t, exec.Command("/bin/sh", "-c", script, "sh", dir, version).Run())
	return dir
}

// emptyFinder finds nothing.
func emptyFinder(t *testing.T) finder {
	t.Helper()
	return finder{cache: filepath.Join(openFolder(t), "cache"), say: func(string) {}}
}

// found returns the folder that the finder finds for the user that runs Postgres.
func found(t *testing.T, f finder, major int) string {
	t.Helper()
	as, err := unprivileged()
	require.NoError(t, err)
	b, err := f.find(deadline(t), as, major)
	require.NoError(t, err)
	return b.dir
}

func TestBinariesAreLookedForInOrder(t *testing.T) {
	t.Parallel()
	root := openFolder(t)
	f := emptyFinder(t)
	f.sources = []source{{name: "fake", fetch: func(_ context.Context, into string, major int) error {
		fakeBin(t, filepath.Join(into, "bin"), strconv.Itoa(major)+".1")
		return nil
	}}}
	require.Equal(t, filepath.Join(f.cache, "fake-18", "bin"), found(t, f, 0), "fetched")
	require.Equal(t, filepath.Join(f.cache, "fake-16", "bin"), found(t, f, 16), "fetched as wanted")
	f.sources = nil
	require.Equal(t, filepath.Join(f.cache, "fake-18", "bin"), found(t, f, 0), "kept")

	fakeBin(t, filepath.Join(root, "lib", "9", "bin"), "9.6") // too old
	fakeBin(t, filepath.Join(root, "lib", "14", "bin"), "14.2")
	seventeen := fakeBin(t, filepath.Join(root, "lib", "17", "bin"), "17.3")
	f.globs = []string{filepath.Join(root, "lib", "*", "bin")}
	require.Equal(t, seventeen, found(t, f, 0), "the newest of the system's")
	require.Equal(t, filepath.Join(root, "lib", "14", "bin"), found(t, f, 14), "the cluster's version wins")

	config := filepath.Join(root, "config")
	sixteen := fakeBin(t, filepath.Join(root, "sixteen"), "16.3")
	script := `mkdir "$1" && cd "$1" && printf '#!/bin/sh\necho "%s"\n' "$2" >pg_config && chmod 0755 pg_config`
	require.NoError(t, exec.Command("/bin/sh", "-c", script, "sh", config, sixteen).Run())
	f.path = config
	require.Equal(t, sixteen, found(t, f, 0), "what pg_config says")

	fifteen := fakeBin(t, filepath.Join(root, "fifteen"), "15.3")
	links := filepath.Join(root, "links")
	require.NoError(t, os.Mkdir(links, 0o755))
	require.NoError(t, os.Symlink(filepath.Join(fifteen, "postgres"), filepath.Join(links, "postgres")))
	f.path = links + string(os.PathListSeparator) + config
	require.Equal(t, fifteen, found(t, f, 0), "the path, links resolved")

	f.explicit = fakeBin(t, filepath.Join(root, "explicit"), "14.9")
	require.Equal(t, f.explicit, found(t, f, 0), "what was said")
}

func TestExplicitFolderIsTakenOrRefused(t *testing.T) {
	t.Parallel()
	f := emptyFinder(t)
	f.globs = []string{fakeBin(t, filepath.Join(openFolder(t), "bin"), "17.3")}
	for version, reason := range map[string]string{"13.4": "13.4", "19beta1": "19beta1", "16.2": "made by 17", "": "calls itself"} {
		f.explicit = fakeBin(t, filepath.Join(openFolder(t), "bin"), version)
		_, err := f.find(t.Context(), account{}, 17)
		require.ErrorContains(t, err, binEnv)
		require.ErrorContains(t, err, reason)
	}
	require.NoError(t, os.Remove(filepath.Join(f.explicit, "initdb")))
	_, err := f.find(t.Context(), account{}, 0)
	require.ErrorContains(t, err, "lacks initdb")
}

func TestNoPostgresAtAllSaysWhatToInstall(t *testing.T) {
	t.Parallel()
	f := emptyFinder(t)
	f.globs = []string{fakeBin(t, filepath.Join(openFolder(t), "bin"), "9.6")}
	f.sources = []source{{name: "fake", fetch: func(context.Context, string, int) error { return os.ErrDeadlineExceeded }}}
	_, err := Start(t.Context(), Options{Ephemeral: true, finder: &f})
	for _, part := range []string{"apt-get install postgresql", "brew install", binEnv, "LEDGER_DATABASE_URL", "9.6", "fake", os.ErrDeadlineExceeded.Error()} {
		require.ErrorContains(t, err, part)
	}
}

func TestBinariesThatOnlyWeCanReachAreCopied(t *testing.T) {
	t.Parallel()
	as, err := unprivileged()
	require.NoError(t, err)
	closed := filepath.Join(openFolder(t), "closed")
	f := emptyFinder(t)
	f.explicit = fakeBin(t, filepath.Join(closed, "pg", "bin"), "17.3")
	require.NoError(t, os.MkdirAll(filepath.Join(closed, "pg", "share", "postgresql"), 0o700))
	require.NoError(t, os.MkdirAll(filepath.Join(closed, "pg", "lib"), 0o700))
	require.NoError(t, os.Chmod(closed, 0o700))

	dir := found(t, f, 0)
	require.Equal(t, as.other, dir != f.explicit, "only who steps down needs a copy")
	require.Equal(t, dir, found(t, f, 0), "copied once")
}
