package projections

// Len returns how many entries are kept.
func (t *Tail) Len() int { return len(t.entries) }
