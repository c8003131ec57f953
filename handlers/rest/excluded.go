package rest

import (
	"context"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
)

// exclude notes which of the items are of companies that the organisation excludes. An exclusion that
// was answered before the items came is seen: it is the log that is asked, not a read model. Where one
// comes at the same time, either may be first. An organisation that never excluded anything costs
// nothing: what is recorded is then guarded by that.
func (h *handOver) exclude(ctx context.Context, items []*item) error {
	h.unexcluded = nil
	if _, begun := h.excluding.Load(h.organisation); !begun {
		h.unexcluded = &eventstore.Guard{Stream: domain.ExclusionsStream(h.organisation)}
		return nil
	}
	return h.lookUp(ctx, items)
}

// lookUp notes which of the items are excluded, by the log alone.
func (h *handOver) lookUp(ctx context.Context, items []*item) error {
	var streams []string
	ends := make([]int, len(items)) // of each item's streams
	for i, it := range items {
		if it.excluded = nil; it.fault == nil {
			streams = append(streams, domain.ExclusionStreams(h.organisation, it.company, it.raw())...)
		}
		ends[i] = len(streams)
	}
	if len(streams) == 0 {
		return nil
	}
	found, err := h.exclusions.Load(ctx, streams)
	if err != nil || len(found) == 0 {
		return err
	}
	begin := 0
	for i, it := range items {
		for _, stream := range streams[begin:ends[i]] {
			if x := found[stream].State; x.Stands {
				it.excluded = &x.Excluded
				break
			}
		}
		begin = ends[i]
	}
	return nil
}

// noticeExclusions is told of a stream that was not as guarded: the organisation may have begun to exclude.
func (h *handOver) noticeExclusions(stream string) {
	if h.unexcluded != nil && h.unexcluded.Stream == stream {
		h.excluding.Store(h.organisation, true)
	}
}

// raw returns the company as it was sent.
func (it *item) raw() []byte {
	if it.candidate.Company != nil {
		return it.candidate.Company
	}
	return it.qualification.Company
}

// showExcluded returns as the API shows it what excludes a company.
func showExcluded(x domain.Excluded) *ExcludedBy {
	return &ExcludedBy{ID: string(x.Exclusion), Kind: ExclusionKind(x.Kind), Value: x.Value, Reason: optional(x.Reason)}
}
