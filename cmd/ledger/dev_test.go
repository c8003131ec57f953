package main

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/handlers/rest/apikey"
	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

// dev starts ledger dev on a data folder.
func dev(tb testing.TB, dir string, args ...string) *process {
	tb.Helper()
	return start(tb, append([]string{"dev", "--data-dir", dir, "--listen", "127.0.0.1:0"}, args...)...)
}

// keptKey returns the API key that is kept in a data folder.
func keptKey(tb testing.TB, dir string) string {
	tb.Helper()
	path := filepath.Join(dir, "api-key")
	info, err := os.Stat(path)
	require.NoError(tb, err)
	require.Equal(tb, os.FileMode(0o600), info.Mode().Perm(), "others may not read it")
	b, err := os.ReadFile(path)
	require.NoError(tb, err)
	return strings.TrimSpace(string(b))
}

// postmaster returns the process ID of a data folder's Postgres.
func postmaster(tb testing.TB, dir string) int {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "postgres", "data", "postmaster.pid"))
	require.NoError(tb, err)
	line, _, _ := strings.Cut(string(b), "\n")
	pid, err := strconv.Atoi(line)
	require.NoError(tb, err)
	return pid
}

// runs reports whether a process runs. One that ended, but of which nobody has asked how, does
// not.
func runs(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat") // where there is such a thing
	return err != nil || !strings.Contains(string(stat), ") Z ")
}

func TestDevKeepsItsDataAndItsKeyBetweenRuns(t *testing.T) {
	t.Parallel()
	dir := testdb.Dir(t)
	first := dev(t, dir)
	key := keptKey(t, dir)
	require.Equal(t, 1, strings.Count(first.printed(), key), first.printed())
	c := first.at(key)
	r := newReceiver(t, ok)
	delivery := c.delivery(t, r.url) // at a private address
	c.qualify(t, delivery, "comp_1")
	c.awaitCount(t, delivery, "delivered", 1)
	postgres := postmaster(t, dir)
	require.NoError(t, first.stop(t))
	require.False(t, runs(postgres), "its Postgres ends with it")

	second := dev(t, dir)
	require.NotContains(t, second.printed(), key, "the key is shown once")
	require.Contains(t, second.printed(), filepath.Join(dir, "api-key"), "but one is told where it is")
	c = second.at(key)
	c.qualify(t, delivery, "comp_2") // whose destination has a secret of the first run
	c.awaitCount(t, delivery, "delivered", 2)
	require.Equal(t, "Bearer your-secret-token", r.got()[1].header.Get("Authorization"))
	require.NoError(t, second.stop(t))
}

func TestKilledDevLeavesNothingBehindAndASecondOneIsRefusedMeanwhile(t *testing.T) {
	t.Parallel()
	dir := testdb.Dir(t)
	p := dev(t, dir)
	out, errs, err := ledger(t, "dev", "--data-dir", dir, "--listen", "127.0.0.1:0")
	require.Equal(t, 1, exitCode(t, err), out)
	require.Contains(t, errs, "data folder "+dir+" is in use by process "+strconv.Itoa(p.cmd.Process.Pid))
	require.Equal(t, http.StatusOK, p.at("").status(t.Context(), "/readyz"), "the first one goes on")

	postgres := postmaster(t, dir)
	require.True(t, runs(postgres))
	p.kill()
	require.Eventually(t, func() bool { return !runs(postgres) }, patience, pollEvery, "Postgres is left behind")
}

func TestDevTakesAKeyFromItsVariable(t *testing.T) {
	t.Parallel()
	const key = "lnc_live_mine"
	args := []string{"dev", "--data-dir", testdb.Dir(t), "--database-url", testdb.URL(t), "--listen", "127.0.0.1:0"}
	for range 2 {
		p := startWith(t, []string{"LEDGER_DEV_API_KEY=" + key}, args...)
		info := p.at(key).must(t, http.StatusOK, http.MethodGet, "/api/v1/auth/validate", "")
		require.Len(t, info["scopes"], len(apikey.Scopes()))
		require.NotContains(t, p.printed(), "lnc_live_", "it makes no other")
		require.NoError(t, p.stop(t))
	}
	_, _, err := verb(t, "", append(args, "--dev-api-key", "mine")...)
	require.ErrorContains(t, err, "use --dev-api-key: create key: a key begins with lnc_live_ or lnc_test_")
}

// attemptLine matches a line of the demonstration's table.
var attemptLine = regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d\.\d{3}  .+  dst_\w{20} +(\d)  (\d{3}) +\d+\.\d  (delivered|will be retried|failed)$`)

// demonstrate starts a demonstration, waits for its summary and returns what it printed.
func demonstrate(tb testing.TB, dir string, args ...string) (p *process, printed string) {
	tb.Helper()
	p = dev(tb, dir, append([]string{"--demo", "--database-url", testdb.URL(tb)}, args...)...)
	require.Eventually(tb, func() bool { return strings.Contains(p.printed(), "I said so") }, patience, pollEvery, "no summary")
	return p, p.printed()
}

func TestDemoDeliversItsSamplesAndSaysWhatToTryNext(t *testing.T) {
	t.Parallel()
	dir := testdb.Dir(t)
	p, printed := demonstrate(t, dir)
	require.Regexp(t, `(?m)^TIME +COMPANY +DESTINATION +ATTEMPT  STATUS +MS$`, printed)
	outcomes, attempts := map[string]int{}, map[string]int{}
	for _, m := range attemptLine.FindAllStringSubmatch(printed, -1) {
		outcomes[m[3]]++
		attempts[m[1]]++
	}
	require.Equal(t, map[string]int{"delivered": 200, "will be retried": 33}, outcomes)
	require.Equal(t, map[string]int{"1": 200, "2": 25, "3": 8}, attempts)
	require.Regexp(t, `(?m)^200 companies delivered in \d+\.\d s, by 233 attempts, of which 33 failed and were made again\.$`, printed)

	require.Contains(t, printed, "KEY=$(cat '"+filepath.Join(dir, "api-key")+"')")
	commands := curls(t, strings.ReplaceAll(printed, "$KEY", keptKey(t, dir)))
	require.Len(t, commands, 3)
	require.Eventually(t, func() bool { // the read models are a moment behind what is printed
		items := commands[1].send(t, http.StatusOK)["items"].([]any)
		return commands[0].send(t, http.StatusOK)["counts"].(map[string]any)["delivered"] == 200.0 && len(items) == 2
	}, patience, pollEvery)
	require.EqualValues(t, 1, commands[2].send(t, http.StatusOK)["accepted"])
	require.Eventually(t, func() bool { return strings.Contains(p.printed(), "My Company") }, patience, pollEvery, "it stays up")
	require.NoError(t, p.stop(t))
}

func TestDemoEndsAlsoWhenSomethingIsGivenUp(t *testing.T) {
	t.Parallel()
	_, printed := demonstrate(t, testdb.Dir(t), "--retry-schedule", "10ms")
	require.Regexp(t, `(?m)^192 companies delivered in .*, by 225 attempts, of which 33 failed; 8 companies were given up\.$`, printed)
}
