package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	api "github.com/openprospect/delivery-ledger/handlers/rest/client"
)

// An ingestion is a file that is being ingested.
type ingestion struct {
	*ingestVerb
	in      *input
	records recordReader
	mark    bookmark
	at      string // path of the bookmark; "": none is kept
	rejects *rejectFile
	tally   *tally
}

// begin opens the files, and reads to where an earlier ingest has ended.
func (v *ingestVerb) begin(w world) (*ingestion, error) {
	n := &ingestion{ingestVerb: v, at: bookmarkOf(v.File), mark: bookmark{Of: v.told()}}
	earlier, err := readBookmark(n.at)
	if err != nil {
		return nil, err
	}
	goesOn := earlier.Line > 0 && slices.Equal(earlier.Of, n.mark.Of)
	if n.in, n.records, err = v.open(w); err != nil {
		return nil, err
	}
	if goesOn {
		err = n.goOn(earlier, w)
	}
	if err == nil && v.Faults != "" && n.rejects == nil {
		n.rejects, err = openRejects(v.Faults, 0)
	}
	if err != nil {
		return nil, errors.Join(err, n.close())
	}
	n.tally = newTally(w.err, v.Quiet, time.Now(), n.mark.Line)
	switch {
	case n.mark.Line > 0:
		n.tally.say("going on after line %d, where the last ingest ended", n.mark.Line)
	case goesOn:
		n.tally.say("%s has changed since its lines up to %d were sent: sending all of it", v.File, earlier.Line)
	}
	if r, ok := n.records.(*csvReader); ok && len(r.unused) > 0 {
		n.tally.say("not sent, since no field comes from them: %s", strings.Join(r.unused, ", "))
	}
	return n, nil
}

// goOn reads to an earlier bookmark, and to the end of the faults of before. When these are not there
// any more it opens the input anew.
func (n *ingestion) goOn(earlier bookmark, w world) error {
	same := earlier.reach(n.in, n.records)
	if same && n.Faults != "" {
		var err error
		n.rejects, err = openRejects(n.Faults, earlier.Rejects)
		if same = !errors.Is(err, errShortRejects); same && err != nil {
			return err
		}
	}
	if same {
		n.mark = earlier
		return nil
	}
	err := n.in.Close()
	if err != nil {
		return err
	}
	in, records, err := n.open(w)
	if err == nil {
		n.in, n.records = in, records
	}
	return err
}

// send sends what is not sent yet. When it is through it removes the bookmark.
func (n *ingestion) send(ctx context.Context, ledger *api.ClientWithResponses) error {
	sender := ingester{ledger: ledger, delivery: n.Delivery, candidates: n.Candidates, waiting: func(err error) {
		n.tally.say("the ledger does not take anything, waiting for it: %v", err)
	}}
	err := sender.send(ctx, n.records, max(1, n.Chunk), n.advance)
	n.tally.clear()
	if err != nil && n.at != "" && n.mark.Line > 0 {
		n.tally.say("run the same command again: it goes on after line %d", n.mark.Line)
	}
	if err != nil || n.at == "" {
		return err
	}
	if err := os.Remove(n.at); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove bookmark: %w", err)
	}
	return nil
}

// advance notes what became of the records up to a line: first the faults, then how far the file is.
func (n *ingestion) advance(line int, got sums, rejects []reject) error {
	if n.rejects != nil {
		if err := n.rejects.write(rejects); err != nil {
			return err
		}
		n.mark.Rejects = n.rejects.size
	} else {
		for _, one := range rejects {
			n.tally.say("%v", one)
		}
	}
	n.mark.Sums.plus(got)
	n.mark.Line, n.mark.Bytes, n.mark.SHA256 = line, n.in.taken, n.in.taking()
	if n.at != "" {
		if err := n.mark.write(n.at); err != nil { // going on would send all again, which is harmless
			n.tally.say("an interruption of this ingest will have all sent again: %v", err)
			n.at = ""
		}
	}
	n.tally.set(time.Now(), line, n.mark.Sums, n.in.share())
	return nil
}

// close closes the files.
func (n *ingestion) close() error {
	err := n.in.Close()
	if n.rejects != nil {
		err = errors.Join(err, n.rejects.Close())
	}
	return err
}
