package main

import (
	"fmt"
	"io"
	"time"
)

// A tally shows how far an ingest has come: on a terminal in a line that is renewed, elsewhere by
// a line now and then. It is for one goroutine.
type tally struct {
	w        io.Writer
	terminal bool
	quiet    bool
	begun    time.Time
	last     time.Time // shown
	first    int       // line from which it counts
	shown    bool      // a line of the terminal is to be cleared
}

// newTally returns a tally on w of lines after that which was sent before.
func newTally(w io.Writer, quiet bool, now time.Time, line int) *tally {
	return &tally{w: w, terminal: isTerminal(w), quiet: quiet, begun: now, last: now, first: line}
}

// renewEvery is the least time between two looks of a line on a terminal.
const renewEvery = 200 * time.Millisecond

// set tells of the lines that are done, what became of them, and the share of the file that they are,
// unless it has told of late. A share below 0 is not known.
func (t *tally) set(now time.Time, line int, s sums, share float64) {
	every := linesEvery
	if t.terminal {
		every = renewEvery
	}
	if t.quiet || now.Sub(t.last) < every {
		return
	}
	text := fmt.Sprintf("ingest: %d lines, %.0f/s, %v", line, float64(line-t.first)/now.Sub(t.begun).Seconds(), s)
	if share >= 0 {
		text += fmt.Sprintf(", %.0f %%", 100*share)
	}
	t.clear()
	t.last, t.shown = now, t.terminal
	if fmt.Fprint(t.w, text); !t.terminal {
		fmt.Fprintln(t.w)
	}
}

// say prints a line that stays.
func (t *tally) say(format string, args ...any) {
	t.clear()
	fmt.Fprintf(t.w, format+"\n", args...)
}

// clear removes the line that is renewed.
func (t *tally) clear() {
	if t.shown {
		fmt.Fprint(t.w, "\r\x1b[K")
	}
	t.shown = false
}
