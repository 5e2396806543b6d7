//go:build unix

package lease

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestWhatOthersCanWriteOrOwnIsNeverUsed(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "servers")
	path := write(t, folder, nil)
	change := func(path string, mode os.FileMode) {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, mode := range []os.FileMode{0o620, 0o602} {
		change(path, mode)
		expectIgnored(t, folder, path+" is writable by other users.")
	}
	change(path, 0o600)
	change(folder, 0o777)
	expectIgnored(t, folder, folder+" is writable by other users.")
	change(folder, 0o700)

	mine := os.Geteuid()
	geteuid = func() int { return mine + 1 }
	t.Cleanup(func() { geteuid = os.Geteuid })
	expectIgnored(t, folder, folder+" is owned by another user.")
	geteuid = os.Geteuid
	if leases, _ := Read(folder); len(leases) != 1 {
		t.Error("What is the user's own was not read.")
	}
}

func TestLinksAndPipesAreIgnored(t *testing.T) {
	home := t.TempDir()
	folder := filepath.Join(home, "servers")
	path := write(t, folder, nil)
	if err := os.Rename(path, filepath.Join(home, "one.json")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(home, "one.json"), path); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(folder, "pipe.json")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	expectIgnored(t, folder, path+" cannot be read (too many levels of symbolic links).", pipe+" is not a file.")

	link := filepath.Join(home, "link")
	if err := os.Symlink(folder, link); err != nil {
		t.Fatal(err)
	}
	expectIgnored(t, link, link+" is not a folder.")
}
