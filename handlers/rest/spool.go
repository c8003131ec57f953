package rest

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// spoolMemory is how much of a spool is in memory.
const spoolMemory = 1 << 20

// A spool keeps what is written to it until it is read: what is more than spoolMemory in a file of the folder
// for temporary ones, without a name there, so that it is gone with the process. It must be closed.
// The zero spool is empty. It is for one goroutine.
type spool struct {
	memory []byte   // what comes after what is in the file
	file   *os.File // nil: there is none
	size   int64
}

// Write keeps b. After an error the spool is not whole.
func (s *spool) Write(b []byte) (int, error) {
	if len(s.memory) > 0 && len(s.memory)+len(b) > spoolMemory {
		if err := s.spill(); err != nil {
			return 0, fmt.Errorf("keep on disk what is to be answered: %w", err)
		}
	}
	s.memory = append(s.memory, b...)
	s.size += int64(len(b))
	return len(b), nil
}

// spill moves to the file what is in memory.
func (s *spool) spill() error {
	if s.file == nil {
		file, err := os.CreateTemp("", "ledger-answer-*")
		if err != nil {
			return err
		}
		s.file = file
		if err := os.Remove(file.Name()); err != nil {
			return err
		}
	}
	_, err := s.file.Write(s.memory)
	s.memory = s.memory[:0]
	return err
}

// WriteTo writes to w all that was kept, part by part.
func (s *spool) WriteTo(w io.Writer) (written int64, err error) {
	if s.file != nil {
		if _, err := s.file.Seek(0, io.SeekStart); err != nil {
			return 0, fmt.Errorf("read what is to be answered: %w", err)
		}
		if written, err = io.Copy(w, s.file); err != nil {
			return written, err
		}
	}
	n, err := w.Write(s.memory)
	return written + int64(n), err
}

// Close forgets what was kept.
func (s *spool) Close() error {
	file := s.file
	*s = spool{}
	if file == nil {
		return nil
	}
	if err := file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("close file of what was answered: %w", err)
	}
	return nil
}
