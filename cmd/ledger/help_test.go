package main

import (
	"io"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"
)

// nodes returns a command and all below it.
func nodes(n *kong.Node) []*kong.Node {
	list := []*kong.Node{n}
	for _, child := range n.Children {
		list = append(list, nodes(child)...)
	}
	return list
}

func TestHelpOfEveryVerbTellsEveryFlagAndItsVariable(t *testing.T) {
	t.Parallel()
	parser, err := newParser(t.Context(), world{out: io.Discard, err: io.Discard}, func(int) {})
	require.NoError(t, err)
	verbs := nodes(parser.Model.Node)
	require.Len(t, verbs, 33, "the program, its eighteen verbs, the four of keys, the three of organisations, the two of events and the five of replay")
	for _, n := range verbs {
		out, errs, err := verb(t, "", append(strings.Fields(n.FullPath())[1:], "--help")...)
		require.NoError(t, err, n.FullPath())
		require.Empty(t, errs)
		text := strings.Join(strings.Fields(out), " ") // as if it were not wrapped
		require.Contains(t, text, "Usage: "+n.FullPath())
		require.Contains(t, text, n.Help)
		for _, flag := range n.Flags {
			require.Contains(t, text, "--"+flag.Name, n.FullPath())
			if flag.Name == "help" {
				continue
			}
			require.Len(t, flag.Envs, 1, flag.Name)
			require.Equal(t, "LEDGER_"+strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_")), flag.Envs[0])
			require.Contains(t, text, "($"+flag.Envs[0]+")", n.FullPath())
			require.NotEmpty(t, flag.Help, "%s --%s", n.FullPath(), flag.Name)
		}
		for _, child := range n.Children {
			require.Contains(t, text, child.Help, n.FullPath())
		}
	}
}

func TestHelpAndVersionSucceed(t *testing.T) {
	t.Parallel()
	out, errs, err := ledger(t, "--help")
	require.Equal(t, 0, exitCode(t, err), errs)
	require.Contains(t, out, "Usage: ledger <command>")
	out, errs, err = ledger(t, "version")
	require.Equal(t, 0, exitCode(t, err), errs)
	require.Regexp(t, `^ledger \S+ go1\.\d+\S* \w+/\w+\n$`, out)
}

func TestWrongCommandLineSaysWhatIsWrongAndWhereToRead(t *testing.T) {
	t.Parallel()
	for want, args := range map[string]string{
		`expected one of "serve", "dev"`:                                        "",
		"unexpected argument frob (see ledger --help)":                          "frob",
		"unknown flag --frob (see ledger serve --help)":                         "serve --frob",
		"missing flags: --database-url=URL (see ledger migrate --help)":         "migrate",
		"missing flags: --api-key=lnc_live_…, --delivery=ID":                    "ingest file",
		`expected one of "create", "list", "expire", "revoke" (see ledger keys`: "keys",
		`--roles must be one of "api","follow","attempt" but got "push"`:        "serve --database-url x --encryption-key x --roles push",
		"--retry-schedule must be waits such as 1s,2s,4s: 0s is none":           "serve --database-url x --encryption-key x --retry-schedule 1s,0s",
		"--attempts and --attempts-per-destination must be at least 1":          "dev --attempts 0",
		"--roles must name at least one of api, follow and attempt":             "serve --database-url x --encryption-key x --roles=",
		"read --encryption-key: an encryption key is 32 random bytes in base64": "serve --database-url x --encryption-key secret",
		"missing flags: --encryption-key=KEY or --encryption-key-file=FILE":     "serve --database-url x",
		"--encryption-key and --encryption-key-file exclude each other":         "rekey --database-url x --encryption-key x --encryption-key-file x",
		"read --encryption-key-file: open nowhere: no such file or directory":   "rekey --database-url x --encryption-key-file nowhere",
		"name the read models to build again, or all of them by --all":          "rebuild --database-url x",
		"there is no read model nonsense; there are deliveries, companies,":     "rebuild nonsense --database-url x",
		"--until and --into go together":                                        "rebuild stats --until 1 --database-url x",
		"--into go together (see ledger rebuild --help)":                        "rebuild stats --into reports --database-url x",
		"a moment is a position of the log such as 1200, or a time such as":     "rebuild stats --until noon --into reports --database-url x",
		"the tree is of the log as it is: it goes without --until":              "rebuild tree --until 1 --into reports --database-url x",
		"names of read models go with --projections":                            "verify companies --database-url x",
		"--max-connections must be at least 1":                                  "verify --database-url x --max-connections 0",
		"--checkpoint needs --key (see ledger verify --help)":                   "verify --database-url x --checkpoint y",
		"--checkpoint-interval must not be negative":                            "dev --checkpoint-interval=-1s",
		"read --key: read public key \"x\"":                                     "verify-proof --key x y",
		"use the database of --database-url: ":                                  "verify --database-url nonsense",
		"migrate the database of --database-url: ":                              "migrate --database-url nonsense",
	} {
		_, _, err := verb(t, "", strings.Fields(args)...)
		require.ErrorContains(t, err, want, args)
	}
	_, errs, err := ledger(t, "serve", "--frob")
	require.Equal(t, 1, exitCode(t, err))
	require.Equal(t, "ledger: unknown flag --frob (see ledger serve --help)\n", errs)
}
