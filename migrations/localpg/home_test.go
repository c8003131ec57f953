//go:build linux || darwin

package localpg

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFolderThatOnlyWeCanEnter(t *testing.T) {
	t.Parallel()
	as, err := unprivileged()
	require.NoError(t, err)
	dir := filepath.Join(openFolder(t), "closed", "data")
	require.NoError(t, os.MkdirAll(dir, 0o700))
	var told []string
	opts := Options{Dir: dir, elsewhere: filepath.Join(openFolder(t), "elsewhere"), Progress: func(line string) { told = append(told, line) }}

	s := start(t, opts)
	keep(t, s.URL("postgres"))
	require.NoError(t, s.Stop(t.Context()))
	require.Contains(t, strings.Join(told, "\n"), s.home.path)
	require.Equal(t, as.other, strings.HasPrefix(s.home.path, opts.elsewhere), "only root steps down, and has to move")
	info, err := os.Stat(filepath.Dir(dir))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm(), "the user's folders stay as they are")

	s = start(t, opts)
	require.Equal(t, "yes", query(t, s.URL("postgres"), `SELECT value FROM kept`))
}

func TestLostClusterIsNotReplacedSilently(t *testing.T) {
	t.Parallel()
	dir := openFolder(t)
	pointer := filepath.Join(dir, "postgres.location")
	require.NoError(t, os.WriteFile(pointer, []byte(filepath.Join(dir, "gone")+"\n"), 0o600))
	_, err := Start(t.Context(), Options{Dir: dir})
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, pointer)
}

func TestOddPathHasItsSocketInAPlainOne(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(openFolder(t), strings.Repeat("long ", 20)+`"quoted", with a comma`)
	s := start(t, Options{Dir: dir})
	require.Equal(t, "1", query(t, s.URL("postgres"), `SELECT '1'`))
	require.Less(t, len(s.home.socket), maxSocketPath)
	require.NoError(t, s.Stop(t.Context()))
	require.NoDirExists(t, s.home.socket)

	s = start(t, Options{Dir: filepath.Join(openFolder(t), `"a" + b`)}) // odd, but short enough
	require.Equal(t, "1", query(t, s.URL("postgres"), `SELECT '1'`))
}
