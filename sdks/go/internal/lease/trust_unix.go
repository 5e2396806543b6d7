//go:build unix

package lease

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// Links lead out of the folder, and opening a pipe would wait for its other end.
const openFlags = syscall.O_NOFOLLOW | syscall.O_NONBLOCK

const othersMayWrite = 0o022

// geteuid is another function in tests.
var geteuid = os.Geteuid

// trust returns why a file or a folder is not to be trusted.
func trust(status fs.FileInfo) error {
	owner, ok := status.Sys().(*syscall.Stat_t)
	if !ok || int(owner.Uid) != geteuid() {
		return errors.New("is owned by another user")
	}
	if status.Mode().Perm()&othersMayWrite != 0 {
		return errors.New("is writable by other users")
	}
	return nil
}
