// Package apikey keeps organisations and the keys that act for them.
//
// A key is `lnc_live_` or `lnc_test_` and 32 random bytes; it is shown once, at its creation,
// and kept as its SHA-256. It belongs to one organisation and may do what its scopes say.
//
// # Why
//
// The hash is plain: a slow one protects what people choose, and nobody guesses 32 random
// bytes. A key that was found is believed for a second ([Keys.Find]), so that a busy caller
// costs one query a second and not one per request; a revocation takes as long to be seen.
package apikey
