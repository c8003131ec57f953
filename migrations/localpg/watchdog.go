//go:build linux || darwin

package localpg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
)

// watchScript reads process ids until the pipe's other end is gone, which it is when
// we are, however we ended. Then it sends the last one the signal $1, and SIGQUIT when
// that was of no use for ten seconds, and removes the folders $2….
const watchScript = `
trap '' HUP INT QUIT TERM
signal=$1
shift
pid=
while read -r line; do pid=$line; done
if [ -n "$pid" ]; then
  kill -s "$signal" "$pid" 2>/dev/null
  n=0
  while kill -0 "$pid" 2>/dev/null && [ "$n" -lt 100 ]; do sleep 0.1; n=$((n+1)); done
  [ "$n" -lt 100 ] || kill -s QUIT "$pid" 2>/dev/null
fi
[ "$#" -eq 0 ] || rm -rf -- "$@"
`

// gateScript starts a program only after a line has come: when we die before we have
// told the watchdog of it, it never starts.
const gateScript = `read -r _ && exec "$@" </dev/null`

// watchdog ends a process of ours after our own end. It is a shell, which needs
// nothing from the program that uses this package.
type watchdog struct {
	cmd  *exec.Cmd
	pipe *os.File
}

// startWatchdog starts a watchdog with the rights of the account, so that it can hit
// no other's process.
func startWatchdog(as account, signal string, folders []string) (*watchdog, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start watchdog: %w", err)
	}
	defer r.Close()
	args := append([]string{"-c", watchScript, "ledger-watchdog", signal}, folders...)
	cmd := as.command(context.Background(), "/", "/bin/sh", args...) // outlives every context
	cmd.Stdin = r
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start watchdog: %w", err), w.Close())
	}
	return &watchdog{cmd: cmd, pipe: w}, nil
}

// start starts a program under watch. There is no moment at which our death would
// leave it running.
func (w *watchdog) start(ctx context.Context, as account, folder string, output, inherited *os.File, name string, args ...string) (*exec.Cmd, error) {
	r, gate, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer r.Close()
	defer gate.Close()
	cmd := as.command(ctx, folder, "/bin/sh", append([]string{"-c", gateScript, "sh", name}, args...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = r, output, output
	cmd.ExtraFiles = []*os.File{inherited}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	if err := w.watch(cmd.Process.Pid); err != nil {
		_ = gate.Close() // ends it
		return nil, errors.Join(err, cmd.Wait())
	}
	_, _ = gate.WriteString("go\n") // fails if it is dead already, which its Wait tells
	return cmd, nil
}

// watch makes pid the process that is ended with us.
func (w *watchdog) watch(pid int) error {
	if _, err := w.pipe.WriteString(strconv.Itoa(pid) + "\n"); err != nil {
		return fmt.Errorf("tell watchdog: %w", err)
	}
	return nil
}

// unwatch says that the process has ended, and its id may be another's by now.
func (w *watchdog) unwatch() {
	_, _ = w.pipe.WriteString("\n") // fails if the watchdog is gone, which is as good
}

// release ends the watchdog, which removes its folders.
func (w *watchdog) release() error {
	if err := errors.Join(w.pipe.Close(), w.cmd.Wait()); err != nil {
		return fmt.Errorf("end watchdog: %w", err)
	}
	return nil
}
