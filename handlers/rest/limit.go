package rest

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/openprospect/delivery-ledger/handlers/rest/apikey"
)

// admit counts a request of the key and says in header where the key stands. It refuses a
// request beyond the limit. All that it says is of one moment, so that the older headers and
// the structured ones (draft-ietf-httpapi-ratelimit-headers) never contradict each other.
func (s *Server) admit(ctx context.Context, header http.Header, key apikey.Key) error {
	a, err := s.cfg.Keys.Take(ctx, key)
	if err != nil || !a.Limited {
		return err
	}
	const policy = `"hour"`
	limit, remaining := strconv.FormatInt(a.Limit, 10), strconv.FormatInt(a.Remaining, 10)
	wait := int64((a.Reset + time.Second - 1) / time.Second) // after it the window is over
	reset, window := strconv.FormatInt(wait, 10), strconv.Itoa(int(apikey.Window/time.Second))
	header.Set("RateLimit-Limit", limit)
	header.Set("RateLimit-Remaining", remaining)
	header.Set("RateLimit-Reset", reset)
	header.Set("RateLimit-Policy", policy+";q="+limit+";w="+window)
	header.Set("RateLimit", policy+";r="+remaining+";t="+reset)
	if !a.Accepted {
		return &refusal{
			status: http.StatusTooManyRequests, code: "RATE_LIMIT_EXCEEDED", retryAfter: wait,
			message: "the API key has used its " + limit + " requests of this hour: see Retry-After",
		}
	}
	return nil
}
