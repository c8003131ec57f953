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

// signingKey returns the bytes with which secret signs.
func signingKey(secret string) ([]byte, error) {
	encoded, ok := strings.CutPrefix(secret, secretPrefix)
	key, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil {
		return nil, errors.New("a signing secret is " + secretPrefix + " and base64")
	}
	return key, nil
}

// signature returns the webhook-signature of a message (Standard Webhooks 1.0, scheme v1):
// HMAC-SHA256 over id, time in Unix seconds, and body, with dots between.
func signature(key []byte, id string, at time.Time, body []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
