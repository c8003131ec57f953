// Package rest serves the ledger over HTTP.
//
// What it promises stands in openapi.yaml, which came first: routing and types are generated
// from it, requests are validated against it, the scopes of each operation are read from it,
// and the tests hold every answer to it.
//
// A handler takes the request of an operation, executes a command or reads a view, and
// returns an answer or an error; it knows neither echo nor status codes of errors, which
// errors.go maps. What every request has in common is in the middleware, from the outside in:
// observe, recover, compress, revalidate, authenticate, decode, repeat, validate.
//
// # Why
//
// Qualifications are the hot path and pass by the generic validation: items are judged
// singly, a bad one harms no other, and what the engine sent is kept byte by byte instead of
// being decoded and encoded again. For the same reason a page of companies is spliced from
// what the log has kept.
package rest

//go:generate go tool -modfile=../../.ci/tools/go.mod oapi-codegen -config oapi-codegen.yaml openapi.yaml
