package webhooks

import (
	"maps"

	"github.com/openprospect/delivery-ledger/domain"
)

// A load is what a process has under way.
type load struct {
	free          int                           // workers
	suspects      int                           // workers taken by claims of suspect destinations
	destinations  map[domain.DestinationID]int  // requests that each of them has to answer
	organisations map[domain.OrganisationID]int // workers that each of them has taken
}

// newLoad returns the load of workers that are all free.
func newLoad(workers int) load {
	return load{workers, 0, map[domain.DestinationID]int{}, map[domain.OrganisationID]int{}}
}

// begin enters that c takes a worker and a place at its destination.
func (l *load) begin(c claim) {
	l.free--
	if c.Suspect {
		l.suspects++
	}
	l.destinations[c.Destination]++
	l.organisations[c.Organisation]++
}

// answered enters that c takes no place at its destination any more.
func (l *load) answered(c claim) { drop(l.destinations, c.Destination) }

// end enters that c takes no worker any more.
func (l *load) end(c claim) {
	l.free++
	if c.Suspect {
		l.suspects--
	}
	drop(l.organisations, c.Organisation)
}

// drop counts one less.
func drop[K comparable](of map[K]int, key K) {
	if of[key]--; of[key] == 0 {
		delete(of, key)
	}
}

// among returns the load as it is now, of those destinations alone.
func (l *load) among(destinations []string) load {
	there := make(map[domain.DestinationID]int, len(destinations))
	for _, text := range destinations {
		id := domain.DestinationID(text)
		if n := l.destinations[id]; n > 0 {
			there[id] = n
		}
	}
	return load{l.free, l.suspects, there, maps.Clone(l.organisations)}
}
