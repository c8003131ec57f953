//go:build linux || darwin

package localpg

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is the user that Postgres runs as. The zero value is the user we are.
type account struct {
	name     string
	uid, gid uint32
	other    bool // not the user we are: we are root and step down
}

// unprivileged returns the user we are, or, for root, the user postgres or nobody.
func unprivileged() (account, error) {
	if os.Geteuid() != 0 {
		return account{}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 != nil || err2 != nil || uid == 0 {
			continue
		}
		return account{name: name, uid: uint32(uid), gid: uint32(gid), other: true}, nil
	}
	return account{}, errors.New("choose user for postgres: it refuses to run as root, and there is neither a user postgres nor nobody")
}

// ownerOf returns the account that has to run the cluster in an existing folder.
func ownerOf(folder string) (account, error) {
	info, err := os.Stat(folder)
	if err != nil {
		return account{}, fmt.Errorf("look at cluster: %w", err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	name := strconv.Itoa(int(stat.Uid))
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
	}
	switch {
	case int(stat.Uid) == os.Geteuid():
		return account{}, nil
	case os.Geteuid() == 0:
		return account{name: name, uid: stat.Uid, gid: stat.Gid, other: true}, nil
	default:
		return account{}, fmt.Errorf("cluster %s belongs to user %s: run as that user or as root, or use another folder", folder, name)
	}
}

// command prepares a program to run as the account: in a session of its own, out of
// reach of the terminal's signals, and with no more of our environment than it needs.
func (a account) command(ctx context.Context, folder, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = folder
	cmd.Env = []string{"LC_ALL=C", "PATH=" + os.Getenv("PATH"), "HOME=" + folder}
	if libs := os.Getenv("LD_LIBRARY_PATH"); libs != "" {
		cmd.Env = append(cmd.Env, "LD_LIBRARY_PATH="+libs)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // with its children
	if a.other {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
	return cmd
}

// canEnter reports whether the account may enter the folder. It asks by doing, which
// counts every folder above, access lists and all.
func (a account) canEnter(ctx context.Context, folder string) bool {
	return a.command(ctx, "/", "/bin/sh", "-c", `cd "$1"`, "sh", folder).Run() == nil
}

// give makes the account the owner of files of ours.
func (a account) give(paths ...string) error {
	if !a.other {
		return nil
	}
	for _, path := range paths {
		if err := os.Lchown(path, int(a.uid), int(a.gid)); err != nil {
			return fmt.Errorf("give to user %s: %w", a.name, err)
		}
	}
	return nil
}

// publish lets everybody read a tree that we have just written, whatever our umask.
func publish(tree string) error {
	return filepath.WalkDir(tree, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Type()&fs.ModeSymlink != 0 {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		mode := info.Mode().Perm() | 0o444
		if entry.IsDir() || filepath.Base(filepath.Dir(path)) == "bin" {
			mode |= 0o111
		}
		return os.Chmod(path, mode)
	})
}
