package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
)

// An input is a file to ingest, or standard input, unpacked if it was packed by gzip and without
// a byte order mark. It knows what was taken of it so far, which tells whether it is the file that
// an earlier ingest began.
type input struct {
	*bufio.Reader // of the content; its buffer is what a line may have

	stored  io.Reader
	name    string
	size    int64     // as it is stored; 0: not known
	read    int64     // of size
	taken   int64     // of the content
	sum     hash.Hash // over what was taken
	closing io.Closer
}

// openInput opens the file at path, or takes stdin for it when path is -.
func openInput(path string, stdin io.Reader) (*input, error) {
	in := &input{name: path, stored: stdin, sum: sha256.New(), closing: io.NopCloser(nil)}
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("open file to ingest: %w", err)
		}
		in.stored, in.closing = f, f
		info, err := f.Stat()
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open file to ingest: %w", err), f.Close())
		}
		in.size = info.Size()
	}
	if err := in.begin(); err != nil {
		return nil, errors.Join(fmt.Errorf("read file to ingest: %w", err), in.Close())
	}
	return in, nil
}

// Close closes the file.
func (in *input) Close() error { return in.closing.Close() }

// What files begin with.
var (
	gzipMagic    = []byte{0x1f, 0x8b}
	utf8Mark     = []byte{0xef, 0xbb, 0xbf}
	utf16Marks   = [][]byte{{0xff, 0xfe}, {0xfe, 0xff}}
	errUTF16File = errors.New("it is UTF-16 and must be UTF-8: save it as UTF-8, or convert it by iconv -f UTF-16 -t UTF-8")
)

// begin finds out how the file is packed and encoded.
func (in *input) begin() error {
	var content io.Reader = bufio.NewReader(storedReader{in})
	if start, _ := content.(*bufio.Reader).Peek(len(gzipMagic)); bytes.Equal(start, gzipMagic) { // an error comes again
		unpacked, err := gzip.NewReader(content)
		if err != nil {
			return err
		}
		content = unpacked
	}
	in.Reader = bufio.NewReaderSize(content, maxLine+len("\n"))
	start, _ := in.Peek(len(utf8Mark))
	for _, mark := range utf16Marks {
		if bytes.HasPrefix(start, mark) {
			return errUTF16File
		}
	}
	if bytes.Equal(start, utf8Mark) {
		in.take(start)
		_, err := in.Discard(len(start))
		return err
	}
	return nil
}

// take notes that b, which follows on what was taken before, is done with.
func (in *input) take(b []byte) {
	in.taken += int64(len(b))
	in.sum.Write(b)
}

// taking returns the sum over what was taken.
func (in *input) taking() string { return hex.EncodeToString(in.sum.Sum(nil)) }

// A storedReader reads an input as it is stored, and counts.
type storedReader struct{ in *input }

// Read reads.
func (c storedReader) Read(b []byte) (int, error) {
	n, err := c.in.stored.Read(b)
	c.in.read += int64(n)
	return n, err
}

// share returns how much of the file was read, from 0 to 1, and -1 when that is not known.
func (in *input) share() float64 {
	if in.size == 0 {
		return -1
	}
	return min(1, float64(in.read)/float64(in.size))
}
