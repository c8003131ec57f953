package projections

// Len returns how many entries are kept.
func (t *Tail) Len() int { return len(t.entries) }

// Narrow has searches by status look at so many rows at once, at so many in all, and at so many streams.
func (p *Past) Narrow(stretch, rows, streams int) { p.bounds = searchBounds{stretch, rows, streams} }
