package webhooks

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"
)

// Prefixes of what signs (Standard Webhooks 1.0).
const (
	secretPrefix  = "whsec_" // a symmetric secret, of scheme v1
	privatePrefix = "whsk_"  // an ed25519 private key, of scheme v1a
)

// A signingKey signs until it ends.
type signingKey struct {
	secret  []byte             // of scheme v1
	private ed25519.PrivateKey // of scheme v1a; else nil
	ends    time.Time          // zero: it does not
}

// newSigningKey returns the key that text stands for.
func newSigningKey(text string, ends time.Time) (signingKey, error) {
	if encoded, ok := strings.CutPrefix(text, privatePrefix); ok {
		key, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil || len(key) != ed25519.PrivateKeySize {
			return signingKey{}, errors.New("a private signing key is " + privatePrefix + " and the base64 of 64 bytes")
		}
		return signingKey{private: key, ends: ends}, nil
	}
	encoded, ok := strings.CutPrefix(text, secretPrefix)
	key, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil {
		return signingKey{}, errors.New("a signing secret is " + secretPrefix + " and base64")
	}
	return signingKey{secret: key, ends: ends}, nil
}

// signatures returns the webhook-signature of a message (Standard Webhooks 1.0): that of each
// key which signs at that time, with spaces between.
func signatures(keys []signingKey, id string, at time.Time, body []byte) string {
	var all []string
	for _, key := range keys {
		if key.ends.IsZero() || at.Before(key.ends) {
			all = append(all, key.sign(id, at, body))
		}
	}
	return strings.Join(all, " ")
}

// sign returns one signature of a message, over id, time in Unix seconds, and body, with dots
// between: by ed25519 (scheme v1a) or HMAC-SHA256 (scheme v1).
func (k signingKey) sign(id string, at time.Time, body []byte) string {
	head := id + "." + strconv.FormatInt(at.Unix(), 10) + "."
	if k.private != nil {
		return "v1a," + base64.StdEncoding.EncodeToString(ed25519.Sign(k.private, append([]byte(head), body...)))
	}
	mac := hmac.New(sha256.New, k.secret)
	mac.Write([]byte(head))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
