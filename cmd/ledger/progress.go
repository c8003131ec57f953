package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// A bar shows how far something has come. On anything but a terminal it shows nothing, or a line now and then.
type bar struct {
	all   *mpb.Progress
	one   *mpb.Bar
	lines *lines // nil: none
}

// newBar returns a bar on w for work that is counted in unit.
func newBar(w io.Writer, title, unit string) *bar {
	if !isTerminal(w) {
		return &bar{}
	}
	all := mpb.New(mpb.WithOutput(w), mpb.WithWidth(48))
	one := all.AddBar(0,
		mpb.PrependDecorators(decor.Name(title+" "), decor.Percentage()),
		mpb.AppendDecorators(decor.CountersNoUnit("%d / %d "+unit), decor.Name("  "),
			decor.AverageSpeed(0, "%.0f/s"), decor.Name("  "), decor.AverageETA(decor.ET_STYLE_GO)))
	return &bar{all: all, one: one}
}

// isTerminal reports whether somebody looks at what is written to w.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// newTalkingBar returns a bar that prints lines where it cannot be drawn.
func newTalkingBar(w io.Writer, title, unit string) *bar {
	b := newBar(w, title, unit)
	if b.one == nil {
		b.lines = &lines{w: w, title: title, unit: unit}
	}
	return b
}

// set moves the bar to done of total.
func (b *bar) set(done, total int64) {
	if b.lines != nil {
		b.lines.set(time.Now(), done, total)
	}
	if b.one != nil {
		b.one.SetTotal(total, false)
		b.one.SetCurrent(done)
	}
}

// finish completes the bar if the work was, and leaves it on the screen.
func (b *bar) finish() {
	if b.one != nil {
		b.one.Abort(false)
		b.all.Wait()
	}
}

// linesEvery is the least time between two lines.
const linesEvery = 10 * time.Second

// lines tell in words what a bar shows: the first at once.
type lines struct {
	w           io.Writer
	title, unit string
	begun, last time.Time
	first       int64 // done when it began
}

// set tells of done of total, unless it has told of late.
func (l *lines) set(now time.Time, done, total int64) {
	if l.begun.IsZero() {
		l.begun, l.first = now, done
	}
	if now.Sub(l.last) < linesEvery {
		return
	}
	l.last = now
	took := now.Sub(l.begun)
	if took == 0 || done == l.first {
		fmt.Fprintf(l.w, "%s: %d of %d %s\n", l.title, done, total, l.unit)
		return
	}
	rate := float64(done-l.first) / took.Seconds()
	left := time.Duration(float64(total-done) / rate * float64(time.Second)).Round(time.Second)
	fmt.Fprintf(l.w, "%s: %d of %d %s, %.0f/s, %s left\n", l.title, done, total, l.unit, rate, left)
}
