package proof

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// A Checkpoint says what the first records of a log are.
type Checkpoint struct {
	Origin string // the ledger's name
	Size   int64  // how many records
	Root   tlog.Hash
	Next   string   // public key that the one before it hands over to; empty: it is no hand-over
	Note   string   // the signed note, byte for byte
	Keys   []string // IDs of the keys whose signatures were verified
}

// ParseKeys returns what verifies the signatures of keys, as ledger checkpoint --show-key prints them: each text
// has one or more, a line each, and what stands behind a key on its line is for people.
func ParseKeys(texts ...string) (note.Verifiers, error) {
	known := map[string]note.Verifier{} // a list that names one twice could not tell which signed
	for _, text := range texts {
		for line := range strings.Lines(text + "\n") {
			words := strings.Fields(line)
			if len(words) == 0 {
				continue
			}
			v, err := note.NewVerifier(words[0])
			if err != nil {
				return nil, fmt.Errorf("read public key %q: %w", words[0], err)
			}
			known[words[0]] = v
		}
	}
	if len(known) == 0 {
		return nil, errors.New("read public key: there is none")
	}
	return note.VerifierList(slices.Collect(maps.Values(known))...), nil
}

// OpenCheckpoint returns the checkpoint that text, a signed note, is. It fails unless the ledger that the
// note speaks of has signed it with one of keys, and when a signature of one of them is wrong.
func OpenCheckpoint(text string, keys note.Verifiers) (Checkpoint, error) {
	opened, err := note.Open([]byte(text), keys)
	if _, ok := errors.AsType[*note.UnverifiedNoteError](err); ok {
		return Checkpoint{}, fmt.Errorf("open checkpoint: it is signed by none of the keys: %w", err)
	}
	if err != nil {
		return Checkpoint{}, fmt.Errorf("open checkpoint: %w", err)
	}
	c, err := parseBody(opened.Text)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("open checkpoint: %w", err)
	}
	c.Note = text
	for _, sig := range opened.Sigs {
		if sig.Name == c.Origin {
			c.Keys = append(c.Keys, fmt.Sprintf("%08x", sig.Hash))
		}
	}
	if len(c.Keys) == 0 {
		return Checkpoint{}, fmt.Errorf("open checkpoint: it is of %s, whose signature it does not have", c.Origin)
	}
	return c, nil
}

// readCheckpoint returns the checkpoint of a note, whoever signed it.
func readCheckpoint(text string) (Checkpoint, error) {
	_, err := note.Open([]byte(text), nil)
	unverified, ok := errors.AsType[*note.UnverifiedNoteError](err)
	if !ok {
		return Checkpoint{}, fmt.Errorf("read checkpoint: %w", err)
	}
	c, err := parseBody(unverified.Note.Text)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("read checkpoint: %w", err)
	}
	c.Note = text
	return c, nil
}

// nextKey begins the line by which a key hands over to the next one.
const nextKey = "next-key "

// body returns the text that is signed.
func (c Checkpoint) body() string {
	body := fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, c.Root)
	if c.Next != "" {
		body += nextKey + c.Next + "\n"
	}
	return body
}

// parseBody returns the checkpoint of such a text. Lines beyond the third that say something else are for others.
func parseBody(text string) (c Checkpoint, err error) {
	const least = 3
	lines := slices.Collect(strings.Lines(text))
	if len(lines) < least {
		return c, fmt.Errorf("its text has %d lines: a checkpoint has %d", len(lines), least)
	}
	c.Origin = strings.TrimSuffix(lines[0], "\n")
	size := strings.TrimSuffix(lines[1], "\n")
	if c.Size, err = strconv.ParseInt(size, 10, 64); err != nil || c.Size < 0 || strconv.FormatInt(c.Size, 10) != size {
		return c, fmt.Errorf("its second line %q is no number of records", size)
	}
	if c.Root, err = tlog.ParseHash(strings.TrimSuffix(lines[2], "\n")); err != nil {
		return c, fmt.Errorf("read its third line: %w", err)
	}
	for _, line := range lines[least:] {
		if key, ok := strings.CutPrefix(line, nextKey); ok {
			c.Next = strings.TrimSuffix(key, "\n")
		}
	}
	return c, nil
}

// A MismatchError says that the log is not the one that a checkpoint was signed for.
type MismatchError struct {
	Size int64 // of the checkpoint
}

// Error says which records are not the ones that were signed.
func (e *MismatchError) Error() string {
	return fmt.Sprintf("the first %d events are not those that were signed for: history was rewritten", e.Size)
}
