package webhooks

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"
)

// secretPrefix marks a symmetric signing secret (Standard Webhooks 1.0).
const secretPrefix = "whsec_"

// A signingKey signs until it ends.
type signingKey struct {
	bytes []byte
	ends  time.Time // zero: it does not
}

// newSigningKey returns the key that secret stands for.
func newSigningKey(secret string, ends time.Time) (signingKey, error) {
	encoded, ok := strings.CutPrefix(secret, secretPrefix)
	key, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil {
		return signingKey{}, errors.New("a signing secret is " + secretPrefix + " and base64")
	}
	return signingKey{bytes: key, ends: ends}, nil
}

// signatures returns the webhook-signature of a message (Standard Webhooks 1.0): that of each
// key which signs at that time, with spaces between.
func signatures(keys []signingKey, id string, at time.Time, body []byte) string {
	var all []string
	for _, key := range keys {
		if key.ends.IsZero() || at.Before(key.ends) {
			all = append(all, signature(key.bytes, id, at, body))
		}
	}
	return strings.Join(all, " ")
}

// signature returns one signature of a message (scheme v1): HMAC-SHA256 over id, time in Unix
// seconds, and body, with dots between.
func signature(key []byte, id string, at time.Time, body []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
