package main

import (
	"io"
	"os"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// A bar shows how far something has come. On anything but a terminal it shows nothing.
type bar struct {
	all *mpb.Progress
	one *mpb.Bar
}

// newBar returns a bar on w for work that ends at total, counted in unit.
func newBar(w io.Writer, title, unit string, total int64) *bar {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return &bar{}
	}
	all := mpb.New(mpb.WithOutput(w), mpb.WithWidth(48))
	one := all.AddBar(total,
		mpb.PrependDecorators(decor.Name(title+" "), decor.Percentage()),
		mpb.AppendDecorators(decor.CountersNoUnit("%d / %d "+unit), decor.Name("  "),
			decor.AverageSpeed(0, "%.0f/s"), decor.Name("  "), decor.AverageETA(decor.ET_STYLE_GO)))
	return &bar{all: all, one: one}
}

// set moves the bar to done of total.
func (b *bar) set(done, total int64) {
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
