package webhooks_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/handlers/webhooks"
)

func TestGuardRefusesEveryAddressThatIsNotGlobal(t *testing.T) {
	t.Parallel()
	guard := webhooks.NewGuard(false)
	for _, address := range []string{
		"127.0.0.1:80", "127.8.8.8:8080", "0.0.0.0:80", "10.0.0.1:443", "172.16.0.1:443", "172.31.255.255:443",
		"192.168.1.1:443", "169.254.169.254:80", "100.64.0.1:443", "192.0.2.1:443", "198.18.0.1:443", "224.0.0.1:443",
		"240.0.0.1:443", "255.255.255.255:443",
	} {
		require.ErrorIs(t, guard.Control("tcp4", address, nil), webhooks.ErrForbidden, address)
	}
	for _, address := range []string{
		"[::1]:80", "[::]:80", "[fe80::1]:443", "[fe80::1%eth0]:443", "[fc00::1]:443", "[fd00:ec2::254]:80", "[ff02::1]:443",
		"[::ffff:127.0.0.1]:80", "[::ffff:10.0.0.1]:443", "[::ffff:169.254.169.254]:80", "[64:ff9b::7f00:1]:80",
		"[2001:db8::1]:443", "[2002:7f00:1::]:80",
	} {
		require.ErrorIs(t, guard.Control("tcp6", address, nil), webhooks.ErrForbidden, address)
	}
	require.ErrorIs(t, guard.Control("udp4", "93.184.215.14:443", nil), webhooks.ErrForbidden)
	require.ErrorIs(t, guard.Control("tcp4", "example.com:443", nil), webhooks.ErrForbidden)
}

func TestGuardLetsGlobalAddressesPassOnAnyPort(t *testing.T) {
	t.Parallel()
	guard := webhooks.NewGuard(false)
	for _, address := range []string{"93.184.215.14:443", "93.184.215.14:8443", "172.32.0.1:80", "8.8.8.8:1"} {
		require.NoError(t, guard.Control("tcp4", address, nil), address)
	}
	require.NoError(t, guard.Control("tcp6", "[2606:2800:21f:cb07:6820:80da:af6b:8b2c]:443", nil))
}

func TestGuardThatAllowsPrivateAddressesAllowsAny(t *testing.T) {
	t.Parallel()
	guard := webhooks.NewGuard(true)
	require.NoError(t, guard.Control("tcp4", "127.0.0.1:80", nil))
	require.NoError(t, guard.CheckURL("http://169.254.169.254/latest/meta-data"))
}

func TestURLThatNamesAForbiddenAddressIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	guard := webhooks.NewGuard(false)
	for _, url := range []string{
		"http://127.0.0.1/hook", "https://127.0.0.1:8443", "http://localhost:8080", "http://LOCALHOST", "http://localhost.",
		"http://crm.localhost/hook", "http://127.0.0.1.", "http://10.1.2.3", "http://169.254.169.254/latest/meta-data",
		"http://[::1]:8080/hook", "http://[::ffff:127.0.0.1]", "http://[fe80::1%25eth0]/", "http://[fd00:ec2::254]/",
	} {
		require.ErrorIs(t, guard.CheckURL(url), webhooks.ErrForbidden, url)
	}
	for _, url := range []string{
		"https://your-api.com/webhooks/openprospect", "https://93.184.215.14:8443/hook",
		"https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]/hook", "https://localhost.example.com", "https://127.0.0.1.example.com",
	} {
		require.NoError(t, guard.CheckURL(url), url)
	}
	require.Error(t, guard.CheckURL("http://[::1"))
}

func TestForbiddenAddressIsNotConnectedTo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.cfg.Sender = webhooks.NewSender(webhooks.NewGuard(false), "test")
	b.cfg.Retries = domain.RetrySchedule{}
	r := newReceiver(t, ok)
	dst := destination(r.URL)
	d := b.delivery(t, dst)
	b.work(t)
	handOver := b.qualify(t, d, "comp_1")[0]
	failed := b.events(t, domain.DispatchIDFor(handOver, dst.ID), 1)[0].(domain.AttemptFailed)
	require.Equal(t, webhooks.ErrForbidden.Error(), failed.Error)
	require.Zero(t, failed.Status)
	require.Empty(t, r.all())
}
