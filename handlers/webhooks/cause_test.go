package webhooks

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
)

// What is counted of failures follows from their texts in the log: a text that is worded anew must still tell.
func TestWhatIsSaidOfAFailureTellsItsOutcome(t *testing.T) {
	t.Parallel()
	post := func(err error) error { return &url.Error{Op: "Post", URL: "https://a.example", Err: err} }
	dial := func(err error) error { return post(&net.OpError{Op: "dial", Net: "tcp", Err: err}) }
	syscallError := func(err error) error { return os.NewSyscallError("connect", err) }
	certificate := func(err error) error { return post(&tls.CertificateVerificationError{Err: err}) }
	for _, err := range []error{
		dial(ErrForbidden), dial(fmt.Errorf("%w: %w", ErrPort, errors.New("10.0.0.1:22"))), post(context.DeadlineExceeded),
		dial(&net.DNSError{Name: "a.example", IsNotFound: true}), dial(&net.DNSError{Name: "a.example", Err: "server misbehaving"}),
		certificate(x509.CertificateInvalidError{Reason: x509.Expired, Cert: &x509.Certificate{NotAfter: time.Unix(0, 0)}}),
		certificate(x509.HostnameError{Host: "a.example", Certificate: &x509.Certificate{DNSNames: []string{"b.example"}}}),
		certificate(x509.UnknownAuthorityError{Cert: &x509.Certificate{}}), certificate(errors.New("x509: something else")),
		post(tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}),
		post(&net.OpError{Op: "remote error", Err: errors.New("tls: handshake failure")}),
		post(errors.New("tls: server selected unsupported protocol version 301")), post(errors.New("tls: something else")),
		dial(syscallError(syscall.ECONNREFUSED)), post(io.EOF), post(io.ErrUnexpectedEOF), post(syscallError(syscall.ECONNRESET)),
		dial(syscallError(syscall.ENETUNREACH)), post(errors.New("net/http: server response headers exceeded 65536 bytes; aborted")), post(errors.New("malformed HTTP response")),
	} {
		said := explain(err, time.Second)
		require.Equal(t, string(outcomeOf(err)), string(domain.CauseOf(0, said)), said)
		require.Equal(t, string(outcomeOf(err)), string(domain.CauseOf(http.StatusOK, "reading the answer: "+said)), said)
		require.Equal(t, string(outcomeToken), string(domain.CauseOf(0, explainToken(err, time.Second))), said)
	}
	for status := 100; status < 600; status++ {
		if fault := statusFault(status); fault != "" {
			require.Equal(t, domain.CauseOf(status, fault), domain.CauseOf(0, fault), "of a dispatch there is only the text")
			require.NotEqual(t, domain.CauseOther, domain.CauseOf(0, fault), fault)
		}
	}
}
