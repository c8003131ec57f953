package webhooks_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/handlers/webhooks"
)

func TestGuardRefusesEveryAddressThatIsNotGlobal(t *testing.T) {
	t.Parallel()
	guard := webhooks.NewGuard(false)
	for _, address := range []string{
		"127.0.0.1:80", "127.8.8.8:8080", "0.0.0.0:80", "0.1.2.3:80", "10.0.0.1:443", "172.16.0.1:443", "172.31.255.255:443",
		"192.168.1.1:443", "169.254.1.1:80", "169.254.169.254:80", "100.64.0.1:443", "100.127.255.255:443", "192.0.0.1:443",
		"192.0.2.1:443", "198.51.100.1:443", "203.0.113.1:443", "198.18.0.1:443", "198.19.255.255:443", "192.88.99.1:443",
		"224.0.0.1:443", "239.255.255.255:443", "240.0.0.1:443", "255.255.255.255:443",
	} {
		require.ErrorIs(t, guard.Control("tcp4", address, nil), webhooks.ErrForbidden, address)
	}
	for _, address := range []string{
		"[::1]:80", "[::]:80", "[fe80::1]:443", "[fe80::1%eth0]:443", "[fec0::1]:443", "[fc00::1]:443", "[fd00:ec2::254]:80",
		"[ff02::1]:443", "[::ffff:127.0.0.1]:80", "[::ffff:10.0.0.1]:443", "[::ffff:169.254.169.254]:80", "[::ffff:8.8.8.8]:80",
		"[::127.0.0.1]:80", "[64:ff9b::7f00:1]:80", "[64:ff9b:1::7f00:1]:80", "[100::1]:443", "[2001::1]:443",
		"[2001:0:4136:e378:8000:63bf:3fff:fdd2]:80", "[2001:2::1]:443", "[2001:db8::1]:443", "[2002:7f00:1::]:80", "[3fff::1]:443",
	} {
		require.ErrorIs(t, guard.Control("tcp6", address, nil), webhooks.ErrForbidden, address)
	}
	require.ErrorIs(t, guard.Control("udp4", "93.184.215.14:443", nil), webhooks.ErrForbidden)
	require.ErrorIs(t, guard.Control("tcp4", "example.com:443", nil), webhooks.ErrForbidden)
}

func TestGuardLetsGlobalAddressesPassOnPortsOfNoOtherProtocol(t *testing.T) {
	t.Parallel()
	guard := webhooks.NewGuard(false)
	for _, address := range []string{"93.184.215.14:443", "93.184.215.14:8443", "172.32.0.1:80", "8.8.8.8:3000", "100.128.0.1:65535"} {
		require.NoError(t, guard.Control("tcp4", address, nil), address)
	}
	require.NoError(t, guard.Control("tcp6", "[2606:2800:21f:cb07:6820:80da:af6b:8b2c]:443", nil))
	for _, guard := range []*webhooks.Guard{guard, webhooks.NewGuard(true), webhooks.NewGuard(false, netip.MustParsePrefix("0.0.0.0/0"))} {
		for _, port := range []string{"22", "25", "53", "6667", "0"} {
			require.ErrorIs(t, guard.Control("tcp4", "8.8.8.8:"+port, nil), webhooks.ErrPort, port)
		}
		require.ErrorIs(t, guard.CheckURL("http://mail.example.com:25/"), webhooks.ErrPort)
		require.ErrorIs(t, guard.CheckURL("https://8.8.8.8:22/"), webhooks.ErrPort)
	}
}

func TestGuardThatAllowsPrivateAddressesAllowsAny(t *testing.T) {
	t.Parallel()
	guard := webhooks.NewGuard(true)
	require.NoError(t, guard.Control("tcp4", "127.0.0.1:80", nil))
	require.NoError(t, guard.CheckURL("http://169.254.169.254/latest/meta-data"))
}

func TestGuardThatAllowsARangeAllowsNothingBesideIt(t *testing.T) {
	t.Parallel()
	guard := webhooks.NewGuard(false, netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd12::/48"), netip.MustParsePrefix("fe80::/64"))
	for _, url := range []string{
		"http://10.1.2.3/hook", "http://10.1.255.255:8080", "http://[fd12::1]", "http://[fe80::1%25eth0]", "https://8.8.8.8", "http://[::ffff:10.1.2.3]",
	} {
		require.NoError(t, guard.CheckURL(url), url)
	}
	for _, url := range []string{
		"http://10.2.0.1/hook", "http://127.0.0.1", "http://169.254.169.254", "http://[fd12:0:1::1]", "http://[fe80:0:0:1::1%25eth0]", "http://[::ffff:10.2.0.1]",
	} {
		require.ErrorIs(t, guard.CheckURL(url), webhooks.ErrForbidden, url)
	}
}

func TestURLThatNamesAForbiddenAddressIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	guard := webhooks.NewGuard(false)
	for _, url := range []string{
		"http://127.0.0.1/hook", "https://127.0.0.1:8443", "http://localhost:8080", "http://LOCALHOST", "http://localhost.",
		"http://crm.localhost/hook", "http://127.0.0.1.", "http://10.1.2.3", "http://169.254.169.254/latest/meta-data",
		"http://[::1]:8080/hook", "http://[::ffff:127.0.0.1]", "http://[fe80::1%25eth0]/", "http://[fd00:ec2::254]/",
		"http://１２７.0.0.1/", "http://127。0。0。1/", "http://[64:ff9b::a9fe:a9fe]/", "http://[2002:a9fe:a9fe::]/",
	} {
		require.ErrorIs(t, guard.CheckURL(url), webhooks.ErrForbidden, url)
	}
	for _, url := range []string{
		"https://your-api.com/webhooks/openprospect", "https://93.184.215.14:8443/hook", "https://münchen.example/hook",
		"https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]/hook", "https://localhost.example.com", "https://127.0.0.1.example.com",
		"https://crm_1.example.com",
	} {
		require.NoError(t, guard.CheckURL(url), url)
	}
	require.Error(t, guard.CheckURL("http://[::1"))
	require.Error(t, guard.CheckURL("http://crm.example.com:70000"))
}

func TestNumbersThatSomeReadAsAddressesAreNoHosts(t *testing.T) {
	t.Parallel()
	for _, guard := range []*webhooks.Guard{webhooks.NewGuard(false), webhooks.NewGuard(true)} {
		for _, host := range []string{
			"2130706433", "017700000001", "0x7f000001", "0X7F000001", "0177.0.0.1", "127.1", "0x7f.1", "127.0.0.01", "0x", "1.2.3.4.5",
			"134744072", "crm.0x7f", "２１３０７０６４３３", "127.1.",
		} {
			require.ErrorContains(t, guard.CheckURL("http://"+host+"/"), "some read as an address", host)
		}
	}
}

func TestForbiddenAddressIsNotConnectedTo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.cfg.Sender = webhooks.NewSender(webhooks.Route{Guard: webhooks.NewGuard(false)}, "test")
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

func TestAddressThatIsJudgedIsTheOneThatIsConnectedTo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	guard := webhooks.NewGuard(false, netip.MustParsePrefix("127.0.0.1/32"))
	names := newNameServer(t, "127.0.0.1", "127.0.0.2", "127.0.0.1")
	sender := webhooks.NewSender(webhooks.Route{Guard: guard, Resolver: names.resolver()}, "test")
	r := newReceiver(t, ok)
	r.Config.SetKeepAlivesEnabled(false) // each attempt connects
	dst := destination("http://rebinding.test:" + portOf(t, r.URL))
	d := b.delivery(t, dst)

	require.Empty(t, b.test(t, d, dst.ID, sender).Error)
	require.Equal(t, webhooks.ErrForbidden.Error(), b.test(t, d, dst.ID, sender).Error, "the name has another address by now")
	require.Empty(t, b.test(t, d, dst.ID, sender).Error)
	require.Len(t, r.all(), 2)
	require.Equal(t, 3, names.lookups(), "one for each attempt: none to judge and another to connect")
}
