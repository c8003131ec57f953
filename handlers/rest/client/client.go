package client

import (
	"context"
	"fmt"
	"net/http"
)

// New returns a client of the ledger at server, such as http://127.0.0.1:8080, which calls
// with an API key and names userAgent. It is safe for concurrent use. Calls last as long as
// their context; another bound is an [http.Client] with a Timeout, given by [WithHTTPClient].
func New(server, key, userAgent string, options ...ClientOption) (*ClientWithResponses, error) {
	c, err := NewClient(server, append([]ClientOption{WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+key)
		r.Header.Set("User-Agent", userAgent)
		return nil
	})}, options...)...)
	if err != nil {
		return nil, fmt.Errorf("make client: %w", err)
	}
	c.Client = refusing{c.Client}
	return &ClientWithResponses{c}, nil
}

// refusing makes errors of answers that are no success.
type refusing struct{ doer HttpRequestDoer }

// Do sends a request. When it fails there is nothing to close.
func (r refusing) Do(req *http.Request) (*http.Response, error) {
	resp, err := r.doer.Do(req)
	if err != nil || resp.StatusCode < http.StatusBadRequest {
		return resp, err
	}
	return nil, newError(resp)
}
