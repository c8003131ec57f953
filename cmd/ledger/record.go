package main

// maxLine is how long a line or a row may be, in bytes.
const maxLine = 1 << 20

// A record is a company of an input, with its prospects.
type record struct {
	line, last int    // of the input, from 1: where it begins and ends
	raw        []byte // as it stands there; nil: too long to be kept
	body       []byte // as it is sent
	faults     []flaw // why it is not sent; empty: it is
	prospects  []int  // lines of its prospects, in a file of rows
	csv        string // its rows, where they are kept in a line of a file that --faults wrote
}

// A recordReader reads the records of an input, and takes from this what it has read of them.
type recordReader interface {
	// next returns the next record, which holds until the call after it, or io.EOF. After any
	// other error nothing can be read any more.
	next() (record, error)

	// locate returns a flaw that the ledger found in a record of it, with where in the input that is.
	locate(r record, f flaw) flaw

	// reject returns a record of it as one that was rejected.
	reject(r record) reject
}
