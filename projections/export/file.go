package export

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/openprospect/delivery-ledger/eventstore"
)

// A File is what rows are written to: a file, or a stream.
type File struct {
	buffer *bufio.Writer
	file   *os.File // nil: it is a stream
	path   string   // that it gets when it is complete; "": it has it
	begun  bool     // there are rows in it, or what comes before them
}

// fileBuffer is what is written to a file at once.
const fileBuffer = 256 << 10

// Create returns a file that will be at path once it is kept, in place of what is there, and not before.
func Create(path string) (*File, error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.partial")
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", path, err)
	}
	return &File{buffer: bufio.NewWriterSize(f, fileBuffer), file: f, path: path}, nil
}

// Stream returns a file that is written to w as it comes.
func Stream(w io.Writer) *File { return &File{buffer: bufio.NewWriterSize(w, fileBuffer)} }

// Continue opens a file with events in a format of lines, which may be absent, to write to it what follows; it cuts off a
// last line that was not written to its end. It returns the position of the last event in the file, 0 when there is none.
// The file must be what was written of this log, as far as span's organisation goes: its last line is compared with that.
// Until it is kept or discarded nobody else can continue it.
func Continue(ctx context.Context, q eventstore.Querier, path string, format Format, span Span) (*File, eventstore.Position, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, 0, fmt.Errorf("continue file: %w", err)
	}
	end, at, err := resume(ctx, q, f, format, span)
	if err != nil {
		f.Close()
		return nil, 0, fmt.Errorf("continue %s: %w", path, err)
	}
	return &File{buffer: bufio.NewWriterSize(f, fileBuffer), file: f, begun: end > 0}, at, nil
}

// Rows returns what writes rows of a table to the file.
func (f *File) Rows(format Format, t Table) (*Writer, error) {
	return newWriter(f.buffer, format, t, f.begun)
}

// Keep completes the file: it survives a crash from then on.
func (f *File) Keep() error {
	err := f.buffer.Flush()
	if f.file != nil {
		err = errors.Join(err, f.file.Sync(), f.file.Close())
	}
	if err == nil && f.path != "" {
		err = os.Rename(f.file.Name(), f.path)
	}
	if err != nil {
		return fmt.Errorf("complete export: %w", err)
	}
	return nil
}

// Discard gives the file up, unless it was kept. One that is continued keeps what was written to it, to be continued
// again.
func (f *File) Discard() {
	if f.file == nil {
		return
	}
	f.file.Close()
	if f.path != "" {
		_ = os.Remove(f.file.Name()) // it is not there when it was kept
	}
}

// resume prepares f to be written to after its last whole line, and returns where that ends, and the position in it.
func resume(ctx context.Context, q eventstore.Querier, f *os.File, format Format, span Span) (end int64, at eventstore.Position, err error) {
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return 0, 0, fmt.Errorf("somebody else writes to it: %w", err)
	}
	end, last, torn, err := wholeLines(f, format)
	if err != nil {
		return 0, 0, err
	}
	if at, err = positionOf(ctx, q, last, torn, format, span); err != nil {
		return 0, 0, err
	}
	if err := f.Truncate(end); err != nil {
		return 0, 0, err
	}
	_, err = f.Seek(end, io.SeekStart)
	return end, at, err
}

// wholeLines returns where the last whole line of r ends, that line, and what comes after it. In CSV, what is quoted may
// hold ends of lines.
func wholeLines(r io.Reader, format Format) (end int64, last, torn []byte, err error) {
	in := bufio.NewReaderSize(r, fileBuffer)
	quoted := false
	for {
		part, err := in.ReadSlice('\n')
		if torn = append(torn, part...); format == CSV {
			quoted = quoted != (bytes.Count(part, []byte{'"'})%2 == 1)
		}
		switch {
		case errors.Is(err, io.EOF):
			return end, last, torn, nil
		case errors.Is(err, bufio.ErrBufferFull), err == nil && quoted:
			continue
		case err != nil:
			return 0, nil, nil, err
		}
		end += int64(len(torn))
		last, torn = torn, last[:0]
	}
}

// errForeign says that a file is not the beginning of what is to be written to it.
var errForeign = errors.New("it is not what this export has written: it is of another ledger, format or organisation, or was changed")

// positionOf returns the position of the event in the last line of a file, of which a part of the next may follow. It
// fails when the log and the format have another line for it.
func positionOf(ctx context.Context, q eventstore.Querier, last, torn []byte, format Format, span Span) (eventstore.Position, error) {
	var begin bytes.Buffer
	if _, err := newWriter(&begin, format, Log(), false); err != nil {
		return 0, err
	}
	if format == NDJSON {
		begin.WriteString(`{"position":`)
	}
	switch {
	case len(last) == 0: // there is not even one
		if bytes.HasPrefix(begin.Bytes(), torn) || bytes.HasPrefix(torn, begin.Bytes()) {
			return 0, nil
		}
		return 0, errForeign
	case bytes.Equal(last, begin.Bytes()):
		return 0, nil
	}
	text, _, _ := strings.Cut(strings.TrimPrefix(string(last), `{"position":`), ",")
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		return 0, errForeign
	}
	at := eventstore.Position(n)
	var want bytes.Buffer
	w, err := newWriter(&want, format, Log(), true)
	if err != nil {
		return 0, err
	}
	span.After, span.Until = at-1, at
	if _, err := WriteLog(ctx, q, w, span, func(eventstore.Position) {}); err != nil {
		return 0, err
	}
	if !bytes.Equal(last, want.Bytes()) {
		return 0, errForeign
	}
	return at, nil
}
