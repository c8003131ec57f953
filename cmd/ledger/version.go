package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
)

// versionVerb is ledger version.
type versionVerb struct{}

// Run prints the build's version, revision and Go version.
func (v *versionVerb) Run(w world) error {
	_, err := fmt.Fprintln(w.out, "ledger", buildVersion(), runtime.Version(), runtime.GOOS+"/"+runtime.GOARCH)
	return err
}

// buildVersion is the release, or else what the Go tool knows of the source.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return cmp.Or(version, "unknown")
	}
	return cmp.Or(version, info.Main.Version, "unknown")
}
