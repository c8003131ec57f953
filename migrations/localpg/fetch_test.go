//go:build linux || darwin

package localpg

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSourcesAreTriedInTurn(t *testing.T) {
	t.Parallel()
	f := emptyFinder(t)
	var asked []string
	answer := func(name string, fetch func(into string) error) source {
		return source{name: name, fetch: func(_ context.Context, into string, _ int) error {
			asked = append(asked, name)
			return fetch(into)
		}}
	}
	f.sources = []source{
		answer("broken", func(into string) error {
			fakeBin(t, filepath.Join(into, "bin"), "18.1")
			return errors.New("broken off in the middle")
		}),
		answer("unusable", func(into string) error { fakeBin(t, filepath.Join(into, "bin"), "9.6"); return nil }),
		answer("good", func(into string) error { fakeBin(t, filepath.Join(into, "bin"), "18.2"); return nil }),
		answer("needless", func(string) error { return nil }),
	}
	require.Equal(t, filepath.Join(f.cache, "good-18", "bin"), found(t, f, 0))
	require.Equal(t, []string{"broken", "unusable", "good"}, asked)
	require.NoDirExists(t, filepath.Join(f.cache, "broken-18"), "half a fetch is none")
}

func TestProcessesFetchOnce(t *testing.T) {
	t.Parallel()
	f := emptyFinder(t)
	var fetched atomic.Int32
	f.sources = []source{{name: "fake", fetch: func(_ context.Context, into string, _ int) error {
		fetched.Add(1)
		fakeBin(t, filepath.Join(into, "bin"), "18.1")
		return nil
	}}}
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			_, err := f.find(deadline(t), account{}, 0)
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 1, fetched.Load())
}

func TestMavenWithoutAnAnswerFails(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	into := filepath.Join(t.TempDir(), "into")
	require.ErrorContains(t, fromMaven(server.URL).fetch(deadline(t), into, 18), "18.3.0")
	server.Close()
	require.ErrorContains(t, fromMaven(server.URL).fetch(deadline(t), into, 18), "reach")
}

func TestLibrariesAreLinkedInsideThePackageOnly(t *testing.T) {
	t.Parallel()
	pkg := t.TempDir()
	lib := filepath.Join(pkg, "native", "lib")
	require.NoError(t, os.MkdirAll(lib, 0o700))
	require.NoError(t, linkLibraries(pkg), "no list, no links")

	list := filepath.Join(pkg, "native", "pg-symlinks.json")
	require.NoError(t, os.WriteFile(filepath.Join(lib, "libpq.so.5.18"), nil, 0o600))
	require.NoError(t, os.WriteFile(list, []byte(`[{"source":"native/lib/libpq.so.5.18","target":"native/lib/libpq.so"}]`), 0o600))
	require.NoError(t, linkLibraries(pkg))
	target, err := os.Readlink(filepath.Join(lib, "libpq.so"))
	require.NoError(t, err)
	require.Equal(t, "libpq.so.5.18", target)

	require.NoError(t, os.WriteFile(list, []byte(`[{"source":"native/lib/x","target":"../outside"}]`), 0o600))
	require.Error(t, linkLibraries(pkg))
}
