//go:build linux || darwin

// Package localpg runs a private Postgres for one process of ours: `ledger dev` and
// the tests. Nothing has to be installed or set up beforehand, and nothing of it
// stays running afterwards. It works on Linux and macOS, as root and not; Windows is
// unsupported.
//
// # Why
//
// Why a Unix socket. The socket lies in a folder that only the server's user and root
// can enter, so there is no password to keep, no port to collide with another
// program's, and nothing listens on the network. The path, and with it the URL, stays
// the same from run to run.
//
// Why another user when we are root. initdb and postgres refuse to run as root, so
// they are started as the user postgres, or nobody. That user often cannot enter the
// data folder (a clone under /root, say). Folders of the user's are never chmod'ed;
// instead the cluster is put under /var/lib/delivery-ledger, and a file named
// postgres.location in the data folder says where.
//
// Why a watchdog. A server must not outlive us, even when we are killed with SIGKILL
// and run no code at all. Linux' parent death signal follows a thread rather than a
// process, and macOS has none. So a shell waits for the end of a pipe whose other end
// only we hold, and then stops the server. Shell and server each lead a session of
// their own: a Ctrl-C in the terminal reaches neither, and we stop the server in our
// own order.
//
// Why two locks. postgres.lock in the data folder is held by us: it refuses a second
// process at once. The file alive beside the cluster is held by the server and all
// its children, who inherit it: when it can be taken, no process of that cluster is
// left, so a postmaster.pid found there is stale, whatever process now has that
// number. Both free themselves when their holders die.
package localpg
